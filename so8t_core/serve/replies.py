"""Answers on the wire: `/think`, chat completions, and the events of a streamed one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from so8t_core.contract.labels import SafetyLabel
from so8t_core.serve.exchange import Answer


def think_reply(answer: Answer) -> dict[str, Any]:
    """The reply of `/think`; null where nothing measured the figure."""
    domain = answer.domain
    return {
        "answer": answer.text,
        "safety_label": answer.label.value,
        "safety_conf": answer.confidence,
        "domain_label": None if domain is None else domain.name,
        "domain_conf": None if domain is None else domain.confidence,
        "verifier_plausibility": answer.plausibility,
        "verifier_self_confidence": answer.self_confidence,
        "escalated": answer.label is SafetyLabel.ESCALATION,
        "finish_reason": answer.finish,
        "id": answer.id,
    }


def chat_reply(answer: Answer, *, model: str, created: int) -> dict[str, Any]:
    """A chat completion."""
    return {
        **_head(answer, "chat.completion", model, created),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": None,
                "finish_reason": answer.finish,
            }
        ],
        "usage": _usage(answer),
    }


def chat_events(
    answer: Answer, *, model: str, created: int, piece_characters: int, usage: bool
) -> Iterator[bytes]:
    """The finished answer as server-sent events, in pieces of equal length."""
    head = _head(answer, "chat.completion.chunk", model, created)
    last = {"usage": None} if usage else {}

    def event(delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**head, "choices": [choice], **last})

    yield event({"role": "assistant", "content": ""}, None)
    for at in range(0, len(answer.text), piece_characters):
        yield event({"content": answer.text[at : at + piece_characters]}, None)
    yield event({}, answer.finish)
    if usage:
        yield _event({**head, "choices": [], "usage": _usage(answer)})
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _head(answer: Answer, kind: str, model: str, created: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": created, "model": model}


def _usage(answer: Answer) -> dict[str, int]:
    """Tokens of the caller's own texts and of the answer; what was thought is not counted."""
    return {
        "prompt_tokens": answer.asked_tokens,
        "completion_tokens": answer.answer_tokens,
        "total_tokens": answer.asked_tokens + answer.answer_tokens,
    }


def models_reply(name: str, created: int) -> dict[str, Any]:
    """`GET /v1/models`."""
    return {"object": "list", "data": [model_reply(name, created)]}


def model_reply(name: str, created: int) -> dict[str, Any]:
    """One model of `GET /v1/models`."""
    return {"id": name, "object": "model", "created": created, "owned_by": "so8t"}
