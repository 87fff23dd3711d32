"""Whatever the model writes, however it is cut: the canary of its thinking is found nowhere.

Each case goes through the whole service: real parser, checks, audit log, metrics and logs at debug
level. The short form runs always; the long one has ten times 10,000
cases.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from so8t_core.contract.errors import RequestRefused
from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.serve.access import LOCAL
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.backend import Message, Piece, Sampling
from so8t_core.serve.door import word_lists
from so8t_core.serve.exchange import Asked
from so8t_core.serve.logs import PlaceFormatter
from so8t_core.serve.metrics import Metrics
from so8t_core.serve.problems import body_of
from so8t_core.serve.replies import chat_events, chat_reply, think_reply
from so8t_core.serve.service import Service
from tests.serve.audits import SERVED, keys_of, verify
from tests.serve.doubles import CANARY, Script, ScriptedBackend
from tests.serve.stage import QUESTION, serve_settings
from tests.serve.test_leaks import spellings

LONG_CASES = 10_000
LONG_SEEDS = range(10)
SHORT_CASES = 500

ENCODINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    lambda s: s.replace("<", "&lt;").replace(">", "&gt;"),
    lambda s: s.replace("<", "&amp;lt;"),
    lambda s: quote(s, safe=""),
    lambda s: quote(quote(s, safe=""), safe=""),
    lambda s: "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in s),
    lambda s: "".join(f"&#{ord(c)};" for c in s),
    lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    lambda s: s.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}),
    "\u200b".join,
    "\u2060".join,
    " ".join,
    lambda s: f"\u202e{s}\u202c",
    lambda s: s[::-1],
    lambda s: codecs.encode(s, "rot13"),
    lambda s: base64.b64encode(s.encode()).decode(),
    lambda s: s.encode().hex(),
    lambda s: s.replace("i", "\u0456").replace("a", "\u0430"),
    lambda s: s.replace("<", "< ").replace("/", "/ "),
    lambda s: s.replace(">", " x='1'>"),
]
encoding = st.sampled_from(ENCODINGS)
filler = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["東京です。", "\n", " ", "1 < 2", "<", "</", ">", "&", "%", "\\", "<|end|>", "```", "🗼"]
    ),
)
tagged = st.builds(lambda tag, form: form(tag), st.sampled_from(SEQUENCE), encoding)
secret = st.builds(lambda form: form(CANARY), encoding)
thought = st.builds("{}{}{}".format, filler, st.just(CANARY), filler)
answer = st.lists(st.one_of(filler, filler, tagged, secret), max_size=4).map("".join)


@st.composite
def outputs(draw: st.DrawFn) -> bytes:
    """A well-formed output, then damaged in up to four ways."""
    bodies = [draw(thought), draw(thought), draw(thought), draw(answer)]
    pieces = [
        piece
        for part, body in zip(Part, bodies, strict=True)
        for piece in (part.opener, body, part.closer, draw(st.sampled_from(["", "\n", " "])))
    ]
    for kind in draw(
        st.lists(
            st.sampled_from(["insert", "drop", "swap", "twice", "encode", "stray"]), max_size=4
        )
    ):
        at = draw(st.integers(0, len(pieces) - 1))
        if kind == "insert":
            pieces.insert(at, draw(st.one_of(tagged, secret, filler)))
        elif kind == "drop" and len(pieces) > 1:
            del pieces[at]
        elif kind == "swap":
            other = draw(st.integers(0, len(pieces) - 1))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif kind == "twice":
            pieces.insert(at, pieces[at])
        elif kind == "encode":
            pieces[at] = draw(encoding)(pieces[at])
        else:
            pieces[at] = draw(filler) + pieces[at]
    data = "".join(pieces).encode("utf-8", "replace")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at:]
    return data


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """An output cut anywhere, ended early, at the limit, or by an error."""
    data = draw(outputs())
    how = draw(st.sampled_from(["whole", "whole", "whole", "limit", "early", "error"]))
    if how != "whole":
        data = data[: draw(st.integers(0, len(data)))]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    if draw(st.integers(0, 19)) == 0:
        cuts = list(range(len(data)))
    ends = [0, *cuts, len(data)]
    pieces = [Piece(data[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
    error = ValueError(data.decode("utf-8", "replace")) if how == "error" else None
    return Script(pieces, ended=how != "limit", error=error)


class Bench:
    """A service that is asked the same question again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.log = io.StringIO()
        self.cases = self.answered = 0
        self._handler = logging.StreamHandler(self.log)
        self._handler.setFormatter(PlaceFormatter())
        self._handler.setLevel(logging.DEBUG)
        root = logging.getLogger()
        self._others = list(root.handlers)
        root.handlers[:] = [self._handler]  # others would keep every record of every case
        self.settings = serve_settings(folder)
        self.backend = ScriptedBackend()
        self.metrics = Metrics()
        self.audit = AuditLog(self.settings.audit, keys_of(self.settings.audit), SERVED)
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self.service = Service(self.settings, self.backend, self.audit, self.metrics, word_lists)

    def run(self, script: Script) -> None:
        self.cases += 1
        self.backend.asked.clear()
        self.backend.say = lambda _: script
        sent = self.loop.run_until_complete(self._ask())
        logged = self.log.getvalue()
        self.log.seek(0)
        self.log.truncate()
        for spelling in spellings(CANARY):
            assert spelling not in sent
            assert spelling.decode() not in logged

    async def _ask(self) -> bytes:
        asked = Asked("chat", LOCAL, (Message("user", QUESTION),), Sampling(4096, 0.0, 1.0))
        try:
            answer = await self.service.answer(asked)
        except RequestRefused as refused:
            body = body_of(refused.code, field=refused.field, error_id=str(refused.request_id))
            return repr((body, refused, refused.__cause__, refused.__context__)).encode()
        self.answered += 1
        events = chat_events(answer, model="m", created=0, piece_characters=16, usage=True)
        replies = repr((think_reply(answer), chat_reply(answer, model="m", created=0)))
        return b"".join(events) + replies.encode() + answer.text.encode() + repr(answer).encode()

    def close(self) -> None:
        self.loop.run_until_complete(self.service.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.audit.close()
        logging.getLogger().handlers[:] = self._others
        written = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        written[Path("metrics")] = self.metrics.text()
        for path, content in written.items():
            for spelling in spellings(CANARY):
                assert spelling not in content, path


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    shared = Path("/dev/shm")  # a disk that syncs at once
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        made = Bench(Path(name))
        yield made
        made.close()
        logging.getLogger().setLevel(level)
        assert verify(made.settings.audit).fault is None


def fuzz(bench: Bench, cases: int, number: int) -> None:
    @seed(20261128 + number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(scripts())
    def run(script: Script) -> None:
        bench.run(script)

    run()


def test_no_output_gives_its_thinking_away(bench: Bench):
    fuzz(bench, SHORT_CASES, len(LONG_SEEDS))
    assert bench.cases >= SHORT_CASES
    assert 0 < bench.answered < bench.cases


@pytest.mark.long
@pytest.mark.parametrize("number", LONG_SEEDS)
def test_no_output_in_a_hundred_thousand_gives_its_thinking_away(bench: Bench, number: int):
    bench.loop.set_debug(number == 0)  # what it logs may leak too, but it doubles the time
    fuzz(bench, LONG_CASES, number)
    print(f"{bench.cases} cases, {bench.answered} answered")
    assert bench.cases >= LONG_CASES
    assert bench.answered > LONG_CASES // 50


def test_a_well_formed_output_cut_at_every_offset_gives_nothing_away(bench: Bench):
    data = "\n".join(
        f"{p.opener}{CANARY if p is not Part.FINAL else '東京です。'}{p.closer}" for p in Part
    )
    whole = data.encode()
    bench.loop.set_debug(True)
    for at in range(len(whole) + 1):
        bench.run(Script([Piece(whole[:at]), Piece(whole[at:])]))
        bench.run(Script([Piece(whole[:at])], ended=False))
        bench.run(Script([Piece(whole[:at])], error=ValueError(data)))
    assert bench.answered > len(whole)
