"""The four parts of a thinking answer and their tags: what is trained, parsed and served."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """What the model writes, in this order; only FINAL ever leaves."""

    TASK = "think-task"
    SAFETY = "think-safety"
    POLICY = "think-policy"
    FINAL = "final"

    @property
    def opener(self) -> str:
        """The tag before the part."""
        return f"<{self.value}>"

    @property
    def closer(self) -> str:
        """The tag behind the part."""
        return f"</{self.value}>"


SEQUENCE: tuple[str, ...] = tuple(tag for part in Part for tag in (part.opener, part.closer))
"""All eight tags, in the only order that is accepted."""
