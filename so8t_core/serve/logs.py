"""Logs that cannot carry a text: events of ours with typed fields, of others only the place."""

from __future__ import annotations

import asyncio
import logging
import resource
import secrets
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

_LOGGER = logging.getLogger("so8t.serve")
_MOST_FRAMES = 40


class Ident(str):
    """An identifier that this program or its operator made; it may be logged."""

    __slots__ = ()


def new_id() -> Ident:
    """A random identifier of 32 hexadecimal digits."""
    return Ident(secrets.token_hex(16))


class Event(StrEnum):
    """What is logged."""

    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SETTLED = "settled"
    REFUSED = "refused"
    FAILED = "failed"
    AUDIT_FAILED = "audit_failed"
    ROTATED = "rotated"
    NO_MARK = "no_mark"


Field = int | float | bool | StrEnum | Ident | None


def say(
    event: Event, *, level: int = logging.INFO, error: BaseException | None = None, **fields: Field
) -> None:
    """Log an event. A field that is neither a number nor a name of ours is a `TypeError`."""
    for value in fields.values():
        if value is not None and not isinstance(value, int | float | StrEnum | Ident):
            raise TypeError("a log field must be a number or a name of this program")
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    details = "" if error is None else f"\n{describe(error)}"
    _LOGGER.log(level, "%s", f"{event.value} {told}{details}".rstrip())


def describe(error: BaseException) -> str:
    """Types and places of an error and of what led to it: no message, no value, no source line."""
    return "\n".join(
        f"  {type(link).__name__}" + "".join(f"\n    {place}" for place in _places(link))
        for link in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _places(error: BaseException) -> Iterator[str]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        yield f"{code.co_filename}:{line} in {code.co_name}"


class PlaceFormatter(logging.Formatter):
    """Shows our own events; of any other record only who wrote it and where."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the places of an error below it."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = f"{at} {record.levelname}"
        if record.name == _LOGGER.name:
            return f"{head} {record.getMessage()}"
        line = f"{head} {record.name} at {record.module}:{record.lineno}"
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        return line if error is None else f"{line}\n{describe(error)}"


def install(stream: TextIO, *, debug: bool) -> None:
    """Send all logging, warnings and unhandled errors of this process through the formatter.

    No core file is written either: it would hold everything.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlaceFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    warnings.simplefilter("default" if debug else "ignore")
    sys.excepthook = lambda *told: _unhandled(told[1])
    sys.unraisablehook = lambda told: _unhandled(told.exc_value)
    threading.excepthook = lambda told: _unhandled(told.exc_value)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def unhandled_in_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's exception handler: its message may hold the repr of anything."""
    del loop
    _unhandled(context.get("exception"))


def _unhandled(error: BaseException | None) -> None:
    say(Event.FAILED, level=logging.ERROR, error=error)
