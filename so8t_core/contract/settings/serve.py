"""Settings of the serve section: what is served, to whom, how much, and what is kept of it."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from so8t_core.contract.settings.base import AbsolutePath, Section

INSTRUCTIONS = """\
Write exactly these four parts, once each, in this order, and nothing else:
<think-task>what is asked</think-task>
<think-safety>whether it may be answered</think-safety>
<think-policy>how to answer</think-policy>
<final>the answer, in the language of the question</final>
Never speak about the first three parts in the last one."""


class AuditSettings(Section):
    """Where the audit log is kept, and how. Relative paths count from where the server starts."""

    folder: Path = Field(Path("serve/audit"), description="Folder of the log.")
    keys_file: Path = Field(
        Path("serve/keys/audit.json"),
        description="Secret keys of the log, made by `so8t audit init`. Only its owner may read "
        "it, and it must not lie in the log's folder.",
    )
    head_file: Path = Field(
        Path("serve/head/audit.head"),
        description="Second place of the newest record's signed hash, so that a shortened log "
        "shows. It must not lie in the log's folder; another disk is best.",
    )
    checkpoint_every: int = Field(
        100, ge=1, description="Records between two signed checkpoints in the log."
    )
    rotate_bytes: int = Field(
        256 << 20, ge=4096, description="A file of the log that is larger is followed by a new one."
    )

    @model_validator(mode="after")
    def _places_apart(self) -> AuditSettings:
        folder = Path(os.path.abspath(self.folder))
        files = {name: os.path.abspath(getattr(self, name)) for name in ("keys_file", "head_file")}
        for name, path in files.items():
            if Path(path).is_relative_to(folder):
                raise ValueError(f"{name} must lie outside of the log's folder")
        if len(set(files.values())) < len(files):
            raise ValueError("keys_file and head_file must be two files")
        return self


class LimitSettings(Section):
    """What one caller, and all callers together, may ask for."""

    max_waiting: int = Field(
        32, ge=0, description="Requests that may wait for the model; one more is refused (503)."
    )
    max_batch: int = Field(
        8, ge=1, description="Requests that are answered together, where the backend can."
    )
    max_body_bytes: int = Field(262_144, ge=1024, description="Largest request body (413).")
    max_messages: int = Field(64, ge=1, description="Most messages in a conversation.")
    max_characters: int = Field(
        10_000, ge=1, description="Most characters in one message; `/think` has 10,000 anyway."
    )
    max_new_tokens: int = Field(
        2048, ge=1, le=2048, description="Most tokens that one request may have generated."
    )
    requests_per_minute: float = Field(
        60, gt=0, description="How fast a key's bucket fills again (429 when it is empty)."
    )
    burst: int = Field(30, ge=1, description="How many requests a full bucket allows at once.")
    max_connections: int = Field(
        512,
        ge=1,
        description="Most connections at once. For one more, the oldest that waits for its caller "
        "(no whole request yet, or a response that is not taken) is closed; where none does, the "
        "new one.",
    )
    idle_timeout_s: float = Field(
        15,
        gt=0,
        description="A connection is closed when no whole head of a request has come for so long.",
    )
    send_timeout_s: float = Field(
        30,
        gt=0,
        description="A connection whose caller has not taken a response by then is closed.",
    )
    body_timeout_s: float = Field(
        10, gt=0, description="A request's body has to arrive within this time (408)."
    )
    answer_timeout_s: float = Field(
        300, gt=0, description="Longest time from arrival to answer; after it 504, nothing shown."
    )
    shutdown_grace_s: float = Field(
        30, ge=0, description="How long requests may still be answered after SIGTERM."
    )


class SafetySettings(Section):
    """What is done with questions and answers that are not plainly fine."""

    classifier: AbsolutePath | None = Field(
        None,
        description="Folder of a classifier that `so8t cleanse train-classifier` built; it is "
        "asked about what the word lists allow.",
    )
    flag_above: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Probability of an unsafe category from which its label is given.",
    )
    min_confidence: float = Field(
        0.5,
        ge=0,
        le=1,
        description="ALLOW counts only from this probability on; below it is ESCALATION. The word "
        "lists state no probability and are not affected.",
    )
    max_quoted_characters: int = Field(
        24,
        ge=8,
        description="An answer that shares so many letters in a row with its thinking, and not "
        "with the question, is withheld; so is one that shares more of them with small changes or "
        "in pieces (docs/serving.md says how much more). 24 letters are a Japanese sentence or "
        "five English words; a model that drafts its answers while it thinks needs more.",
    )


class ServeSettings(Section):
    """Settings of the serve section."""

    model: AbsolutePath | None = Field(
        None, description="Folded or gated checkpoint folder, or a GGUF file."
    )
    model_sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="Digest that a GGUF file must have; required for one that is no run's.",
    )
    name: str = Field(
        "so8t",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of the model in `/v1/models` and in requests.",
    )
    instructions: str | None = Field(
        INSTRUCTIONS,
        max_length=10_000,
        description="What the model is told before each conversation; null for a model that was "
        "trained to write the four parts by itself. Left out: null for a run that trained on "
        "answers in four parts.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8471, ge=0, le=65535, description="Port of the interface; 0: any free one.")
    metrics_host: str = Field("127.0.0.1", description="Address of the metrics.")
    metrics_port: int | None = Field(
        8472, ge=0, le=65535, description="Port of the metrics; null for none."
    )
    host_names: tuple[str, ...] = Field(
        (),
        description="Names by which callers may address the server (header Host), beside its "
        "address and localhost. A proxy's public name belongs here.",
    )
    keys_file: AbsolutePath | None = Field(
        None,
        description="Hashed bearer keys, made by `so8t serve --new-key NAME`. Required unless the "
        "server listens on loopback alone.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the model is run.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Arithmetic; auto: as stored, but float32 for float16 on a CPU."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of the model on a CPU; null: the libraries' choice."
    )
    context_tokens: int = Field(
        4096, ge=64, description="Longest prompt and answer together; never beyond the model's."
    )
    piece_characters: int = Field(
        16, ge=1, description="Characters in one piece of a streamed answer."
    )
    release_every_s: float = Field(
        0.25,
        ge=0,
        le=60,
        description="Answers leave at whole multiples of this time after their request came, so "
        "that their timing tells less; 0 for at once.",
    )
    audit: AuditSettings = Field(default_factory=AuditSettings, description="The audit log.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Limits.")
    safety: SafetySettings = Field(default_factory=SafetySettings, description="Safety labels.")

    @field_validator("host", "metrics_host")
    @classmethod
    def _is_address(cls, value: str) -> str:
        ipaddress.ip_address(value)
        return value

    @model_validator(mode="after")
    def _open_only_with_keys(self) -> ServeSettings:
        if self.keys_file is None and not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(
                "a server that listens beyond loopback needs keys_file; "
                "make a key with `so8t serve --new-key NAME`"
            )
        if self.port and self.port == self.metrics_port:
            raise ValueError("port and metrics_port must differ")
        return self
