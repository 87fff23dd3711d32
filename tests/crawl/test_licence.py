import pytest

from so8t_core.contract.settings.crawl import LicenceSettings
from so8t_core.crawl.licence import Mark, decide, identify, judge


@pytest.mark.parametrize(
    ("value", "licence", "decision"),
    [
        ("https://creativecommons.org/licenses/by/4.0/deed.ja", "CC-BY-4.0", "allow"),
        ("http://creativecommons.org/licenses/by-sa/2.1/jp/", "CC-BY-SA-2.1-JP", "allow"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0", "allow-noncommercial"),
        ("//creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0", "deny"),
        ("https://creativecommons.org/licenses/by-nd/3.0/", "CC-BY-ND-3.0", "deny"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", "allow"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0", "allow"),
        ("この文書は CC BY 4.0 で提供", "CC-BY-4.0", "allow"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "GFDL-1.3", "allow"),
        ("政府標準利用規約（第2.0版）", "JGSL-2.0", "allow"),
        ("https://example.org/terms", "other", "unknown"),
    ],
)
def test_marks_are_identified_and_decided(value: str, licence: str, decision: str) -> None:
    assert identify(value) == licence
    assert decide(licence, LicenceSettings()) == decision


def test_of_several_marks_the_strictest_counts_with_its_evidence() -> None:
    found = judge(
        [
            Mark("meta", "CC BY 4.0"),
            Mark("link", "https://creativecommons.org/licenses/by-nd/4.0/"),
        ],
        LicenceSettings(),
    )
    assert (found.id, found.decision) == ("CC-BY-ND-4.0", "deny")
    assert found.evidence.startswith("link: https://")


def test_no_mark_means_unknown() -> None:
    assert judge([], LicenceSettings()).decision == "unknown"
