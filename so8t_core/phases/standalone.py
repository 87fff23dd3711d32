"""A phase without an engine: for the single-phase commands, for benchmarks and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from so8t_core.phases.base import Level


@dataclass
class RecordingEmitter:
    """Keeps everything that a phase says, in order; `echo` also receives log lines."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    echo: Callable[[str], None] | None = None

    def _keep(self, kind: str, **payload: Any) -> None:
        self.events.append((kind, payload))

    def progress(self, done: float, total: float | None, unit: str, message: str = "") -> None:
        self._keep("progress", done=done, total=total, unit=unit, message=message)

    def metric(self, step: int, values: Mapping[str, float]) -> None:
        self._keep("metric", step=step, values=dict(values))

    def stats(self, values: Mapping[str, Any]) -> None:
        self._keep("stats", values=dict(values))

    def item(self, kind: str, text: str, **fields: Any) -> None:
        self._keep("item", item=kind, text=text, **fields)

    def log(self, level: Level, message: str) -> None:
        self._keep("log", level=level, message=message)
        if self.echo is not None and level != "debug":
            self.echo(message)

    def fallback(self, what: str, why: str) -> None:
        self._keep("fallback", what=what, why=why)

    def checkpoint(self, step: int, path: str, reason: str, size_bytes: int) -> None:
        self._keep("checkpoint", step=step, path=path, reason=reason, size_bytes=size_bytes)

    def rewound(self, step: int) -> None:
        self._keep("rewound", step=step)


class OpenGate:
    """A pause gate that is never closed."""

    requested = False

    def point(self, save: Callable[[], None] | None = None) -> None:
        """Go on."""

    async def apoint(self) -> None:
        """Go on."""
