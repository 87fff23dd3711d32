"""What the cleansing computes with hashes and indices, written plainly: for comparison."""

from so8t_core.cleanse.text import comparable


def shingles(text: str) -> frozenset[str]:
    """The set of character 5-grams of the comparable text; a shorter text is one of its own."""
    key = comparable(text)
    return frozenset(key[place : place + 5] for place in range(max(1, len(key) - 4)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over that of the union."""
    return len(left & right) / len(left | right)
