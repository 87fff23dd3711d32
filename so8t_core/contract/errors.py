"""Every error this program raises on purpose, as one tree.

    So8tError
    ├── UsageError            exit 2: the user can mend it in the command or the settings
    │   ├── SettingsError
    │   └── RunNotFound
    ├── RunBusy               exit 5: another engine holds the run
    ├── ControlConflict       exit 4: somebody else changed the control state first
    ├── StoreError            exit 4: a file of the run cannot be trusted
    │   ├── JournalError
    │   ├── ManifestError
    │   ├── CheckpointError
    │   └── AuditError        the audit log or its keys
    ├── ServeError            exit 4: the server cannot start
    ├── RequestRefused        a caller of the server gets no answer; never leaves the server
    └── PhaseError            exit 4: a phase cannot go on
        ├── InputMissing      an earlier phase's result or a given file is not there
        ├── InputInvalid      it is there and cannot be used
        ├── ModelError        a model is not what it must be
        │   └── ModelPanic    its compiled code broke off below Python
        ├── DataError         documents or samples are not what they must be
        ├── ResourceError     disk, memory or GPU ran out
        └── Unreachable       the network gave nothing; worth another try

Each says what went wrong, where, and what to do next.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_PAUSED = 3
EXIT_FAILED = 4
EXIT_BUSY = 5


class So8tError(Exception):
    """Base of the tree.

    `what` is one sentence; `where` a file, URL, setting or tensor; `hint` the next thing to do.
    `retryable` tells the engine whether the same attempt may succeed later.
    """

    exit_code = EXIT_FAILED
    retryable = False

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def lines(self) -> list[str]:
        """The message as it is shown: one line each for what, where and what next."""
        shown = [self.what]
        if self.where:
            shown.append(f"  where: {self.where}")
        if self.hint:
            shown.append(f"  next:  {self.hint}")
        return shown

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def as_payload(self) -> dict[str, str | bool | None]:
        """The form in which a journal event carries it."""
        return {
            "type": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "hint": self.hint,
            "retryable": self.retryable,
        }


class UsageError(So8tError):
    """The command line or a file that the user wrote is wrong."""

    exit_code = EXIT_USAGE


class SettingsError(UsageError):
    """Settings are unreadable, unknown, out of range or contradictory."""


class RunNotFound(UsageError):
    """No run of that name."""


class RunBusy(So8tError):
    """Another engine holds the run's lock."""

    exit_code = EXIT_BUSY


class ControlConflict(So8tError):
    """The control state changed between reading and writing it."""


class StoreError(So8tError):
    """A file of the run cannot be read as what it should be."""


class JournalError(StoreError):
    """The journal is damaged, or written by a newer version."""


class ManifestError(StoreError):
    """A manifest is damaged, or does not match the files beside it."""


class CheckpointError(StoreError):
    """A training checkpoint is damaged or belongs to other settings."""


class AuditError(StoreError):
    """The audit log was changed, cannot be written, or its keys are not as they must be."""


class ServeError(So8tError):
    """The server cannot start."""


class RequestRefused(So8tError):
    """A caller of the server gets no answer.

    `code` names one of the server's constant errors; `field` is a field of ours, never the
    caller's own words; `request_id` finds a request that has a record.
    """

    def __init__(
        self,
        code: str,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"The request was refused ({code}).")
        self.code = code
        self.field = field
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class PhaseError(So8tError):
    """A phase cannot go on."""


class InputMissing(PhaseError):
    """A needed file, folder or earlier phase's result is not there."""


class InputInvalid(PhaseError):
    """A file is there but cannot be used."""


class ModelError(PhaseError):
    """A model's architecture, weights or tokenizer are not what they must be."""


class ModelPanic(ModelError):
    """A model's compiled code broke off below Python; what it left may be unusable."""


class DataError(PhaseError):
    """A data set is empty, malformed or unusable."""


class ResourceError(PhaseError):
    """Disk, memory or GPU memory ran out."""


class Unreachable(PhaseError):
    """Nothing could be fetched; a later attempt may succeed."""

    retryable = True
