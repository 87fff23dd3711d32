"""Event files as TensorBoard reads them, without TensorBoard."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from so8t_core.training.series import read_series


def events(path: Path) -> Iterator[Any]:
    """The events of a file, their checksums checked."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
        body, rest = content[12 : 12 + length], content[12 + length :]
        assert struct.unpack("<I", rest[:4]) == (masked_crc32c(body),)
        event = event_pb2.Event()
        event.ParseFromString(body)
        yield event
        content = rest[4:]


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: points by tag, those voided by a restart left out."""
    points: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.iterdir()):
        for event in events(path):
            if event.session_log.status == event_pb2.SessionLog.START:
                for tag in points:
                    points[tag] = [one for one in points[tag] if one[0] < event.step]
            for value in event.summary.value:
                points.setdefault(value.tag, []).append((event.step, value.simple_value))
    return points


def assert_as_in_the_series(root: Path) -> None:
    for kind, series, names in (
        ("train", "series.jsonl", ("loss", "grad_norm", "learning_rate", "rotation_angle_mean")),
        ("evaluation", "evaluations.jsonl", ("eval_loss",)),
    ):
        points = shown(root / "train" / "tensorboard" / kind)
        lines = list(read_series(root / "train" / series))
        for name in names:
            expected = [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines]
            assert points[name] == expected, name
