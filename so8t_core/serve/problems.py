"""Everything a caller can be told besides an answer: one constant form, no word of anybody's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """Why there is no answer."""

    MALFORMED = "malformed_request"
    UNKNOWN_FIELD = "unknown_field"
    UNSUPPORTED = "unsupported_request"
    UNAUTHORISED = "invalid_api_key"
    WRONG_HOST = "unknown_host"
    NO_ROUTE = "not_found"
    NO_METHOD = "method_not_allowed"
    NO_MODEL = "model_not_found"
    SLOW_BODY = "request_timeout"
    TOO_LARGE = "request_too_large"
    MEDIA_TYPE = "unsupported_media_type"
    TOO_MANY = "rate_limit_exceeded"
    NO_ANSWER = "no_answer"
    BUSY = "server_busy"
    STOPPING = "server_stopping"
    NO_AUDIT = "audit_unavailable"
    TIMED_OUT = "answer_timeout"
    INTERNAL = "internal_error"


@dataclass(frozen=True)
class Problem:
    """HTTP status, OpenAI's error type, and the sentence that goes with a code."""

    status: int
    kind: str
    message: str


_REQUEST, _SERVER = "invalid_request_error", "server_error"
PROBLEMS: dict[Code, Problem] = {
    Code.MALFORMED: Problem(400, _REQUEST, "The request is not in a form that is served here."),
    Code.UNKNOWN_FIELD: Problem(400, _REQUEST, "The request has a field that is not served here."),
    Code.UNSUPPORTED: Problem(400, _REQUEST, "The request asks for what is not served here."),
    Code.UNAUTHORISED: Problem(401, "authentication_error", "A valid key is needed."),
    Code.WRONG_HOST: Problem(403, _REQUEST, "This server does not answer to that name."),
    Code.NO_ROUTE: Problem(404, _REQUEST, "There is nothing here."),
    Code.NO_MODEL: Problem(404, _REQUEST, "There is no such model here."),
    Code.NO_METHOD: Problem(405, _REQUEST, "This is not how this address is used."),
    Code.SLOW_BODY: Problem(408, _REQUEST, "The request did not arrive in time."),
    Code.TOO_LARGE: Problem(413, _REQUEST, "The request is too large."),
    Code.MEDIA_TYPE: Problem(415, _REQUEST, "Requests are JSON, neither compressed nor encoded."),
    Code.TOO_MANY: Problem(429, "rate_limit_error", "Too many requests with this key."),
    Code.NO_ANSWER: Problem(502, _SERVER, "The model gave no answer that may be shown."),
    Code.BUSY: Problem(503, _SERVER, "The server has as much to do as it can take."),
    Code.STOPPING: Problem(503, _SERVER, "The server is stopping."),
    Code.NO_AUDIT: Problem(503, _SERVER, "The server cannot answer at present."),
    Code.TIMED_OUT: Problem(504, _SERVER, "The answer took too long."),
    Code.INTERNAL: Problem(500, _SERVER, "Something went wrong here."),
}


def body_of(code: Code, *, field: str | None, error_id: str) -> dict[str, Any]:
    """The one form of every error; `field` is a name of ours, `error_id` finds it in the log."""
    problem = PROBLEMS[code]
    return {
        "error": {
            "message": problem.message,
            "type": problem.kind,
            "param": field,
            "code": code.value,
            "id": error_id,
        }
    }
