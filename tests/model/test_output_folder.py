"""Where a model may be written, and what is left when it could not be."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Never

import pytest
from safetensors import SafetensorError

from so8t_core.contract.errors import ResourceError, UsageError
from so8t_core.contract.files import PARTIAL_SUFFIX
from so8t_core.contract.settings.model import ModelSettings, VerifySettings
from so8t_core.model import output_folder
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.integrate import integrate
from so8t_core.model.output_folder import check_place, check_space, full_disk_told, new_folder
from so8t_core.model.verify import verify

PLAIN = ModelSettings()


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"1000000000\.0 GB of disk"):
        check_space(tmp_path / "deep" / "out", 10**18)
    assert not (tmp_path / "deep").exists()


def test_a_small_model_on_a_full_disk_is_told_what_is_really_demanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 30_500_000, 30_500_000)
    monkeypatch.setattr("so8t_core.model.output_folder.shutil.disk_usage", lambda _: usage)
    with pytest.raises(ResourceError) as refused:
        check_space(tmp_path / "out", 12_300)
    assert refused.value.what == (
        "Writing the model takes 12.3 kB of disk and 67.1 MB to spare, 67.1 MB in all; "
        "30.5 MB are free."
    )


def fill_the_disk(folder: Path) -> None:
    with new_folder(folder) as partial:
        (partial / "half").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="disk is full"):
        fill_the_disk(tmp_path / "out")
    assert not list(tmp_path.iterdir())


class Stopped(Exception):
    """Stands for whatever ends the filling of a folder."""


def fill(folder: Path, text: str, *, stop: bool = False, keep: Path | None = None) -> None:
    """Fill it with one file; `keep`: where a copy goes of what a kill would have left here."""
    with new_folder(folder) as partial:
        (partial / "weights").write_text(text)
        if keep is not None:
            shutil.copytree(partial, keep)
        if stop:
            raise Stopped


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_of_the_user_under_the_temporary_name_is_never_deleted(
    tiny: Path, gated: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / f"out{PARTIAL_SUFFIX}"
    theirs.mkdir()
    (theirs / "diary.txt").write_text("dear diary")
    for write in (
        lambda: integrate(tiny, tmp_path / "out", PLAIN),
        lambda: fold_checkpoint(gated, tmp_path / "out"),
        lambda: fill(tmp_path / "out", "new"),
    ):
        with pytest.raises(UsageError, match="no leftover of ours") as refused:
            write()
        assert refused.value.where == str(theirs)
    assert tree(tmp_path) == [theirs.name, f"{theirs.name}/diary.txt"]


def test_a_base_under_the_temporary_name_is_never_deleted(tiny: Path, tmp_path: Path) -> None:
    base = tmp_path / f"out{PARTIAL_SUFFIX}"
    shutil.copytree(tiny, base)
    with pytest.raises(UsageError, match="no leftover of ours"):
        integrate(base, tmp_path / "out", PLAIN)
    assert tree(base) == tree(tiny)


def test_what_a_kill_left_is_known_and_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "out", "first", keep=tmp_path / "kept")
    (tmp_path / "kept").rename(tmp_path / f"out{PARTIAL_SUFFIX}")
    fill(tmp_path / "out", "second")
    assert tree(tmp_path) == ["out", "out/weights"]
    assert (tmp_path / "out" / "weights").read_text() == "second"


def test_a_kill_between_the_two_renames_loses_no_older_result(tmp_path: Path) -> None:
    fill(tmp_path / "out", "old")
    fill(tmp_path / "new", "new", keep=tmp_path / f"out{PARTIAL_SUFFIX}")
    aside = tmp_path / f"out{PARTIAL_SUFFIX}" / ".so8t-writing" / "replaced"
    (tmp_path / "out").rename(aside)
    with pytest.raises(Stopped):
        fill(tmp_path / "out", "newer", stop=True)
    assert (tmp_path / "out" / "weights").read_text() == "old"
    assert not (tmp_path / f"out{PARTIAL_SUFFIX}").exists()


def test_two_writers_of_one_output_do_not_meet(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as partial:
        (partial / "weights").write_text("first")
        with pytest.raises(UsageError, match="Another process is writing"):
            fill(tmp_path / "out", "second")
    assert (tmp_path / "out" / "weights").read_text() == "first"


def test_a_folder_that_came_in_the_meantime_is_left_alone(tmp_path: Path) -> None:
    def fill_late() -> None:
        with new_folder(tmp_path / "out"):
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "diary.txt").write_text("dear diary")

    with pytest.raises(UsageError, match="in the meantime"):
        fill_late()
    assert tree(tmp_path) == ["out", "out/diary.txt"]


def test_a_current_folder_that_is_gone_hinders_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    fill(tmp_path / "out", "new")
    assert tree(tmp_path) == ["out", "out/weights"]


def test_what_cannot_be_moved_away_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bind mount, which looks like any folder until it is to be renamed."""
    fill(tmp_path / "out", "old")

    def rename(source: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(output_folder.os, "rename", rename)
    with pytest.raises(UsageError, match="cannot be moved"):
        fill(tmp_path / "out", "new")
    assert tree(tmp_path) == ["out", "out/weights"]
    assert (tmp_path / "out" / "weights").read_text() == "old"


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no such mount here")
def test_a_mount_point_is_refused() -> None:
    with pytest.raises(UsageError, match="mount point"):
        check_place(Path("/dev/shm"))


def test_a_link_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for target in ("real", "nowhere"):
        link = tmp_path / f"to-{target}"
        link.symlink_to(tmp_path / target)
        with pytest.raises(UsageError, match="symbolic link"):
            integrate(tiny, link, PLAIN)
    assert not any((tmp_path / "real").iterdir())


@pytest.mark.parametrize("output", [".", "", "..", "/", "inside/.."])
def test_the_current_folder_and_what_holds_it_are_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    (tmp_path / "here" / "inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="the current folder, or holds it"):
        integrate(tiny, Path(output), PLAIN)


def test_a_path_through_its_own_parent_is_the_folder_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    fill(tmp_path / "a" / ".." / "out", "new")
    assert tree(tmp_path) == ["a", "out", "out/weights"]


def test_a_failed_writing_leaves_no_parent_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(Stopped):
        fill(tmp_path / "there" / "a" / "b" / "out", "new", stop=True)
    assert tree(tmp_path) == ["there"]


def test_an_adapter_inside_of_an_older_fold_is_not_deleted_by_the_next(
    gated: Path, tmp_path: Path
) -> None:
    fold_checkpoint(gated, tmp_path / "folded")
    adapter = tmp_path / "folded" / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="or the adapter's"):
        fold_checkpoint(gated, tmp_path / "folded", adapter=adapter)
    assert tree(tmp_path) == before


def test_a_disk_that_fills_up_under_the_safetensors_library_is_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own words on a full disk of 100 kB, in the place where verify saves a model."""

    def fail(*_: object) -> Never:
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr("so8t_core.model.verify._all_checks", fail)
    with pytest.raises(ResourceError, match="disk is full"):
        verify(tiny, PLAIN, VerifySettings(), seed=1, workspace=tmp_path / "copies")
    assert not any(tmp_path.iterdir())


def test_damage_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(SafetensorError, match="header"), full_disk_told(tmp_path):
        raise SafetensorError("Error while deserializing header: header too small")
