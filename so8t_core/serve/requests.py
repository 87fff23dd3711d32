"""Requests: an allow-list of fields, read strictly; what is wrong is told in constant words."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from so8t_core.contract.errors import RequestRefused
from so8t_core.contract.settings.serve import LimitSettings
from so8t_core.serve.backend import Message, Sampling
from so8t_core.serve.problems import Code

_MAX_QUERY_CHARACTERS = 10_000
_MAX_USER_CHARACTERS = 256
DEFAULT_NEW_TOKENS = 512
DEFAULT_TEMPERATURE = 0.7
DEFAULT_TOP_P = 0.9


class _Body(BaseModel):
    """Frozen and strict; an unknown field is refused; inputs never stand in an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class ThinkBody(_Body):
    """`POST /think`."""

    user_id: str = Field(min_length=1, max_length=_MAX_USER_CHARACTERS)
    query: str = Field(min_length=1, max_length=_MAX_QUERY_CHARACTERS)
    max_new_tokens: int = Field(DEFAULT_NEW_TOKENS, ge=1, le=2048)
    temperature: float = Field(DEFAULT_TEMPERATURE, ge=0, le=2)
    top_p: float = Field(DEFAULT_TOP_P, gt=0, le=1)


class _TextPart(_Body):
    type: Literal["text"]
    text: str


class _ChatMessage(_Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_TextPart]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class _StreamOptions(_Body):
    include_usage: bool = False


class ChatBody(_Body):
    """`POST /v1/chat/completions`; what is not here is not served."""

    model: str = Field(min_length=1, max_length=256)
    messages: list[_ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1, le=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    user: str | None = Field(None, max_length=_MAX_USER_CHARACTERS)


B = TypeVar("B", bound=_Body)


def read_body(data: bytes, form: type[B]) -> B:
    """The body in its form. Raises `RequestRefused`, which says nothing of what was sent."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_constant
        )
        return form.model_validate(value)
    except ValidationError as error:
        raise _explained(error, form) from None
    except (ValueError, RecursionError):
        raise RequestRefused(Code.MALFORMED) from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _no_constant(_: str) -> float:
    raise ValueError


def _explained(error: ValidationError, form: type[_Body]) -> RequestRefused:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    unknown = first["type"] == "extra_forbidden"
    top = first["loc"][0] if first["loc"] else None
    field = top if isinstance(top, str) and top in form.model_fields else None
    return RequestRefused(Code.UNKNOWN_FIELD if unknown else Code.MALFORMED, field=field)


def think_messages(body: ThinkBody) -> tuple[Message, ...]:
    """The one question."""
    return (Message("user", body.query),)


def think_sampling(body: ThinkBody, limits: LimitSettings) -> Sampling:
    """How to choose the tokens of its answer."""
    wanted = min(body.max_new_tokens, limits.max_new_tokens)
    return Sampling(wanted, body.temperature, body.top_p)


def chat_messages(body: ChatBody, limits: LimitSettings) -> tuple[Message, ...]:
    """The conversation.

    Raises `RequestRefused` for one that is too long, or that begins the answer itself.
    """
    if len(body.messages) > limits.max_messages:
        raise RequestRefused(Code.TOO_LARGE, field="messages")
    if body.messages[-1].role != "user":
        raise RequestRefused(Code.UNSUPPORTED, field="messages")
    messages = []
    for message in body.messages:
        text = message.text
        if not text or len(text) > limits.max_characters:
            raise RequestRefused(Code.TOO_LARGE if text else Code.MALFORMED, field="messages")
        role = "system" if message.role == "developer" else message.role
        messages.append(Message(role, text))
    return tuple(messages)


def chat_sampling(body: ChatBody, limits: LimitSettings) -> Sampling:
    """How to choose the tokens of the answer; beyond the limit the limit."""
    wanted = body.max_completion_tokens or body.max_tokens or DEFAULT_NEW_TOKENS
    return Sampling(
        min(wanted, limits.max_new_tokens),
        DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
        DEFAULT_TOP_P if body.top_p is None else body.top_p,
    )
