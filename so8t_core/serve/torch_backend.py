"""A folded or gated checkpoint, run by transformers; several answers at once."""

# transformers annotates only part of what is called here
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers.decoders import DecodeStream

from so8t_core.contract.errors import DataError, ModelError
from so8t_core.contract.files import canonical_json, sha256_text
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.contract.thinking import SEQUENCE
from so8t_core.model.base import digest_of
from so8t_core.model.loading import (
    compute_dtype,
    load_base,
    load_gated,
    load_tokenizer,
    pick_device,
)
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config, SO8TRotationGate
from so8t_core.model.weights import CONFIG_FILE, ModelFolder
from so8t_core.serve.audit_record import Served
from so8t_core.serve.backend import Drawn, Message, Piece, Writing, draw
from so8t_core.serve.disguise import REPLACEMENT
from so8t_core.serve.panics import contained
from so8t_core.serve.prompt import TEMPLATE_ERRORS, PromptEncoder


class Speller:
    """Token ids to pieces, as they come. Nothing is skipped: a control token is told as one."""

    def __init__(self, tokenizer: Any, control_ids: frozenset[int], tags: dict[int, str]) -> None:
        self._tokenizer = tokenizer
        self._inner = tokenizer.backend_tokenizer
        self._control_ids = control_ids
        self._tags = tags
        self._stream = DecodeStream(skip_special_tokens=False)
        self._ids: list[int] = []
        self._said = ""

    def piece(self, token: int, probability: float = 1.0, *, likeliest: bool = True) -> Piece:
        """What the next token stands for; empty while a character is unfinished."""
        if token in self._tags:
            tag = self._tags[token]
            return Piece(tag=tag, probability=probability, likeliest=likeliest)
        if token in self._control_ids:
            return Piece(control=True, probability=probability, likeliest=likeliest)
        self._ids.append(token)
        text = self._stream.step(self._inner, token) or ""
        self._said += text
        return Piece(text.encode(), probability=probability, likeliest=likeliest)

    def rest(self, *, ended: bool) -> Piece:
        """What is left at the end; an unfinished character only where the model itself ended."""
        whole: str = self._tokenizer.decode(
            self._ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if not whole.startswith(self._said):
            return Piece(control=True)  # two readings of the same tokens: none is to be trusted
        rest = whole[len(self._said) :]
        return Piece((rest if ended else rest.rstrip(REPLACEMENT)).encode())


class _Row:
    """One answer of a running batch."""

    def __init__(self, writing: Writing, speller: Speller, room: int) -> None:
        self.writing = writing
        self._speller = speller
        self._left = min(writing.sampling.max_new_tokens, room)

    def take(self, drawn: Drawn, end_ids: frozenset[int]) -> bool:
        """Take a token; False when the answer has come to its end."""
        if not self.writing.wanted:
            return self._end(ended=False)
        if drawn.token in end_ids:
            return self._end(ended=True)
        piece = self._speller.piece(drawn.token, drawn.probability, likeliest=drawn.likeliest)
        self.writing.take(piece)
        self._left -= 1
        return self._left > 0 or self._end(ended=False)

    def choose(
        self,
        logits: npt.NDArray[np.float32],
        random: np.random.Generator,
        end_ids: frozenset[int],
    ) -> int | None:
        """The next token by its logits, (vocabulary,); None when the answer has come to its end.

        What goes wrong here ends this answer alone.
        """

        def go_on() -> int | None:
            drawn = draw(logits, self.writing.sampling, random)
            return drawn.token if self.take(drawn, end_ids) else None

        try:
            return contained(go_on)
        except Exception as error:  # noqa: BLE001 - told to its caller; the others go on
            self.writing.fail(error)
            return None

    def _end(self, *, ended: bool) -> bool:
        self.writing.take(self._speller.rest(ended=ended))
        self.writing.end(ended=ended)
        return False


class TorchBackend:
    """Runs a model folder. Raises `ModelError` and its kin where it cannot be served."""

    tags_are_tokens: bool

    def __init__(self, folder: Path, settings: ServeSettings, *, seed: int | None = None) -> None:
        model = ModelFolder.read(folder)
        self._device = pick_device(settings.device)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        dtype = compute_dtype(settings.dtype, model.dtype, self._device)
        gated = _entry(model, "model_type") == SO8TPhi3Config.model_type
        load = load_gated if gated else load_base
        self._model: Any = load(folder, dtype=dtype, device=self._device)
        _build_rotations(self._model)
        self._tokenizer: Any = load_tokenizer(folder)
        self._check_tokenizer(folder)
        self._random = np.random.default_rng(seed)
        added = dict(self._tokenizer.added_tokens_decoder)
        self._tags = {n: t.content for n, t in added.items() if t.content in SEQUENCE}
        self.tags_are_tokens = len(self._tags) == len(SEQUENCE)
        self._control_ids = frozenset(
            number
            for number, token in added.items()
            if token.special or token.content in self._tokenizer.chat_template
        )
        self._end_ids = _end_tokens(self._model, self._tokenizer) & self._control_ids
        self._prompts = PromptEncoder(
            self._render, self._frame_ids, self._text_ids, self._control_ids
        )
        self.max_batch = settings.limits.max_batch
        longest = int(_entry(model, "max_position_embeddings"))
        self.context_tokens = min(settings.context_tokens, longest)
        self.served = Served(
            model=digest_of(folder),
            tokenizer=sha256_text(self._tokenizer.backend_tokenizer.to_str()),
            template=sha256_text(canonical_json(self._tokenizer.chat_template)),
        )

    def _check_tokenizer(self, folder: Path) -> None:
        if not self._tokenizer.is_fast:
            raise ModelError(
                "The tokenizer has no fast form, so tokens cannot be read one by one.",
                where=str(folder),
                hint="Save the model with its tokenizer.json.",
            )
        if not isinstance(self._tokenizer.chat_template, str):
            raise ModelError(
                "The tokenizer has no chat template.",
                where=str(folder),
                hint="Add the model's template (chat_template.jinja) to its folder.",
            )

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return self._prompts.encode(messages)

    def renders(self, messages: Sequence[Message]) -> str:
        return self._render(messages, False)

    def count(self, text: str) -> int:
        return len(self._text_ids(text))

    def spell(self, text: str) -> list[Piece]:
        speller = self._speller()
        return [*map(speller.piece, self._frame_ids(text)), speller.rest(ended=True)]

    def write(self, batch: Sequence[Writing]) -> None:
        rows = [
            _Row(writing, self._speller(), self.context_tokens - len(writing.ids))
            for writing in batch
        ]
        width = max(len(writing.ids) for writing in batch)
        pad = self._tokenizer.pad_token_id or 0
        padded = [[pad] * (width - len(w.ids)) + list(w.ids) for w in batch]
        marks = [[0] * (width - len(w.ids)) + [1] * len(w.ids) for w in batch]
        given = torch.tensor(padded, device=self._device)  # (rows, tokens)
        mask = torch.tensor(marks, device=self._device)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        cache: Any = None
        with torch.inference_mode():
            while rows:
                output = self._model(
                    input_ids=given,
                    attention_mask=mask,
                    position_ids=places,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                cache = output.past_key_values
                kept, tokens = self._choose(rows, output.logits[:, -1])
                if len(kept) < len(rows):
                    rows = [rows[index] for index in kept]
                    if not rows:
                        return
                    chosen = torch.tensor(kept, device=self._device)
                    cache.batch_select_indices(chosen)
                    mask, places = mask[chosen], places[chosen]
                given = torch.tensor([[token] for token in tokens], device=self._device)
                mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
                places = places[:, -1:] + 1

    def _choose(self, rows: list[_Row], logits: torch.Tensor) -> tuple[list[int], list[int]]:
        """Which rows go on, and their tokens; `logits`: (rows, vocabulary)."""
        kept: list[int] = []
        tokens: list[int] = []
        for index, (row, numbers) in enumerate(
            zip(rows, logits.float().cpu().numpy(), strict=True)
        ):
            token = row.choose(numbers, self._random, self._end_ids)
            if token is not None:
                kept.append(index)
                tokens.append(token)
        return kept, tokens

    def close(self) -> None:
        del self._model

    def _speller(self) -> Speller:
        return Speller(self._tokenizer, self._control_ids - self._tags.keys(), self._tags)

    def _render(self, messages: Sequence[Message], ask: bool) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                tokenize=False,
                add_generation_prompt=ask,
            )
        except TEMPLATE_ERRORS:
            # no cause: the template's own words may repeat what it was given
            raise DataError(
                "The chat template refuses the roles or their order.",
                hint="Send the roles system, user, assistant in the order that the model knows.",
            ) from None
        return text

    def _frame_ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def _text_ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        ).input_ids
        return ids


def _entry(model: ModelFolder, name: str) -> Any:
    if name not in model.config:
        raise ModelError(
            f"The model's config has no {name}.",
            where=str(model.path / CONFIG_FILE),
            hint="Export the model again, or complete its config.json.",
        )
    return model.config[name]


def _build_rotations(model: Any) -> None:
    """Build each gate's matrices once instead of for every token."""
    for module in model.modules():
        if isinstance(module, SO8TRotationGate):
            with torch.no_grad():
                module.prepared = module.rotation()


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer: by the tokenizer, the config and the generation config."""
    found: set[int] = set()
    for value in (
        tokenizer.eos_token_id,
        model.config.eos_token_id,
        model.generation_config.eos_token_id,
    ):
        if isinstance(value, int):
            found.add(value)
        elif value is not None:
            found.update(value)
    return frozenset(found)
