"""The audit log: durable before the answer, and any change of it is found and named."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from so8t_core.contract.errors import AuditError
from so8t_core.serve.audit_head import mark_path, read_head
from so8t_core.serve.audit_keys import create_keys, load_keys
from so8t_core.serve.audit_record import Kind, Link, check_line, line_of, seal_of
from so8t_core.serve.audit_verify import Verdict, file_name, log_files, verify_log
from tests.serve.audits import SECRET, audit_settings, entry, keys_of, open_log, verify, write


def records_of(folder: Path) -> list[dict]:
    return [
        json.loads(line) for path in log_files(folder) for line in path.read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A finished log of 1,000 records or a few more, its settings, and its lines."""
    settings = audit_settings(tmp_path_factory.mktemp("audit"), checkpoint_every=100)
    log = open_log(settings)
    for start in range(0, 1000, 50):
        write(log, [entry(number) for number in range(start, start + 50)])
    log.close()
    assert verify(settings).fault is None
    return settings, log.path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def copy(written, tmp_path: Path):
    """A copy of that log that a test may spoil, as a function of its new lines."""
    settings, lines = written
    own = audit_settings(tmp_path)
    for path in (own.folder, own.head_file.parent, own.keys_file.parent):
        path.mkdir()
    for source, target in (
        (settings.head_file, own.head_file),
        (settings.keys_file, own.keys_file),
    ):
        target.write_bytes(source.read_bytes())
        target.chmod(0o600)

    def spoil(changed: list[bytes]):
        (own.folder / file_name(1)).write_bytes(b"".join(changed))
        return verify(own, with_secret=False)

    return spoil, list(lines), own


def test_a_log_of_a_thousand_records_holds_what_happened_and_none_of_its_texts(written):
    settings, lines = written
    records = [json.loads(line) for line in lines]
    requests = [record for record in records if record["kind"] == "request"]
    assert [record["id"] for record in requests] == [f"{n:032x}" for n in range(1000)]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {record["kind"] for record in records} == {"opened", "request", "checkpoint", "closed"}
    assert SECRET.encode() not in b"".join(lines) + settings.head_file.read_bytes()
    assert stat.S_IMODE((settings.folder / file_name(1)).stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.head_file.stat().st_mode) == 0o600


def test_equal_texts_have_other_macs_in_each_record_and_none_is_a_plain_hash(written):
    _, lines = written
    requests = [r for r in map(json.loads, lines) if r["kind"] == "request"]
    assert len({record["macs"]["final"] for record in requests}) == len(requests)
    plain = hashlib.sha256(f"{SECRET} answer".encode()).hexdigest()
    assert plain.encode() not in b"".join(lines)


def test_lengths_are_kept_as_powers_of_two(written):
    _, lines = written
    sizes = {
        size
        for r in map(json.loads, lines)
        if r["kind"] == "request"
        for size in r["sizes"].values()
    }
    assert all(size & (size - 1) == 0 for size in sizes)


def located(state, seq: int) -> bool:
    return state.fault is not None and state.fault.seq == seq


def changed_at(lines: list[bytes], index: int, bit: int) -> bytes:
    line = bytearray(lines[index])
    line[bit // 8] ^= 1 << bit % 8
    return bytes(line)


def is_found(lines: list[bytes], links: list[Link], public, log: str, index: int, bit: int) -> bool:
    """Whether checking finds the change at this record: that is where `verify` would stop."""
    spoilt = changed_at(lines, index, bit)
    if spoilt.endswith(b"\n"):
        first = spoilt.split(b"\n", 1)[0] + b"\n"
    else:
        first = spoilt + (lines[index + 1] if index + 1 < len(lines) else b"")
    record, problem = check_line(first, links[index], public, log if index else None, None)
    return record is None and bool(problem)


def links_of(lines: list[bytes]) -> list[Link]:
    records = [json.loads(line) for line in lines]
    return [Link(), *(Link(record["seq"], record["hash"]) for record in records)]


def test_every_changed_bit_of_some_records_is_found_there(written):
    settings, lines = written
    public, links = keys_of(settings).public, links_of(lines)
    log = json.loads(lines[0])["log"]
    chosen = [0, 1, 99, 101, len(lines) - 1]  # opened, requests, a checkpoint, closed
    for index in chosen:
        for bit in range(8 * len(lines[index])):
            assert is_found(lines, links, public, log, index, bit), (index, bit)


@pytest.mark.long
def test_every_changed_bit_of_every_record_is_found_there(written):
    settings, lines = written
    public, links = keys_of(settings).public, links_of(lines)
    log = json.loads(lines[0])["log"]
    missed = [
        (index, bit)
        for index, line in enumerate(lines)
        for bit in range(8 * len(line))
        if not is_found(lines, links, public, log, index, bit)
    ]
    assert missed == []


def test_changed_bits_are_located_in_the_file(copy):
    spoil, lines, _ = copy
    random_ = random.Random(7)
    for _ in range(40):
        index = random_.randrange(len(lines))
        spoilt = changed_at(lines, index, random_.randrange(8 * len(lines[index])))
        assert located(spoil([*lines[:index], spoilt, *lines[index + 1 :]]), index + 1)


def test_every_removed_record_is_located(copy):
    spoil, lines, _ = copy
    for index in [*range(0, len(lines), 37), len(lines) - 1]:
        assert located(spoil(lines[:index] + lines[index + 1 :]), index + 1)


def test_every_reordering_is_located(copy):
    spoil, lines, _ = copy
    random_ = random.Random(11)
    for _ in range(25):
        first, second = sorted(random_.sample(range(len(lines)), 2))
        moved = list(lines)
        moved[first], moved[second] = moved[second], moved[first]
        assert located(spoil(moved), first + 1)


def test_every_truncation_is_located(copy):
    spoil, lines, _ = copy
    for kept in [*range(0, len(lines), 41), len(lines) - 1]:
        assert located(spoil(lines[:kept]), kept + 1)
        if kept < len(lines):
            assert located(spoil([*lines[:kept], lines[kept][:100]]), kept + 1)


def test_a_record_twice_or_of_another_log_is_located(copy, tmp_path_factory):
    spoil, lines, _ = copy
    assert located(spoil([*lines[:500], lines[499], *lines[500:]]), 501)
    other = audit_settings(tmp_path_factory.mktemp("other"))
    log = open_log(other)
    write(log, [entry(1)])
    log.close()
    foreign = log.path.read_bytes().splitlines(keepends=True)
    assert located(spoil([*lines[:1], foreign[1], *lines[2:]]), 2)


def test_a_whole_chain_rewritten_without_the_keys_is_found(copy):
    """Hashes alone can be computed by anybody; the next signature cannot."""
    spoil, lines, _ = copy
    forged = list(lines)
    record = json.loads(lines[50])
    record["label"] = "REFUSE"
    previous = json.loads(lines[49])["hash"]
    from so8t_core.serve.audit_record import hash_of

    for index in range(50, len(lines)):
        record = {**json.loads(lines[index]), **({"label": "REFUSE"} if index == 50 else {})}
        record["previous"] = previous
        record["hash"] = previous = hash_of(record)
        forged[index] = line_of(record)
    state = spoil(forged)
    assert located(state, 102)  # the first checkpoint behind it
    assert "signature" in state.fault.problem


def test_records_behind_the_head_are_told_and_their_seal_needs_the_secret(tmp_path: Path):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    write(log, [entry(1)])
    head = settings.head_file.read_bytes()
    write(log, [entry(2)])
    settings.head_file.write_bytes(head)
    state = verify(settings)
    assert (state.verdict, state.unvouched) == (Verdict.INTACT, 1)  # by its seal
    last = json.loads(log.path.read_bytes().splitlines()[-1])
    last["seal"] = seal_of(b"guess", last)
    from so8t_core.serve.audit_record import hash_of

    last["hash"] = hash_of(last)
    *before, _ = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(before) + line_of(last))
    unsure = verify(settings, with_secret=False)
    assert (unsure.verdict, unsure.unvouched) == (Verdict.UNSURE, 1)
    assert located(verify(settings), 3)


@pytest.mark.parametrize("slot", [0, 1])
def test_every_changed_byte_of_the_head_is_found(copy, slot: int):
    spoil, lines, own = copy
    head = own.head_file.read_bytes()
    for at in range(512 * slot, 512 * slot + 512, 7):
        changed = bytearray(head)
        changed[at] ^= 1
        own.head_file.write_bytes(bytes(changed))
        state = spoil(lines)
        assert state.fault is not None
        assert f"slot {slot + 1}" in state.fault.file
    own.head_file.unlink()
    assert "head file is missing" in spoil(lines).fault.problem


@pytest.mark.parametrize(
    "slot",
    [
        b'{"hash":NaN,"log":"a","seq":1,"signature":"00"}',
        b'{"hash":"\\ud800","log":"a","seq":1,"signature":"00"}',
        b'{"hash":"a","log":"a","seq":1,"signature":"\\ud800"}',
        b'{"hash":"a","log":"a","seq":Infinity,"signature":5}',
        b'{"hash":"a","log":{},"seq":[],"signature":null}',
        b"[" * 400,
        b"null",
        b"\xff\xfe",
    ],
    ids=range(8),
)
def test_a_head_of_anything_is_damaged_and_no_crash(copy, slot: bytes):
    spoil, lines, own = copy
    head = own.head_file.read_bytes()
    own.head_file.write_bytes(slot.ljust(511) + b"\n" + head[512:])
    state = spoil(lines)
    assert state.verdict is Verdict.DAMAGED
    with pytest.raises(AuditError, match="head was changed or damaged"):
        read_head(own.head_file, keys_of(own).public)


@pytest.mark.parametrize("field", ["hash", "seq", "previous", "log", "kind", "seal", "signature"])
@pytest.mark.parametrize("value", ["あ", 1.5, None, [], {"a": []}, "\ud800", float("nan"), 10**400])
def test_a_record_with_anything_in_a_field_is_damaged_and_no_crash(written, field: str, value):
    settings, lines = written
    record = json.loads(lines[0])
    line = json.dumps({**record, field: value}, sort_keys=True, separators=(",", ":")).encode()
    for secret in (None, keys_of(settings).secret):
        found, problem = check_line(line + b"\n", Link(), keys_of(settings).public, None, secret)
        assert found is None
        assert problem


def earlier(settings, *paths: Path):
    """A function that puts log, head and the other paths back to where they are now."""
    log_file = settings.folder / file_name(1)
    kept = {path: path.read_bytes() for path in (log_file, settings.head_file, *paths)}

    def put_back() -> None:
        for path, content in kept.items():
            path.write_bytes(content)

    return put_back


def test_log_and_head_put_back_together_are_found_by_the_mark_or_by_what_was_noted(tmp_path: Path):
    settings = audit_settings(tmp_path, checkpoint_every=2)
    log = open_log(settings)
    write(log, [entry(1)])
    log.close()
    put_back = earlier(settings)
    log = open_log(settings)
    write(log, [entry(2), entry(3)])
    log.close()
    noted = verify(settings).link
    put_back()
    state = verify(settings)
    assert located(state, 4)
    assert f"record {noted.seq} was noted beside the keys" in state.fault.problem
    with pytest.raises(AuditError, match="noted beside the keys"):
        open_log(settings)
    mark_path(settings).unlink()
    assert verify(settings).verdict is Verdict.INTACT  # nothing there can tell
    keys = keys_of(settings)
    for secret in (keys.secret, None):
        state = verify_log(
            settings.folder, settings.head_file, keys.public, secret=secret, expected=noted
        )
        assert located(state, 4)
        assert "was noted" in state.fault.problem


def test_a_folder_of_keys_that_cannot_be_written_costs_the_mark_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    settings = audit_settings(tmp_path)
    keys_of(settings)
    real = os.open

    def read_only(path, flags, *given, **options):
        if str(path).endswith(".mark"):
            raise PermissionError(errno.EROFS, "Read-only file system")
        return real(path, flags, *given, **options)

    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr("so8t_core.serve.audit_head.os.open", read_only)
        log = open_log(settings)
        assert write(log, [entry(1)]) == [2]
        log.close()
    assert "no_mark" in caplog.text
    assert verify(settings).verdict is Verdict.INTACT


def test_a_head_that_cannot_be_read_is_named(tmp_path: Path):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    log.close()
    settings.head_file.unlink()
    settings.head_file.mkdir()
    state = verify(settings)
    assert state.fault is not None
    assert "head cannot be read" in state.fault.problem


def test_a_noted_record_has_to_be_that_one(tmp_path: Path):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    write(log, [entry(1)])
    log.close()
    keys = keys_of(settings)
    links = links_of((settings.folder / file_name(1)).read_bytes().splitlines())
    for expected, verdict in (
        (links[2], Verdict.INTACT),
        (Link(2, ""), Verdict.INTACT),
        (Link(2, "0" * 64), Verdict.DAMAGED),
        (Link(9, ""), Verdict.DAMAGED),
    ):
        state = verify_log(settings.folder, settings.head_file, keys.public, expected=expected)
        assert state.verdict is verdict


def test_a_log_that_is_gone_altogether_is_not_called_intact(tmp_path: Path):
    settings = audit_settings(tmp_path)
    assert verify(settings).verdict is Verdict.UNSURE
    log = open_log(settings)
    write(log, [entry(1)])
    log.close()
    log.path.unlink()
    settings.head_file.unlink()
    state = verify(settings)
    assert located(state, 1)
    with pytest.raises(AuditError, match="noted beside the keys"):
        open_log(settings)
    mark_path(settings).unlink()
    assert verify(settings).verdict is Verdict.UNSURE


def test_a_log_that_is_being_written_is_checked_without_the_secret(tmp_path: Path):
    settings = audit_settings(tmp_path, checkpoint_every=1000)
    log = open_log(settings)
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            write(log, [entry(number)])
            number += 1

    writer = threading.Thread(target=go_on)
    writer.start()
    states = [verify(settings, with_secret=False) for _ in range(5)]
    stop.set()
    writer.join()
    log.close()
    assert [state.fault for state in states] == [None] * 5
    assert {state.verdict for state in states} == {Verdict.INTACT}


def turned_away(settings) -> list[dict[str, int]]:
    return [r["turned_away"] for r in records_of(settings.folder) if r["turned_away"]]


def test_requests_turned_away_after_the_last_record_are_in_the_signed_one_behind_it(
    tmp_path: Path,
):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    log.turn_away("server_busy")
    write(log, [entry(1)])
    for _ in range(3):
        log.turn_away("invalid_api_key")
    log.rotate().result()
    log.turn_away("unknown_host")
    log.close()
    assert turned_away(settings) == [
        {"server_busy": 1},
        {"invalid_api_key": 3},
        {"unknown_host": 1},
    ]
    assert verify(settings).verdict is Verdict.INTACT


def test_requests_turned_away_do_not_wait_for_ever_for_a_record(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("so8t_core.serve.audit._COUNTS_EVERY_S", 0.02)
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    log.turn_away("server_busy")
    for _ in range(500):
        if turned_away(settings):
            break
        time.sleep(0.01)
    assert turned_away(settings) == [{"server_busy": 1}]
    log.close()
    assert turned_away(settings) == [{"server_busy": 1}]


def test_a_log_goes_on_where_it_was_left(tmp_path: Path):
    settings = audit_settings(tmp_path)
    for number in range(3):
        log = open_log(settings)
        write(log, [entry(number)])
        log.close()
    state = verify(settings)
    assert (state.fault, state.records) == (None, 9)
    assert [r["kind"] for r in records_of(settings.folder)] == ["opened", "request", "closed"] * 3


def test_a_rotated_log_is_one_chain(tmp_path: Path):
    settings = audit_settings(tmp_path, rotate_bytes=4096)
    log = open_log(settings)
    for number in range(20):
        write(log, [entry(number)])
    log.rotate().result()
    write(log, [entry(20)])
    log.close()
    files = log_files(settings.folder)
    assert len(files) > 3
    assert verify(settings).fault is None
    for path in files[1:]:
        assert json.loads(path.read_text().splitlines()[0])["kind"] == Kind.OPENED
    files[1].unlink()
    state = verify(settings)
    assert state.fault is not None
    assert "missing" in state.fault.problem


def test_an_empty_file_of_a_rotation_that_was_cut_short_is_no_damage(tmp_path: Path):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    write(log, [entry(1)])
    log.rotate().result()
    head, mark = settings.head_file.read_bytes(), mark_path(settings).read_bytes()
    log.close()
    (settings.folder / file_name(2)).write_bytes(b'{"form')
    settings.head_file.write_bytes(head)
    mark_path(settings).write_bytes(mark)
    log = open_log(settings)
    log.close()
    assert [path.name for path in log_files(settings.folder)] == [file_name(1)]


def test_an_unfinished_last_record_is_cut_off_and_told(tmp_path: Path):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    write(log, [entry(1)])
    log.close()
    with log.path.open("ab") as file:
        file.write(b'{"at":"2026')
    log = open_log(settings)
    log.close()
    assert verify(settings).fault is None
    assert [r.get("cut_bytes") for r in records_of(settings.folder) if r["kind"] == "opened"] == [
        0,
        11,
    ]


@pytest.mark.parametrize("spoil", ["shorten", "cut", "change", "head"])
def test_a_server_does_not_go_on_with_a_log_that_was_changed(tmp_path: Path, spoil: str):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    write(log, [entry(1), entry(2)])
    log.close()
    data = log.path.read_bytes()
    lines = data.splitlines(keepends=True)
    if spoil == "head":
        settings.head_file.write_bytes(b"x" * 512)
    else:
        log.path.write_bytes(
            {
                "shorten": b"".join(lines[:-1]),
                "cut": data[:-5],
                "change": data.replace(b'"answered"', b'"withheld"', 1),
            }[spoil]
        )
    before = log.path.read_bytes()
    with pytest.raises(AuditError, match=r"not as it was left|head was changed"):
        open_log(settings)
    assert log.path.read_bytes() == before


def test_two_servers_do_not_share_a_log(tmp_path: Path):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    with pytest.raises(AuditError, match=f"pid {os.getpid()}"):
        open_log(settings)
    log.close()
    open_log(settings).close()


class FullDisk:
    """Lets so many bytes through, then says that there is no space."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOSPC) -> None:
        self.free: int | None = None
        self.code = code
        self._write = os.write
        monkeypatch.setattr("so8t_core.serve.audit.os.write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.free is None:
            return self._write(descriptor, data)
        if self.free == 0:
            raise OSError(self.code, os.strerror(self.code))
        taken = min(self.free, len(data))
        self.free -= taken
        return self._write(descriptor, bytes(data[:taken]))


@pytest.mark.parametrize("free", [0, 1, 500])
def test_a_full_disk_leaves_no_half_record_and_the_log_goes_on_later(tmp_path, monkeypatch, free):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    write(log, [entry(1)])
    before = log.path.read_bytes()
    disk = FullDisk(monkeypatch)
    disk.free = free
    with pytest.raises(AuditError, match="No space left"):
        write(log, [entry(2)])
    assert log.path.read_bytes() == before
    assert log.healthy
    disk.free = None
    assert write(log, [entry(3)]) == [3]
    log.close()
    assert verify(settings).fault is None


def test_a_disk_that_fails_otherwise_is_not_trusted_again(tmp_path: Path, monkeypatch):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    disk = FullDisk(monkeypatch, errno.EIO)
    disk.free = 0
    with pytest.raises(AuditError):
        write(log, [entry(1)])
    disk.free = None
    assert not log.healthy
    with pytest.raises(AuditError, match="no more records"):
        write(log, [entry(2)])
    log.close()
    assert verify(settings).fault is None


def test_a_record_that_cannot_be_made_harms_no_other(tmp_path: Path):
    settings = audit_settings(tmp_path)
    log = open_log(settings)
    with pytest.raises(AuditError, match="UnicodeEncodeError"):
        write(log, [replace(entry(1), key_id="鍵")])
    assert write(log, [entry(2)]) == [2]
    log.close()
    assert verify(settings).fault is None


def test_a_head_that_cannot_be_written_takes_its_record_back(tmp_path: Path, monkeypatch):
    settings = audit_settings(tmp_path)
    log = open_log(settings)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("so8t_core.serve.audit_head.os.pwrite", full)
        with pytest.raises(AuditError):
            write(log, [entry(1)])
    assert write(log, [entry(2)]) == [2]
    log.close()
    assert [r["id"] for r in records_of(settings.folder) if r["kind"] == "request"] == [f"{2:032x}"]


class TestKeys:
    def test_are_their_owners_alone_and_made_once(self, tmp_path: Path):
        path = tmp_path / "keys" / "audit.json"
        keys = create_keys(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert load_keys(path).secret == keys.secret
        assert keys.secret.hex() not in repr(keys)
        with pytest.raises(AuditError, match="already"):
            create_keys(path)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
    def test_that_others_may_read_are_refused(self, tmp_path: Path, mode: int):
        path = tmp_path / "audit.json"
        create_keys(path)
        path.chmod(mode)
        with pytest.raises(AuditError, match=r"Others than their owner .*\n.*mode"):
            load_keys(path)

    def test_that_are_missing_are_named(self, tmp_path: Path):
        with pytest.raises(AuditError, match=r"no audit keys[^$]*audit init"):
            load_keys(tmp_path / "audit.json")

    def test_that_are_damaged_are_not_shown(self, tmp_path: Path):
        path = tmp_path / "audit.json"
        create_keys(path)
        content = path.read_text().replace('"version": 1', '"version": 2')
        path.write_text(content)
        with pytest.raises(AuditError, match="damaged") as raised:
            load_keys(path)
        assert raised.value.__cause__ is None
        assert json.loads(content)["secret"] not in str(raised.value)

    def test_behind_a_link_are_refused(self, tmp_path: Path):
        create_keys(tmp_path / "real.json")
        (tmp_path / "audit.json").symlink_to(tmp_path / "real.json")
        with pytest.raises(AuditError):
            load_keys(tmp_path / "audit.json")
