import itertools

import pytest

from so8t_core.cleanse.boilerplate import LineCensus, line_name, remove_lines
from tests.cleanse.samples import prose

NOTICE = "当サイトの記事は自由にお使いいただけます"


@pytest.fixture
def census_of(tmp_path):
    """A census of texts, by turns of these hosts."""
    numbers = itertools.count()

    def count(texts, hosts=("www.example",)):
        census = LineCensus(5, 0.3, tmp_path / str(next(numbers)))
        for text, host in zip(texts, itertools.cycle(hosts), strict=False):
            census.add(host, text)
        return census.repeated()

    return count


def test_a_line_on_many_pages_of_one_host_is_boilerplate(census_of):
    found = census_of(f"{prose(seed)}\n{NOTICE}" for seed in range(6))
    assert found == {"www.example": frozenset({line_name(NOTICE)})}


def test_a_line_on_few_pages_is_not(census_of):
    texts = [f"{prose(seed)}\n{NOTICE}" for seed in range(4)]
    assert census_of(texts) == {}
    assert census_of(texts + [NOTICE + prose(5)] + [prose(seed) for seed in range(9, 30)]) == {}


def test_copies_of_a_page_do_not_make_its_text_boilerplate(census_of):
    assert census_of([prose(1)] * 20) == {}


def test_hosts_are_counted_apart(census_of):
    texts = [f"{prose(seed)}\n{NOTICE}" for seed in range(8)]
    assert census_of(texts, ("one.example", "two.example")) == {}
    texts = [f"{prose(seed)}\n{NOTICE}" for seed in range(12)]
    found = census_of(texts, ("one.example", "two.example", "one.example"))
    assert set(found) == {"one.example"}


def test_lines_are_removed_and_counted():
    text, removed = remove_lines(f"{prose(1)}\n{NOTICE}", {line_name(NOTICE)})
    assert (text, removed) == (prose(1), 1)


def test_a_page_that_would_lose_most_of_itself_keeps_everything():
    lines = {line_name(line) for line in prose(1).split("\n")}
    assert remove_lines(prose(1), lines) == (prose(1), 0)
