"""A tokenizer's chat template: what it makes of a conversation, and where contents stand in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from so8t_core.contract.errors import ModelError
from so8t_core.contract.plain import plain_text
from so8t_core.training.formats import Message

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}### 指示\n{{ message.content }}\n\n"
    "{% elif message.role == 'assistant' %}### 応答\n{{ message.content }}{{ eos_token }}\n\n"
    "{% else %}{{ message.content }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}### 応答\n{% endif %}"
)
_MARK = "\ue0f1{}\ue0f2"
_MARKED = re.compile("\ue0f1(\\d+)\ue0f2")
_NO_CLOCK = "{% macro strftime_now(form) %}26 Jul 2024{% endmacro %}"
"""Shadows the clock that templates may ask: a resume on another day must see the same samples."""
_REFUSALS = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    RecursionError,
)
"""What templates raise for conversations that they are not made for, and transformers for them."""


class RefusedByTemplate(Exception):
    """A template does not take a conversation; its words say why."""


@dataclass(frozen=True)
class ChatTemplate:
    """A template (Jinja) and the tokenizer that renders it."""

    tokenizer: Any
    text: str

    @classmethod
    def of(cls, tokenizer: Any, chat_format: Literal["template", "plain"]) -> ChatTemplate:
        """The tokenizer's own, or the plain one; `ModelError` where it has none, or it is no Jinja.

        Of several that it has by name, the one called `default`.
        """
        if chat_format == "plain":
            return cls(tokenizer, PLAIN_TEMPLATE)
        own = tokenizer.chat_template
        if isinstance(own, dict):
            own = own.get("default")
        if not own:
            raise ModelError(
                "The tokenizer has no chat template.",
                where=str(tokenizer.name_or_path),
                hint="Set `train.chat_format: plain`, or add the template to the tokenizer.",
            )
        template = cls(tokenizer, f"{_NO_CLOCK}{own}" if "strftime_now" in own else own)
        with suppress(RefusedByTemplate):  # a question alone: many take none
            template.render((Message("user", "?"),), ask=True)
        return template

    def render(self, messages: Sequence[Message], *, ask: bool) -> str:
        """The conversation as text; `ask`: up to where an answer begins.

        Raises `RefusedByTemplate`, and `ModelError` for a text that is no template.
        """
        try:
            text: str = self.tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                chat_template=self.text,
                tokenize=False,
                add_generation_prompt=ask,
            )
        except TemplateSyntaxError as error:
            raise ModelError(
                f"The tokenizer's chat template is no valid Jinja, line {error.lineno}: "
                f"{plain_text(str(error.message), limit=200)}",
                where=str(self.tokenizer.name_or_path),
                hint="Mend the template, or set `train.chat_format: plain`.",
            ) from error
        except _REFUSALS as error:
            raise RefusedByTemplate(str(error) or type(error).__name__) from error
        return text

    def pieces(self, messages: Sequence[Message], *, ask: bool) -> list[str]:
        """The template's own text; between two pieces the number of the message that stands there.

        So the odd ones are numbers; an empty message has none, since templates ask whether there is
        content. Raises `RefusedByTemplate`.
        """
        marked = [
            Message(m.role, _MARK.format(number) if m.content else "")
            for number, m in enumerate(messages)
        ]
        return _MARKED.split(self.render(marked, ask=ask))
