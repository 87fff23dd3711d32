from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.training.event_reading import assert_as_in_the_series
from tests.training.trial import make_run

ROOT = Path(__file__).parents[2]
FORWARD = "so8t_core.model.modeling_phi3_so8t.SO8TPhi3Attention.forward"  # of every layer
BACKWARD = "torch.autograd.backward"
COPYING = "so8t_core.training.checkpoint_writer.copied"
# what a checkpoint or a series is written with: most of it in the thread beside the training
SAVING = (
    "so8t_core.training.checkpoint.save_file",
    "so8t_core.training.checkpoint.write_json",
    "so8t_core.training.checkpoint.sha256_file",
    "so8t_core.training.checkpoint.os.replace",
    "so8t_core.contract.files.fsync_path",
    "so8t_core.training.series.canonical_json",
    "so8t_core.training.history.write_json",
    "so8t_core.training.adapter.save_file",
    COPYING,
)
SAMPLED: dict[str, Any] = {"sample_prompts": ["東京は？"], "sample_max_tokens": 3}


@dataclass(frozen=True)
class End:
    """What a run came to, and how each of its attempts ended."""

    digest: str
    series: bytes
    resumes: int
    ends: list[str]


def ends_of(
    folder: Path, model: Path, runs: list[list[dict[str, Any]]], **settings: Any
) -> list[End]:
    """Run each list of attempts as a run of its own, all in one program."""
    roots = [make_run(folder / f"run{number}", model) for number in range(len(runs))]
    spec = folder / "spec.json"
    spec.write_text(
        json.dumps(
            [
                {"root": str(root), "attempts": attempts, "settings": settings}
                for root, attempts in zip(roots, runs, strict=True)
            ]
        )
    )
    subprocess.run(
        [sys.executable, "-m", "tests.training.trial", str(spec)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(folder)},
        capture_output=True,
        check=True,
    )
    return [_end_of(root) for root in roots]


def _series(root: Path) -> bytes:
    files = [root / "train" / name for name in ("series.jsonl", "evaluations.jsonl")]
    return b"".join(path.read_bytes() for path in files)


def _end_of(root: Path) -> End:
    result = json.loads((root / "outcome.json").read_text())
    ends = json.loads((root / "ends.json").read_text())
    assert_as_in_the_series(root)
    return End(result["digest"], _series(root), result["resumes"], ends)


def whole(straight: Any) -> tuple[str, bytes]:
    """Digest and series of the training without a break, made in the tests' own process."""
    root, outcome, _ = straight
    return outcome.digest, _series(root)


PLANNED: list[dict[str, Any]] = [
    {"kill_in": ["so8t_core.training.kept_data.write_json", 2]},  # the tokenised data, half there
    {"kill_at": 11},  # in an accumulation after the first checkpoint
    {"kill_in": [SAVING[0], 2]},  # between weights and optimiser of a checkpoint
    {"pause_at": 5},
    {"kill_in": [SAVING[7], 1]},  # in writing the adapter
    {},
]
BESIDE: list[dict[str, Any]] = [
    # the weights of step 2 hang half-written, and training is at step 3 when it is killed
    {"hang_in": [SAVING[0], 1], "kill_at": 10},
    {"pause_at": 11},
    # the state of the next checkpoint hangs; the evaluation after step 3 has been made
    {"hang_in": [SAVING[1], 1], "kill_at": 8},
    {"kill_in": [COPYING, 2]},
    {},
]


def random_kill(chance: random.Random) -> dict[str, Any]:
    """In a forward or backward pass, between micro-batches, in saving, or at any time."""
    place = chance.choice(("forward", "backward", "accumulation", "saving", "saving", "clock"))
    if place == "forward":
        return {"kill_in": [FORWARD, chance.randint(1, 60)]}
    if place == "backward":
        return {"kill_in": [BACKWARD, chance.randint(1, 9)]}
    if place == "accumulation":
        return {"kill_at": chance.randint(1, 12)}
    if place == "saving":
        return {"kill_in": [chance.choice(SAVING), chance.randint(1, 12)]}
    return {"kill_after_s": chance.uniform(0.05, 1.5)}


def test_kills_change_no_bit(tmp_path: Path, model: Path, straight: Any) -> None:
    """In accumulation, saving and finishing; while a checkpoint is written; a few at random."""
    chance = random.Random(3)
    at_random = [*(random_kill(chance) for _ in range(3)), {}]
    runs = [PLANNED, BESIDE, at_random]
    planned, beside, some = ends_of(tmp_path, model, runs)
    assert planned.ends == ["killed", "killed", "killed", "exit 3", "killed", "exit 0"]
    assert planned.resumes == 4
    assert beside.ends == ["killed", "exit 3", "killed", "killed", "exit 0"]
    assert "killed" in some.ends
    for end, attempts in zip((planned, beside, some), runs, strict=True):
        assert (end.digest, end.series) == whole(straight), attempts


@pytest.mark.long
@pytest.mark.parametrize(("seed", "packing"), [(20, False), (21, False), (22, True)])
def test_thirty_kills_at_random_change_no_bit(
    tmp_path: Path, model: Path, straight: Any, seed: int, packing: bool
) -> None:
    chance = random.Random(seed)
    runs = [[{}], *([*(random_kill(chance) for _ in range(5)), {}] for _ in range(10))]
    unbroken, *killed = ends_of(tmp_path, model, runs, **SAMPLED, packing=packing)
    assert sum(end.ends.count("killed") for end in killed) >= 30
    assert packing == ((unbroken.digest, unbroken.series) != whole(straight))
    for end, attempts in zip(killed, runs[1:], strict=True):
        assert (end.digest, end.series) == (unbroken.digest, unbroken.series), attempts
