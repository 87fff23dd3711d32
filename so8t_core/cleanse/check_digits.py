"""Numbers that prove themselves by a check digit."""

from __future__ import annotations

_MY_NUMBER_WEIGHTS = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


def is_my_number(digits: str) -> bool:
    """Twelve digits whose last one is right (ordinance 85 of 2014, article 5)."""
    if len(digits) != 12 or not digits.isascii() or not digits.isdigit():
        return False
    total = sum(
        int(digit) * weight for digit, weight in zip(digits, _MY_NUMBER_WEIGHTS, strict=False)
    )
    rest = total % 11
    return int(digits[-1]) == (0 if rest <= 1 else 11 - rest)


def is_corporate_number(digits: str) -> bool:
    """Thirteen digits whose first one is right (ordinance 70 of 2014, article 2)."""
    if len(digits) != 13 or not digits.isascii() or not digits.isdigit():
        return False
    total = sum(
        int(digit) * (1 if place % 2 == 0 else 2)
        for place, digit in enumerate(reversed(digits[1:]))
    )
    return int(digits[0]) == 9 - total % 9


def passes_luhn(digits: str) -> bool:
    """The check of payment cards (ISO/IEC 7812-1, annex B)."""
    if not digits.isascii() or not digits.isdigit():
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_card_number(digits: str) -> bool:
    """A card number by its issuer's prefix, its length and its check digit."""
    length = len(digits)
    known = (
        (length == 16 and digits[0] in "45")
        or (length == 16 and digits[:2] in {"35", "65", "60", "62"})
        or (length == 16 and "2221" <= digits[:4] <= "2720")
        or (length == 15 and digits[:2] in {"34", "37"})
        or (length == 14 and digits[:2] in {"30", "36", "38", "39"})
        or (17 <= length <= 19 and digits[:2] == "62")
    )
    return known and len(set(digits)) > 1 and passes_luhn(digits)
