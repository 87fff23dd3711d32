"""Every string of the interface has a Japanese wording, and none is left over."""

import ast
import gettext
import io
import re
import string
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import so8t_core
import so8t_tui
from so8t_core.contract.live import LIVE
from so8t_core.contract.phases import PHASE_NAMES
from so8t_tui.amounts import measured
from so8t_tui.crawlwords import RULES, STATES, host_state, rules_of
from so8t_tui.locale import DOMAIN, FOLDER, LANGUAGES, Words, language_of
from so8t_tui.metrics import GROUPS
from so8t_tui.palette import THEME_LABELS
from so8t_tui.screens.host import HINT
from so8t_tui.standing import LOOKS
from so8t_tui.tabs import TABS

FROM_TABLES = {
    HINT,
    *TABS,
    *THEME_LABELS.values(),
    *(setting.effect for setting in LIVE),
    *RULES.values(),
    *STATES,
    *(group.title for group in GROUPS),
    *(name for group in GROUPS for _, name in group.series),
}
"""Strings that reach the catalogue through a table."""
ROOT = Path(so8t_tui.__file__).parent
SIDES = ("base", "tuned")


def catalogue() -> Catalog:
    """The Japanese catalogue as its translators write it."""
    with (FOLDER / "ja" / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as source:
        return read_po(source, locale="ja", domain=DOMAIN, abort_invalid=True)


JAPANESE = {str(message.id): str(message.string) for message in catalogue() if message.id}


def literals() -> set[str]:
    """Every string in the package's code."""
    return {
        node.value
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def translated() -> set[str]:
    """The strings that are handed to `words(...)` where they are written."""
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                binding = name == "Binding" and isinstance(node.args[2], ast.Constant)
                if name in {"words", "_words"}:
                    found.add(node.args[0].value)
                elif binding:
                    found.add(node.args[2].value)
    return found


def test_every_string_has_a_japanese_wording() -> None:
    names = {*PHASE_NAMES, *(look.word for look in LOOKS.values()), *FROM_TABLES}
    assert (translated() | names) - JAPANESE.keys() == set()


def engines_code() -> Iterator[str]:
    """The engine's code, file by file."""
    for path in Path(so8t_core.__file__).parent.rglob("*.py"):
        yield path.read_text(encoding="utf-8")


def labels_of(keys: Iterable[str]) -> set[str]:
    """How the interface calls figures: by a number's label, or a group's."""
    return {label for key in keys for label in (measured(key, 1.0)[0], key.replace("_", " "))}


def live_keys() -> set[str]:
    """The keys of statistics that phases write where they tell them."""
    found: set[str] = set()
    for node in (node for code in engines_code() for node in ast.walk(ast.parse(code))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "stats":
            tables = [each for each in node.args if isinstance(each, ast.Dict)]
        elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "stats":
            tables = [node.value] if isinstance(node.value, ast.Dict) else []
        else:
            continue
        keys = [key for table in tables for key in table.keys]
        found |= {key.value for key in keys if isinstance(key, ast.Constant)}
    return found


def test_no_wording_is_left_over() -> None:
    """Each is a string of the interface, or the label of a key that the engine's code knows."""
    names = {*PHASE_NAMES, *(look.word for look in LOOKS.values()), *FROM_TABLES}
    known = {name for code in engines_code() for name in re.findall(r"[\w-]+", code)}
    known |= {f"{what}_bits_per_byte_{side}" for what in ("document", "answer") for side in SIDES}
    # what evaluate measures, marked so in the catalogue; tests/evaluation/test_phase.py has it all
    names |= {str(message.id) for message in catalogue() if "figure" in message.auto_comments}
    assert JAPANESE.keys() - literals() - names - labels_of(known) == set()


def test_live_statistics_have_a_japanese_label() -> None:
    keys = live_keys()
    assert {"checkpoint_stall_s", "tokens_per_s", "requests"} <= keys
    assert {measured(key, 1.0)[0] for key in keys} - JAPANESE.keys() == set()


def test_no_wording_is_empty_or_doubtful() -> None:
    assert all(JAPANESE.values())
    assert not [message.id for message in catalogue() if message.id and message.fuzzy]


def test_the_compiled_catalogue_is_that_of_its_source() -> None:
    """Where this fails, `make catalogues` makes so8t.mo anew."""
    compiled = io.BytesIO()
    write_mo(compiled, catalogue())
    compiled.seek(0)
    shipped = files("so8t_tui.locale").joinpath("ja", "LC_MESSAGES", f"{DOMAIN}.mo").read_bytes()
    with io.BytesIO(shipped) as file:
        loaded = gettext.GNUTranslations(file)
    fresh = gettext.GNUTranslations(compiled)
    assert loaded._catalog.keys() == fresh._catalog.keys()  # type: ignore[attr-defined]
    for text, wording in JAPANESE.items():
        assert loaded.gettext(text) == fresh.gettext(text) == wording == Words("ja")(text)


def test_every_language_but_english_has_a_catalogue() -> None:
    folders = {path.parents[1].name for path in FOLDER.rglob(f"{DOMAIN}.po")}
    assert folders == {*LANGUAGES} - {"en"}


@pytest.mark.parametrize("text", sorted(JAPANESE))
def test_wordings_have_the_same_places(text: str) -> None:
    def places(wording: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(wording) if name is not None}

    assert places(text) == places(JAPANESE[text])


def test_the_language_follows_the_environment() -> None:
    assert language_of({}) == "en"
    assert language_of({"LANG": "ja_JP.UTF-8"}) == "ja"
    assert language_of({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}) == "en"
    assert language_of({"LC_ALL": "en_GB.UTF-8", "SO8T_LANG": "ja"}) == "ja"
    assert Words("ja").other == Words("en")


def test_names_that_an_engine_adds_stay_as_they_are() -> None:
    assert Words("ja")("brand new counter") == "brand new counter"
    assert Words("ja")("") == ""
    assert Words("en")("crawl") == "crawl"


def test_every_rule_and_failure_of_the_crawler_has_a_wording() -> None:
    folder = Path(so8t_core.__file__).parent / "crawl"
    code = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    named = set(re.findall(r'\b(?:Refusal|Failure)\(\s*"([\w-]+)"', code))
    assert len(named) > 25
    assert named - RULES.keys() == set()


def test_what_a_crawl_says_is_told_in_japanese() -> None:
    words = Words("ja")
    counts = {"licence-deny": 2, "http-404": 3, "address": 1, "address-refused": 4, "new-rule": 1}
    assert rules_of(counts, words) == (
        ("公開されていないアドレス", 5),
        ("HTTP 404", 3),
        ("ライセンス: 不可", 2),
        ("new-rule", 1),
    )
    told = {
        "fetching": "取得中",
        "waiting 0.8 s: delay": "0.8 秒待ち: 間隔を空けるため",
        "waiting 12.0 s: HTTP 503": "12.0 秒待ち: HTTP 503",
        "waiting 1.0 s: its address 10.0.0.1 is shared": "1.0 秒待ち: アドレス 10.0.0.1 を共有",
        "HTTP 429, Retry-After 900 s: set aside until 2026-01-01T00:00:00+00:00": (
            "HTTP 429, Retry-After 900 s: 2026-01-01T00:00:00+00:00 まで保留"
        ),
        "something else {why}": "something else {why}",
    }
    assert {saying: host_state(saying, words) for saying in told} == told
