import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from .site import Reply, Site, html
from .trial import index, kept, quick

REPOSITORY = Path(__file__).parents[2]
A, B = "http://a.example", "http://b.example"


def pages() -> dict[str, Reply | list[Reply]]:
    """Two hosts of sixteen pages each, redirects, refusals, a page that is busy once."""
    answers: dict[str, Reply | list[Reply]] = {
        f"{A}/robots.txt": Reply(body=b"User-agent: *\nDisallow: /no"),
        f"{A}/": html(*(f"{A}/{n}" for n in range(5)), f"{B}/", "/no", "/moved", "/busy"),
        f"{B}/": html(*(f"{B}/{n}" for n in range(5))),
        f"{A}/no": html(),
        f"{A}/moved": Reply(301, headers={"Location": "/4/moved"}),
        f"{A}/4/moved": html(),
        f"{A}/busy": [Reply(503), html()],
    }
    for host in (A, B):
        for n in range(5):
            answers[f"{host}/{n}"] = html(f"{host}/{n}/x", f"{host}/{n}/y", f"{A}/0")
            answers[f"{host}/{n}/x"] = html(text=f"{host} {n} x")
            answers[f"{host}/{n}/y"] = html(text="同じ本文")
    return answers


def wide(hosts: int) -> dict[str, Reply | list[Reply]]:
    """Some hosts of twenty-one pages each, all linked from the first."""
    names = [f"http://h{number}.example" for number in range(hosts)]
    answers: dict[str, Reply | list[Reply]] = {f"{A}/": html(*(f"{name}/" for name in names))}
    for name in names:
        answers[f"{name}/robots.txt"] = Reply(body=b"User-agent: *\nDisallow: /no")
        answers[f"{name}/"] = html("/no", *(f"/{n}" for n in range(4)))
        for n in range(4):
            answers[f"{name}/{n}"] = html(*(f"/{n}/{m}" for m in range(4)), text=f"{name} {n}")
            answers |= {f"{name}/{n}/{m}": html(text=f"{name} {n} {m}") for m in range(4)}
    return answers


def start(root: Path, site: Site, max_pages: int = 30) -> subprocess.Popen[str]:
    settings = json.dumps(quick(site, delay_s=0.005, max_pages=max_pages))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.crawl.trial", str(root), settings],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(root: Path, site: Site, max_pages: int = 30) -> str:
    with start(root, site, max_pages) as process:
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    return printed.strip()


def kill_at(root: Path, site: Site, requests: int, after_s: float, max_pages: int = 30) -> None:
    """Kill the crawl a moment after the server has seen so many more requests."""
    wanted = len(site.log) + requests
    with start(root, site, max_pages) as process:
        while len(site.log) < wanted and process.poll() is None:
            time.sleep(0.001)
        time.sleep(after_s)
        process.kill()


def check_archive(root: Path) -> None:
    """Every record is whole, every page has one response record, where the index says."""
    found: Counter[str] = Counter()
    places = {}
    for path in sorted((root / "crawl" / "warc").iterdir()):
        with path.open("rb") as file:
            records = ArchiveIterator(file, check_digests="raise")
            for record in records:
                record.content_stream().read()
                if record.rec_type == "response":
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    found[url] += 1
                    places[url] = (path.name, records.get_record_offset())
    assert found == Counter(kept(root))
    for page in index(root):
        assert places[page["url"]] == (page["warc"], page["offset"])


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 9))]
)
def test_killed_again_and_again_it_ends_as_if_it_had_not_been(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    with Site(pages()) as site:
        whole = finish(tmp_path / "whole", site)
    with Site(pages()) as site:
        for _ in range(4):
            kill_at(tmp_path / "killed", site, dice.randint(1, 9), dice.uniform(0.0, 0.05))
        assert finish(tmp_path / "killed", site) == whole
        asked = Counter(site.pages_asked())
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")
    assert len(kept(tmp_path / "whole")) == 30
    check_archive(tmp_path / "killed")
    assert f"{A}/no" not in asked
    again = {url: count - 1 for url, count in asked.items() if not url.endswith("/busy")}
    assert sum(again.values()) <= 4 * 2, "a kill repeats at most what was in flight: one a host"


@pytest.mark.long
def test_thirty_kills_lose_nothing_and_keep_nothing_twice(tmp_path: Path) -> None:
    dice = random.Random(20_26)
    kills, hosts = 30, 18  # pages enough that a busy machine is not done before the last kill
    with Site(wide(hosts)) as site:
        whole = finish(tmp_path / "whole", site, 999)
    struck = 0
    with Site(wide(hosts)) as site:
        for _ in range(kills):
            before = len(site.log)
            kill_at(tmp_path / "killed", site, dice.randint(1, 5), dice.uniform(0, 0.03), 999)
            struck += len(site.log) > before
        assert finish(tmp_path / "killed", site, 999) == whole
        asked = Counter(site.pages_asked())
    assert struck >= 20, "most kills must have hit a crawl that was at work"
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")
    assert len(kept(tmp_path / "whole")) == 1 + hosts * 21
    check_archive(tmp_path / "killed")
    assert sum(count - 1 for count in asked.values()) <= kills * (1 + hosts)
    assert not [url for url in asked if url.endswith("/no")]
