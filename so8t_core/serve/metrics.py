"""Figures of the server in Prometheus' form. Labels are names of this program, never a text."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from so8t_core.contract.labels import SafetyLabel
from so8t_core.serve.audit_record import Outcome
from so8t_core.serve.problems import Code
from so8t_core.serve.think import ParseStatus

_SECONDS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)


class Place(StrEnum):
    """Where a safety label was given."""

    DOOR = "door"
    OUT = "out"


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        registry = self._registry
        self._settled = Counter(
            "so8t_requests", "Requests with a record.", ["route", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "so8t_request_seconds",
            "From arrival to record.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._turned_away = Counter(
            "so8t_turned_away", "Requests that got nowhere.", ["code"], registry=registry
        )
        self._labels = Counter(
            "so8t_safety_labels", "Safety labels given.", ["place", "label"], registry=registry
        )
        self._parsed = Counter(
            "so8t_outputs", "Outputs by what parsing said.", ["status"], registry=registry
        )
        self._inside = Gauge("so8t_requests_inside", "Requests with a place.", registry=registry)
        self._dropped = Counter(
            "so8t_connections_dropped",
            "Connections that were ended for being too many, or for not taking a response.",
            registry=registry,
        )
        self._audit_failures = Counter(
            "so8t_audit_failures", "Records that could not be written.", registry=registry
        )

    def settled(self, route: str, outcome: Outcome, seconds: float) -> None:
        """A request whose record is durable. `route` is one of ours."""
        self._settled.labels(route, outcome.value).inc()
        self._seconds.labels(route).observe(seconds)

    def turned_away(self, code: Code) -> None:
        """A request without a record."""
        self._turned_away.labels(code.value).inc()

    def label(self, place: Place, label: SafetyLabel) -> None:
        """A safety label was given."""
        self._labels.labels(place.value, label.value).inc()

    def parsed(self, status: ParseStatus) -> None:
        """An output was parsed."""
        self._parsed.labels(status.value).inc()

    def inside(self, count: int) -> None:
        """How many requests have a place now."""
        self._inside.set(count)

    def dropped(self) -> None:
        """A connection was ended from this side before it had its response."""
        self._dropped.inc()

    def audit_failed(self) -> None:
        """A record could not be written."""
        self._audit_failures.inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
