"""Malformed sources are refused with the file's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from so8t_core.contract.errors import DataError
from so8t_core.demo import source


@pytest.fixture
def host_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "robots.txt").write_text("User-agent: *\n")
    (folder / "site.yaml").write_text("{name: n, tagline: t, licence: cc0, template: www.html}")
    (folder / "index.md").write_text("---\ntitle: 表紙\n---\n本文\n")
    monkeypatch.setattr(source, "PAGES", tmp_path)
    source.load_hosts.cache_clear()
    return folder


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    source.load_hosts.cache_clear()


def test_a_file_is_served_under_its_own_path_and_an_index_as_its_folder(host_folder: Path) -> None:
    (host_folder / "noindex.md").write_text("---\ntitle: 題\n---\n本文\n")
    host = source.load_hosts()[0]
    assert [page.path for page in host.pages] == ["/", "/noindex.html"]


@pytest.mark.parametrize(
    "text",
    [
        "no front matter",
        "---\ntitel: 題\n---\n本文\n",
        "---\ntitle: [\n---\n本文\n",
        "---\ntitle: 題\nnear: /\nedits: [[どこにもない, 文]]\n---\n",
    ],
)
def test_a_malformed_page_is_refused(host_folder: Path, text: str) -> None:
    (host_folder / "bad.md").write_text(text)
    with pytest.raises(DataError) as caught:
        source.load_hosts()
    assert "bad" in (caught.value.where or "")
