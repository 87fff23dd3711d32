from __future__ import annotations

from pathlib import Path

import pytest

from so8t_core.contract.errors import StoreError
from so8t_core.evaluation.ledger import ItemLedger


def test_results_are_found_again_to_the_bit(tmp_path: Path):
    with ItemLedger(tmp_path / "items.jsonl") as ledger:
        ledger.append("a", {"bits": 0.1 + 0.2})
    with ItemLedger(tmp_path / "items.jsonl") as ledger:
        assert "a" in ledger
        assert ledger["a"] == {"bits": 0.1 + 0.2}


@pytest.mark.parametrize("lost", [1, 10, 25])
def test_a_line_cut_short_by_a_kill_is_dropped_and_written_anew(tmp_path: Path, lost: int):
    path = tmp_path / "items.jsonl"
    with ItemLedger(path) as ledger:
        ledger.append("a", {"bits": 1.0})
        ledger.append("b", {"bits": 2.0})
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    with ItemLedger(path) as ledger:
        assert "a" in ledger
        assert "b" not in ledger
        ledger.append("b", {"bits": 2.0})
    assert path.read_bytes() == whole


def test_damage_before_the_end_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "items.jsonl"
    path.write_text('{"key":"a","result":{}}\n{"broken\n{"key":"b","result":{}}\n')
    with pytest.raises(StoreError, match=r"items\.jsonl:2"), ItemLedger(path):
        pass
