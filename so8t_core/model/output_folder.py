"""The folder that a model is written into: whether it may be, room for it, and its appearance.

A folder that the user names is filled beside its place, as OUTPUT.partial, and renamed when it is
whole. While it is filled it holds `.so8t-writing`: by that a folder left by a kill is known as ours
(no other is ever deleted), and the lock in it keeps a second writer out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from so8t_core.contract.errors import ResourceError, UsageError
from so8t_core.contract.files import PARTIAL_SUFFIX, fsync_path, sync_folder

_SPARE_BYTES = 64 << 20
_WRITING = ".so8t-writing"
_LOCK = "lock"
_REPLACED = "replaced"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_MOVED = (errno.EBUSY, errno.EXDEV)


def check_target(target: Path, sources: Sequence[Path], mark: str) -> None:
    """Refuse to replace a folder that is not an older result of the same kind.

    `sources`: the folders that are read; `mark`: the file that such a result holds. Raises
    `UsageError` where `target` is a source, lies inside one or around it, is a file or a filled
    folder without the mark, or is nothing that a folder can take the place of (`check_place`).
    """
    check_place(target)
    resolved = target.resolve()
    for source in sources:
        origin = Path(os.path.realpath(source))  # unlike resolve, lets loops of links be
        if resolved == origin or resolved in origin.parents or origin in resolved.parents:
            raise UsageError(
                "The output folder must be another than the model's or the adapter's, and neither "
                "may hold the other.",
                where=f"{target} and {source}",
                hint="Choose another output folder.",
            )
    try:
        if target.is_dir() and (not any(target.iterdir()) or (target / mark).is_file()):
            return
    except OSError as error:
        raise _no_place(target, str(error)) from error
    if target.exists():
        raise UsageError(
            f"The output exists and is no older result (it has no {mark}).",
            where=str(target),
            hint="Choose a folder that does not exist yet, or empty this one yourself.",
        )


def check_place(target: Path) -> None:
    """Raise `UsageError` where no folder can be made at `target`, or none may be replaced there.

    That is below a file or off any disk; at a symbolic link or a mount point; at or above the
    current folder; and beside a folder OUTPUT.partial that is not a leftover of ours.
    """
    try:
        target.resolve().lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, RuntimeError) as error:
        raise _no_place(target, str(error)) from error
    if os.path.islink(target):
        raise _no_place(target, f"{target} is a symbolic link")
    existing = _nearest(target)
    if not existing.is_dir():
        raise _no_place(target, f"{existing} is no folder")
    resolved = target.resolve()
    if _holds_current(resolved):
        raise _no_place(target, "it is the current folder, or holds it")
    if os.path.ismount(resolved):
        raise _no_place(target, f"{target} is a mount point, which cannot be renamed")
    if shutil.disk_usage(existing).total == 0:
        raise _no_place(target, f"{existing} is not on a disk")
    try:
        _check_partial(_partial_of(resolved))
    except OSError as error:
        raise _no_place(target, str(error)) from error


def check_space(target: Path, needed_bytes: int) -> None:
    """Raise `ResourceError` unless the disk of `target` has that much room and some to spare."""
    existing = next(folder for folder in target.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes + _SPARE_BYTES:
        raise ResourceError(
            f"Writing the model takes {_size(needed_bytes)} of disk and {_size(_SPARE_BYTES)} to "
            f"spare, {_size(needed_bytes + _SPARE_BYTES)} in all; {_size(free)} are free.",
            where=str(existing),
            hint="Free some space, or write to another disk.",
        )


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success sync it and put it at `target`, whole.

    An older folder there is moved aside until the new one has its place; one that came there in the
    meantime is left alone. When the body raises, the older one is as it was, and nothing new is
    left, no parent folder either. Raises `UsageError` where the folder cannot be made or another
    process is writing it, `ResourceError` when the disk fills up.
    """
    place = target.resolve()
    partial = _partial_of(place)
    absent = [folder for folder in place.parents if not folder.exists()]
    try:
        lock = _claim(partial, place)
        older = _identity(place)
    except OSError as error:
        _remove_empty(absent)
        raise _no_place(target, error.strerror or str(error)) from error
    try:
        with full_disk_told(target):
            yield partial
            sync_folder(partial)
        if _identity(place) != older:
            raise _no_place(target, "another folder came to be there, or went, in the meantime")
        try:
            _put_in_place(partial, place)
        except OSError as error:
            if error.errno not in _NOT_MOVED:
                raise
            raise _no_place(target, f"what is there cannot be moved ({error.strerror})") from error
    except BaseException:
        _discard(partial, place)
        _remove_empty(absent)
        raise
    finally:
        os.close(lock)


@contextmanager
def full_disk_told(target: Path) -> Iterator[None]:
    """Raise `ResourceError` where the disk of `target` fills up, whoever writes to it."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        codes = {getattr(error, "errno", None)}
        if isinstance(error, SafetensorError):  # its compiled code has the number in the text alone
            codes = {code for code in _FULL if f"(os error {code})" in str(error)}
        if not codes.intersection(_FULL):
            raise
        raise ResourceError(
            "The disk is full; nothing was written.",
            where=str(target),
            hint="Free some space, or write to another disk.",
        ) from error


def _identity(place: Path) -> tuple[int, int] | None:
    """Which folder is there now, if any: its disk and its number on it."""
    try:
        status = place.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _holds_current(folder: Path) -> bool:
    try:
        current = Path.cwd()
    except FileNotFoundError:  # it was deleted
        return False
    return folder == current or folder in current.parents


def _partial_of(place: Path) -> Path:
    return place.with_name(place.name + PARTIAL_SUFFIX)


def _check_partial(partial: Path) -> None:
    """Raise `UsageError` for anything under the temporary name that we have not left there."""
    if not os.path.lexists(partial):
        return
    plain = partial.is_dir() and not partial.is_symlink()
    if plain and ((partial / _WRITING).is_dir() or not any(partial.iterdir())):
        return
    raise UsageError(
        "The output would be filled under a name that is taken, by no leftover of ours.",
        where=str(partial),
        hint="Choose another output folder, or move this one away yourself.",
    )


def _claim(partial: Path, place: Path) -> int:
    """Make `partial`, or empty one that a kill left; returns the descriptor of its held lock."""
    _check_partial(partial)
    (partial / _WRITING).mkdir(parents=True, exist_ok=True)
    path = partial / _WRITING / _LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(descriptor), path.lstat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise UsageError(
                "Another process is writing this output.",
                where=str(partial),
                hint="Wait until it has ended, or choose another output folder.",
            )
        _restore(partial, place)
        _empty(partial)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _empty(partial: Path) -> None:
    """Remove all but what makes it known as ours."""
    for entry in sorted(partial.iterdir()):
        if entry.name == _WRITING:
            shutil.rmtree(entry / _REPLACED, ignore_errors=True)
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _put_in_place(partial: Path, place: Path) -> None:
    replaced = partial / _WRITING / _REPLACED
    if place.exists():
        os.rename(place, replaced)
    os.rename(partial, place)
    fsync_path(place.parent)
    shutil.rmtree(place / _WRITING)


def _restore(partial: Path, place: Path) -> None:
    """Give an older result that was moved aside its place back, where no new one has it."""
    replaced = partial / _WRITING / _REPLACED
    if replaced.exists() and not place.exists():
        os.rename(replaced, place)


def _discard(partial: Path, place: Path) -> None:
    """Remove it, the sign that it is ours last; what cannot be removed is known as ours later."""
    try:
        _restore(partial, place)
        _empty(partial)
    except OSError:
        return
    shutil.rmtree(partial, ignore_errors=True)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that we made, the deepest first, as far as nobody uses them."""
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return


def _no_place(target: Path, why: str) -> UsageError:
    return UsageError(
        f"The output folder cannot be made: {why}.",
        where=str(target),
        hint="Choose a new folder on a disk that you may write to.",
    )


def _nearest(target: Path) -> Path:
    """The target itself or the nearest thing above it that exists."""
    absolute = target.absolute()
    return next(path for path in (absolute, *absolute.parents) if os.path.lexists(path))


def _size(count: int) -> str:
    """Bytes in the unit that suits them: kB, MB or GB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1000:.1f} kB"
