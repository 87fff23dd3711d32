"""The written pages: enough of them, and each is what its front matter says."""

from __future__ import annotations

import json
import re
import unicodedata
from itertools import pairwise

import pytest
from selectolax.lexbor import LexborHTMLParser

from so8t_core.demo.facts import gather_facts
from so8t_core.demo.rendering import Document, render_page
from so8t_core.demo.source import Page, Planted, load_hosts

FACTS = gather_facts()
PAGES: dict[str, Page] = {page.url: page for host in load_hosts() for page in host.pages}
DOCUMENTS: dict[str, Document] = {
    page.url: render_page(page, host) for host in load_hosts() for page in host.pages
}


def html(url: str) -> str:
    return DOCUMENTS[url].body.decode(FACTS.charsets.get(url, "utf-8"))


def text(url: str) -> str:
    body = LexborHTMLParser(html(url)).body
    assert body is not None
    return body.text()


def shingles(url: str) -> set[str]:
    body = re.sub(r"\s", "", PAGES[url].body)
    return {body[at : at + 5] for at in range(len(body) - 4)}


def of_kind(kind: str) -> list[Planted]:
    return [value for values in FACTS.personal.values() for value in values if value.kind == kind]


def digits(value: str) -> list[int]:
    return [int(c) for c in unicodedata.normalize("NFKC", value) if c.isdecimal()]


def test_there_is_enough_good_text_to_train_on() -> None:
    originals = FACTS.good - {copy for _, copy in FACTS.exact_duplicates + FACTS.near_duplicates}
    assert len(originals) >= 60
    assert sum(len(PAGES[url].body) for url in originals) >= 60_000
    assert sum(len(pairs) for pairs in FACTS.faq.values()) >= 15
    assert len(FACTS.how_to) >= 5
    assert len(FACTS.definitions) >= 5


def test_good_pages_are_japanese_prose_of_some_length() -> None:
    for url in FACTS.good:
        body = text_of_article(url)
        kana = len(re.findall(r"[ぁ-ヿ]", body))
        assert kana >= 200, url
        assert re.search(r"[。？！」）]$", text_of_article(url), re.M), url


def text_of_article(url: str) -> str:
    tree = LexborHTMLParser(html(url))
    node = tree.css_first("article, .entry-body")
    assert node is not None
    return node.text(separator="\n", strip=True)


def test_facts_about_a_page_exclude_one_another_where_they_must() -> None:
    assert not FACTS.good & (FACTS.forbidden | FACTS.noindex | FACTS.ai_opt_out)
    assert not FACTS.good & (set(FACTS.flawed) | set(FACTS.flagged))
    assert not FACTS.open_pages & (FACTS.forbidden | FACTS.sitemap_only)
    assert not [url for url in FACTS.open_pages if url.startswith(FACTS.forbidden_prefixes)]


@pytest.mark.parametrize("url", sorted(FACTS.personal))
def test_planted_personal_data_stands_in_the_page(url: str) -> None:
    for planted in FACTS.personal[url]:
        assert planted.value in text(url)


@pytest.mark.parametrize("url", sorted(FACTS.public))
def test_public_numbers_stand_in_the_page(url: str) -> None:
    for value in FACTS.public[url]:
        assert value in text(url)


def test_mail_addresses_and_telephone_numbers_can_belong_to_nobody() -> None:
    for planted in of_kind("email"):
        plain = unicodedata.normalize("NFKC", planted.value)
        assert re.search(r"(@| \[at\] )([\w-]+\.)*example\.(com|org|net)$", plain)
    for planted in of_kind("phone"):
        assert "0000" in unicodedata.normalize("NFKC", planted.value).replace("〇", "0")


def test_card_numbers_pass_the_luhn_check() -> None:
    for planted in of_kind("card"):
        odd, even = digits(planted.value)[-1::-2], digits(planted.value)[-2::-2]
        assert (sum(odd) + sum(sum(divmod(2 * digit, 10)) for digit in even)) % 10 == 0


def test_individual_numbers_have_the_right_check_digit() -> None:
    for planted in of_kind("my_number"):
        *body, check = digits(planted.value)
        assert len(body) == 11
        weights = [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]
        rest = sum(digit * weight for digit, weight in zip(body, weights, strict=True)) % 11
        assert check == (0 if rest <= 1 else 11 - rest)


def test_exact_duplicates_have_the_same_bytes() -> None:
    for original, copy in FACTS.exact_duplicates:
        assert DOCUMENTS[original].body == DOCUMENTS[copy].body


def test_near_duplicates_are_close_and_not_equal() -> None:
    for original, copy in FACTS.near_duplicates:
        left, right = shingles(original), shingles(copy)
        assert left != right
        assert len(left & right) / len(left | right) >= 0.85, copy


def test_no_other_two_good_pages_resemble_one_another() -> None:
    related = {frozenset(pair) for pair in FACTS.exact_duplicates + FACTS.near_duplicates}
    bodies = {url: shingles(url) for url in sorted(FACTS.good) if not PAGES[url].meta.copy_of}
    for left in bodies:
        for right in bodies:
            if left < right and frozenset((left, right)) not in related:
                overlap = len(bodies[left] & bodies[right]) / len(bodies[left] | bodies[right])
                assert overlap < 0.2, (left, right)


def test_old_charsets_are_really_used_and_their_declaration_is_as_stated() -> None:
    assert set(FACTS.charsets.values()) == {"cp932", "euc_jp", "iso2022_jp"}
    for url in FACTS.charsets:
        document, meta = DOCUMENTS[url], PAGES[url].meta
        with pytest.raises(UnicodeDecodeError):
            # ISO-2022-JP is seven-bit: its escapes are what UTF-8 text never holds
            document.body.replace(b"\x1b", b"\xff").decode("utf-8")
        assert ("charset=" in document.content_type) == (meta.charset_declared == "header")
        declared = 'http-equiv="Content-Type"' in html(url)
        assert declared == (meta.charset_declared == "meta")


def test_json_ld_says_what_the_page_says() -> None:
    for url in [*FACTS.faq, *FACTS.how_to]:
        node = LexborHTMLParser(html(url)).css_first('script[type="application/ld+json"]')
        assert node is not None
        thing = json.loads(node.text())
        if url in FACTS.faq:
            pairs = [(q["name"], q["acceptedAnswer"]["text"]) for q in thing["mainEntity"]]
            assert tuple(pairs) == FACTS.faq[url]
            said = [part for question, answer in pairs for part in (question, *answer.split("\n"))]
        else:
            said = [step["text"] for step in thing["step"]]
            assert tuple(said) == FACTS.how_to[url]
        assert len(said) >= 4
        assert all(part in text(url) for part in said)


def test_definitions_are_dl_lists() -> None:
    for url, pairs in FACTS.definitions.items():
        tree = LexborHTMLParser(html(url))
        terms = [node.text(strip=True) for node in tree.css("dt")]
        texts = [node.text(strip=True) for node in tree.css("dd")]
        assert list(zip(terms, texts, strict=True)) == list(pairs)


def test_every_licence_mark_is_shown() -> None:
    assert set(FACTS.licences.values()) == {
        "cc-by", "cc-by-sa", "cc0", "cc-by-nc-nd", "reserved", "none",
    }  # fmt: skip
    for url, licence in FACTS.licences.items():
        if PAGES[url].meta.copy_of:
            continue
        links = LexborHTMLParser(html(url)).css('a[rel="license"]')
        assert bool(links) == licence.startswith("cc"), url


def test_pages_are_sorted_by_path() -> None:
    for host in load_hosts():
        assert all(left.path < right.path for left, right in pairwise(host.pages))
