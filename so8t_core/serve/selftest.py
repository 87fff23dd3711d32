"""The test before anything is served: no tokenizer or template that would lose the tags."""

from __future__ import annotations

from so8t_core.contract.errors import ModelError
from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.serve.backend import Backend, Message, Sampling
from so8t_core.serve.drafts import Draft
from so8t_core.serve.think import ParseStatus, ThinkParser

_BODIES = {
    Part.TASK: "質問 about 🗼, e.g. 1 < 2",
    Part.SAFETY: "ALLOW",
    Part.POLICY: "短く答える",
    Part.FINAL: "東京タワーは 333 m です。\nIt is 🗼.",
}
SAMPLE = "\n".join(f"{part.opener}{body}{part.closer}" for part, body in _BODIES.items())


def check_backend(backend: Backend, *, instructions: str | None, where: str) -> None:
    """Raise `ModelError` for a broken model, or one whose thinking cannot be told from answers."""
    _check_tags(backend, where)
    _check_template(backend, where)
    _check_roles(backend, instructions, where)


def _check_tags(backend: Backend, where: str) -> None:
    pieces = backend.spell(SAMPLE)
    as_tokens = {piece.tag for piece in pieces if piece.tag is not None}
    if as_tokens and as_tokens != set(SEQUENCE):
        raise ModelError(
            f"The tokenizer has tokens for {len(as_tokens)} of the eight thinking tags only.",
            where=where,
            hint="Add all of them to the tokenizer or none.",
        )
    parser = ThinkParser(tags_are_tokens=backend.tags_are_tokens)
    for piece in pieces:
        if piece.control:
            parser.fail(ParseStatus.CONTROL_TOKEN)
        elif piece.tag is not None:
            parser.feed_tag(piece.tag)
        else:
            parser.feed(piece.data)
    thought = parser.finish(ended=True)
    spelt = {part: body.strip() for part, body in thought.bodies.items()}
    if thought.status is not ParseStatus.COMPLETE or spelt != _BODIES:
        raise ModelError(
            f"The tokenizer does not give the thinking tags back as they are "
            f"({thought.status.value}).",
            where=where,
            hint="Serve a model whose tokenizer keeps them; special tokens must not be stripped.",
        )


def _check_template(backend: Backend, where: str) -> None:
    """A template that rewrites answers has taught the model something else than the four parts."""
    conversation = [Message("user", "a"), Message("assistant", SAMPLE), Message("user", "b")]
    for messages in (conversation[:2], conversation):
        if SAMPLE not in backend.renders(messages):
            raise ModelError(
                "The chat template strips or changes the thinking tags of an answer.",
                where=where,
                hint="Give the model a template that shows contents as they are.",
            )


def _check_roles(backend: Backend, instructions: str | None, where: str) -> None:
    question = [Message("user", "a")]
    asked = [Message("system", instructions), *question] if instructions else question
    ids = backend.encode(asked)
    if len(ids) >= backend.context_tokens:
        raise ModelError(
            "The instructions alone fill the model's context.",
            where=where,
            hint="Shorten serve.instructions or raise serve.context_tokens.",
        )
    draft = Draft(ids, Sampling(1, 0.0, 1.0), tags_are_tokens=backend.tags_are_tokens)
    backend.write([draft])
    error = draft.done.exception(0)
    if error is not None:
        raise error
