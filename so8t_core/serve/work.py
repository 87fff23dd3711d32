"""A request on its way, and what came of it before it is audited."""

from __future__ import annotations

from dataclasses import dataclass

from so8t_core.contract.labels import SafetyLabel
from so8t_core.serve.audit_record import Entry, Outcome
from so8t_core.serve.door import Domain
from so8t_core.serve.drafts import Draft, Written
from so8t_core.serve.exchange import Answer, Asked
from so8t_core.serve.logs import Ident
from so8t_core.serve.problems import Code
from so8t_core.serve.think import ParseStatus


@dataclass(frozen=True, repr=False)
class Settled:
    """What came of a request: an answer, or the code of a problem; and its record."""

    entry: Entry
    answer: Answer | None
    code: Code | None = None


@dataclass(repr=False)
class Work:
    """A request on its way; what is known of it when it is cut short."""

    id: Ident
    asked: Asked
    draft: Draft | None = None
    label: SafetyLabel = SafetyLabel.ESCALATION
    domain: Domain | None = None
    submitted: bool = False
    started_s: float = 0.0

    def without_answer(self, outcome: Outcome, code: Code) -> Settled:
        """It ends without anything that could be read."""
        return Settled(self.entry(outcome, None, finish=None), None, code)

    def withheld(self, written: Written) -> Settled:
        """What was written is kept back."""
        return Settled(self.entry(Outcome.WITHHELD, written, finish=None), None, Code.NO_ANSWER)

    def entry(self, outcome: Outcome, written: Written | None, *, finish: str | None) -> Entry:
        """Its record: of the output as much as there is."""
        texts: dict[str, bytes] = {}
        status: ParseStatus | None = None
        if written is not None:
            status = written.thought.status
            texts = {part.value: body.encode() for part, body in written.thought.bodies.items()}
            texts["output"] = written.output
        elif self.draft is not None:
            texts["output"] = self.draft.so_far()
        return Entry(
            request_id=self.id,
            key_id=self.asked.key_id,
            route=self.asked.route,
            outcome=outcome,
            label=self.label,
            parsed=status,
            finish=finish,
            asked_bytes=sum(len(text.encode()) for text in self.asked.texts),
            texts=texts,
        )
