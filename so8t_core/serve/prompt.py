"""Conversations to tokens: the model's template for the frame, text from outside as mere text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from jinja2.exceptions import TemplateError

from so8t_core.contract.errors import DataError, ModelError
from so8t_core.serve.backend import Message

TEMPLATE_ERRORS = (
    TemplateError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)
"""What a chat template, which is somebody else's program, can raise while it is rendered."""

_MARK = "\ue0f1{}\ue0f2"
_MARKED = re.compile("\ue0f1(\\d+)\ue0f2")


class PromptEncoder:
    """Writes prompts as token ids.

    `render` applies the chat template to messages, with the answer's beginning where asked for;
    `frame_ids` tokenises text in which control tokens count, `text_ids` text in which they do not.
    Contents never pass through the template: it renders marks in their place.
    """

    def __init__(
        self,
        render: Callable[[Sequence[Message], bool], str],
        frame_ids: Callable[[str], list[int]],
        text_ids: Callable[[str], list[int]],
        control_ids: frozenset[int],
    ) -> None:
        self._render = render
        self._frame_ids = frame_ids
        self._text_ids = text_ids
        self._control_ids = control_ids

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's ids. Raises `DataError` where the template leaves a message out."""
        pieces = self._pieces(messages)
        texts = [
            messages[int(piece)].content if index % 2 else piece
            for index, piece in enumerate(pieces)
        ]
        whole = self._frame_ids("".join(texts))
        frame = [number for piece in pieces[::2] for number in self._frame_ids(piece)]
        if self._controls(whole) == self._controls(frame):
            return whole
        ids: list[int] = []
        for index, text in enumerate(texts):
            ids += self._literal(text) if index % 2 else self._frame_ids(text)
        return ids

    def _pieces(self, messages: Sequence[Message]) -> list[str]:
        marked = [
            Message(message.role, _MARK.format(index)) for index, message in enumerate(messages)
        ]
        pieces = _MARKED.split(self._render(marked, True))
        if [int(index) for index in pieces[1::2]] != list(range(len(messages))):
            raise DataError(
                "The chat template does not show every message once, in order.",
                hint="Send the roles system, user, assistant in the order that the model knows.",
            )
        return pieces

    def _controls(self, ids: list[int]) -> list[int]:
        return [number for number in ids if number in self._control_ids]

    def _literal(self, text: str) -> list[int]:
        """Tokens of text alone: where it spells a control token, character by character."""
        ids = self._text_ids(text)
        if self._controls(ids):
            ids = [number for character in text for number in self._text_ids(character)]
        if self._controls(ids):
            raise ModelError(
                "A control token is a single character, so text cannot be told from it.",
                hint="Serve a model with another tokenizer.",
            )
        return ids
