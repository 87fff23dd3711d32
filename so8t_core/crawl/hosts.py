"""How each host stands: patience it asked for, failures in a row, what was taken from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(slots=True)
class Standing:
    """One host. Times are since the epoch.

    `not_before`: it is to be left alone until then; `away_until`: until then its URLs are set
    aside, since it asked for longer than a crawl waits; `suspended`: it is left for the whole run.
    `why` says the reason. `failures`: in a row; `openings`: rests of its breaker in a row. `kept`
    pages, `body_bytes` taken, `spent_s` with its requests and the delays after them.
    """

    not_before: float = 0.0
    away_until: float = 0.0
    suspended: bool = False
    why: str = ""
    failures: int = 0
    openings: int = 0
    kept: int = 0
    body_bytes: int = 0
    spent_s: float = 0.0


_FIELDS = tuple(field.name for field in fields(Standing))


def _as_dict(standing: Standing) -> dict[str, object]:
    return {name: getattr(standing, name) for name in _FIELDS}


class HostStanding:
    """A standing whose changes are noted in its book."""

    __slots__ = ("_changed", "_host", "_standing")  # there may be a million of them

    def __init__(self, host: str, standing: Standing, changed: set[str]) -> None:
        self._host = host
        self._standing = standing
        self._changed = changed

    @property
    def seen(self) -> Standing:
        """The standing, to be read."""
        return self._standing

    def keep(self) -> None:
        """One more page of the host is kept."""
        self._standing.kept += 1
        self._changed.add(self._host)

    def take(self, body_bytes: int, spent_s: float) -> None:
        """The host sent so much, and so much time went by with it."""
        self._standing.body_bytes += body_bytes
        self._standing.spent_s += spent_s
        self._changed.add(self._host)

    def hold(self, not_before: float, why: str) -> None:
        """Leave the host alone until then; an earlier end never shortens a later one."""
        if not_before >= self._standing.not_before:
            self._standing.not_before, self._standing.why = not_before, why
            self._changed.add(self._host)

    def leave(self, away_until: float, why: str) -> None:
        """Set the host's URLs aside until then; an earlier end never shortens a later one."""
        if away_until >= self._standing.away_until:
            self._standing.away_until, self._standing.why = away_until, why
            self._changed.add(self._host)

    def suspend(self, why: str) -> None:
        """Leave the host for this run."""
        self._standing.suspended, self._standing.why = True, why
        self._changed.add(self._host)

    def succeed(self) -> None:
        """It answered as it should: its failures are forgotten."""
        if self._standing.failures or self._standing.openings:
            self._standing.failures = self._standing.openings = 0
            self._changed.add(self._host)

    def fail(self, limit: int) -> int:
        """It failed once more; the number of the rest that this opens, 0 where it opens none.

        After a rest a single failure opens the next one.
        """
        self._standing.failures += 1
        self._changed.add(self._host)
        if self._standing.failures < limit and not self._standing.openings:
            return 0
        self._standing.failures = 0
        self._standing.openings += 1
        return self._standing.openings


class HostBook:
    """All hosts of a crawl by name."""

    def __init__(self, stored: Mapping[str, str]) -> None:
        """`stored`: JSON by host, as `changed` gives it."""
        self._changed: set[str] = set()
        self._hosts = {
            host: HostStanding(host, Standing(**json.loads(text)), self._changed)
            for host, text in stored.items()
        }

    def of(self, host: str) -> HostStanding:
        """The standing of a host."""
        if host not in self._hosts:
            self._hosts[host] = HostStanding(host, Standing(), self._changed)
        return self._hosts[host]

    def kept(self, host: str) -> int:
        """Pages kept of a host."""
        return self._hosts[host].seen.kept if host in self._hosts else 0

    def met(self) -> dict[str, Standing]:
        """Every host that was met."""
        return {host: standing.seen for host, standing in self._hosts.items()}

    def changed(self) -> dict[str, str]:
        """The hosts that changed since the last call, as JSON."""
        rows = {host: json.dumps(_as_dict(self._hosts[host].seen)) for host in self._changed}
        self._changed.clear()
        return rows
