"""Settings of the engine: retries, guards, and how it tells that it is done."""

from __future__ import annotations

from pydantic import Field

from so8t_core.contract.phases import PhaseName
from so8t_core.contract.settings.base import AbsolutePath, Section


class EngineSettings(Section):
    """How phases are driven."""

    max_attempts: int = Field(3, ge=1, description="Tries of a phase before it counts as failed.")
    retry_delay_s: float = Field(60.0, ge=0, description="Wait before the second try, in seconds.")
    retry_backoff: float = Field(2.0, ge=1, description="Each further wait is this much longer.")
    continue_on_error: bool = Field(
        False, description="Go on with phases that do not need the failed one."
    )
    skip: tuple[PhaseName, ...] = Field((), description="Phases that are not to run.")
    min_free_disk_gb: float = Field(
        2.0,
        ge=0,
        description="With less, the running phase saves and the run stops with a message.",
    )
    min_free_memory_gb: float = Field(0.5, ge=0, description="The same for available main memory.")
    resources_every_s: float = Field(
        1.0, ge=0.2, description="Interval of the CPU, memory, disk and GPU readings."
    )


class NotifySettings(Section):
    """What happens when a run is done or has failed."""

    sound: bool = Field(True, description="Play a sound: `sound_file`, or a built-in chime.")
    sound_file: AbsolutePath | None = Field(None, description="A WAV file of your own.")
    bell: bool = Field(True, description="Ring the terminal's bell.")
    desktop: bool = Field(True, description="Send a terminal notification (OSC 9, 99 or 777).")
    on_complete: tuple[str, ...] = Field(
        (),
        description="A command as a list of words. It receives SO8T_RUN, SO8T_OUTCOME and "
        "SO8T_REPORT in its environment; no shell is involved.",
    )
    on_complete_timeout_s: float = Field(
        60.0, gt=0, description="The command, and a call of the webhook, are ended after this."
    )
    webhook: str = Field(
        "",
        pattern=r"^(https?://[^\s]+)?$",
        description="An address of yours that gets a POST with JSON: `run`, `outcome`, `message`.",
    )
    milestones: tuple[PhaseName, ...] = Field(
        (), description="Phases whose end is told too, with outcome `milestone`."
    )
