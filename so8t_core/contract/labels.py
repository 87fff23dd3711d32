"""Labels that data, settings, evaluation and serving share: of safety, and of personal data."""

from __future__ import annotations

from enum import StrEnum


class SafetyLabel(StrEnum):
    """What may be done with a request or a text.

    ALLOW       it may be answered, and may be learned from.
    ESCALATION  a person has to look first; also everything unknown, unreadable or undecidable.
    DENY        the content itself is not provided here (adult or gory material).
    REFUSE      it asks for, or teaches, harm to people or a breach of law.
    """

    ALLOW = "ALLOW"
    ESCALATION = "ESCALATION"
    DENY = "DENY"
    REFUSE = "REFUSE"

    @classmethod
    def read(cls, value: object) -> SafetyLabel:
        """The label that a stored or generated value names; anything unknown is ESCALATION."""
        if isinstance(value, str):
            name = value.strip().upper()
            if name in cls.__members__:
                return cls[name]
        return cls.ESCALATION


def strictest(labels: list[SafetyLabel]) -> SafetyLabel:
    """The label that wins where several apply: REFUSE, then DENY, ESCALATION, ALLOW.

    Nothing at all is unknown, hence ESCALATION.
    """
    for label in (SafetyLabel.REFUSE, SafetyLabel.DENY, SafetyLabel.ESCALATION):
        if label in labels:
            return label
    return SafetyLabel.ALLOW if labels else SafetyLabel.ESCALATION


class PersonalData(StrEnum):
    """Types of personal and confidential data; of two that overlap the earlier one wins."""

    PRIVATE_KEY = "private_key"
    CREDENTIAL_URL = "credential_url"
    SECRET = "secret"  # noqa: S105  the name of a type
    EMAIL = "email"
    CARD = "card"
    DRIVING_LICENCE = "driving_licence"
    BANK_ACCOUNT = "bank_account"
    CORPORATE_NUMBER = "corporate_number"
    MY_NUMBER = "my_number"
    PASSPORT = "passport"
    OFFICIAL_NUMBER = "official_number"
    PHONE = "phone"
    IP_ADDRESS = "ip_address"
    ADDRESS = "address"
    POSTAL_CODE = "postal_code"
    BIRTHDAY = "birthday"
    NAME = "name"
