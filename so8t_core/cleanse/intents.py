"""All intents and topics, of which each may flag a text (see `intent.py`)."""

from __future__ import annotations

from so8t_core.cleanse import intents_person, intents_trade, topics
from so8t_core.cleanse.intent import Intent

INTENTS: tuple[Intent, ...] = (*intents_person.INTENTS, *intents_trade.INTENTS, *topics.TOPICS)
