"""A GGUF file, run by llama.cpp; one answer at a time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.exceptions import TemplateError

from so8t_core.contract.errors import DataError, InputMissing, ModelError
from so8t_core.contract.files import canonical_json, sha256_file, sha256_text
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.contract.thinking import SEQUENCE
from so8t_core.model.llama_cpp_package import load
from so8t_core.serve.audit_record import Served
from so8t_core.serve.backend import Message, Piece, Writing, draw
from so8t_core.serve.prompt import TEMPLATE_ERRORS, PromptEncoder

_CONTROL_BITS = 0x08  # llama.cpp's LLAMA_TOKEN_ATTR_CONTROL
_USER_DEFINED_BITS = 0x10


class LlamaBackend:
    """Runs a GGUF file in this process; llama.cpp's own server is never started.

    `digest` is what the file's SHA-256 must be: a GGUF is loaded only when it is known.
    Raises `ModelError` and its kin where it cannot be served.
    """

    max_batch = 1

    def __init__(
        self, path: Path, digest: str | None, settings: ServeSettings, *, seed: int | None = None
    ) -> None:
        found = _checked_digest(path, digest)
        self._llama = _load(path, settings)
        self._random = np.random.default_rng(seed)
        template, bos, eos = _template_of(self._llama, path)
        self._formatter = _formatter(template, bos, eos)
        self._read_tokens(template)
        self._prompts = PromptEncoder(
            self._render, self._frame_ids, self._text_ids, self._control_ids
        )
        self.context_tokens = int(self._llama.n_ctx())
        self.served = Served(
            model=found,
            tokenizer=self._tokens_digest,
            template=sha256_text(canonical_json(template)),
        )

    def _read_tokens(self, template: str) -> None:
        llama_cpp = load()
        vocabulary = llama_cpp.llama_model_get_vocab(self._llama.model)
        digest = hashlib.sha256()
        controls: set[int] = set()
        self._tags: dict[int, str] = {}
        self._end_ids: set[int] = set()
        for number in range(self._llama.n_vocab()):
            attributes = llama_cpp.llama_vocab_get_attr(vocabulary, number)
            written = self._bytes(number)
            digest.update(canonical_json([number, attributes, written.hex()]).encode())
            if llama_cpp.llama_vocab_is_eog(vocabulary, number):
                self._end_ids.add(number)
            if not attributes & (_CONTROL_BITS | _USER_DEFINED_BITS):
                continue
            text = written.decode("utf-8", errors="replace")
            if text in SEQUENCE:
                self._tags[number] = text
            if attributes & _CONTROL_BITS or text in template:
                controls.add(number)
        self._control_ids = frozenset(controls)
        self._tokens_digest = digest.hexdigest()
        self.tags_are_tokens = len(self._tags) == len(SEQUENCE)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return self._prompts.encode(messages)

    def renders(self, messages: Sequence[Message]) -> str:
        return self._render(messages, False)

    def count(self, text: str) -> int:
        return len(self._text_ids(text))

    def spell(self, text: str) -> list[Piece]:
        return [self._piece(number) for number in self._frame_ids(text)]

    def write(self, batch: Sequence[Writing]) -> None:
        for writing in batch:
            try:
                ended = self._write_one(writing)
            except Exception as error:  # noqa: BLE001 - told to its caller; the others go on
                writing.fail(error)
            else:
                writing.end(ended=ended)

    def _write_one(self, writing: Writing) -> bool:
        """Write one answer; whether the model itself ended it."""
        # from an empty cache: whether another's prompt began alike must not show in the time
        self._llama.reset()
        given = list(writing.ids)
        left = min(writing.sampling.max_new_tokens, self.context_tokens - len(given))
        while left > 0 and writing.wanted:
            self._llama.eval(given)
            drawn = draw(self._logits(), writing.sampling, self._random)
            if drawn.token in self._end_ids:
                return True
            writing.take(self._piece(drawn.token, drawn.probability, likeliest=drawn.likeliest))
            given = [drawn.token]
            left -= 1
        return False

    def close(self) -> None:
        self._llama.close()

    def _logits(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        llama_cpp = load()
        pointer = llama_cpp.llama_get_logits_ith(self._llama.ctx, -1)
        return np.array(np.ctypeslib.as_array(pointer, shape=(self._llama.n_vocab(),)))

    def _piece(self, token: int, probability: float = 1.0, *, likeliest: bool = True) -> Piece:
        if token in self._tags:
            tag = self._tags[token]
            return Piece(tag=tag, probability=probability, likeliest=likeliest)
        if token in self._control_ids:
            return Piece(control=True, probability=probability, likeliest=likeliest)
        return Piece(self._bytes(token), probability=probability, likeliest=likeliest)

    def _bytes(self, token: int) -> bytes:
        import ctypes

        llama_cpp = load()
        vocabulary = llama_cpp.llama_model_get_vocab(self._llama.model)
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            taken = llama_cpp.llama_token_to_piece(vocabulary, token, buffer, size, 0, True)
            if taken >= 0:
                return buffer.raw[:taken]
            size = -taken

    def _render(self, messages: Sequence[Message], ask: bool) -> str:
        self._formatter.add_generation_prompt = ask
        try:
            text: str = self._formatter(
                messages=[{"role": m.role, "content": m.content} for m in messages]
            ).prompt
        except TEMPLATE_ERRORS:
            # no cause: the template's own words may repeat what it was given
            raise DataError(
                "The chat template refuses the roles or their order.",
                hint="Send the roles system, user, assistant in the order that the model knows.",
            ) from None
        return text

    def _frame_ids(self, text: str) -> list[int]:
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=True))

    def _text_ids(self, text: str) -> list[int]:
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=False))


def _checked_digest(path: Path, digest: str | None) -> str:
    if not path.is_file():
        raise InputMissing("There is no such GGUF file.", where=str(path), hint="Check the path.")
    found = sha256_file(path)
    if digest is None:
        raise ModelError(
            "A GGUF file is served only when its digest is known.",
            where=str(path),
            hint=f"If you made or checked this file, set serve.model_sha256: {found}",
        )
    if not hmac.compare_digest(found, digest):
        raise ModelError(
            "The GGUF file is not the one that was named.",
            where=str(path),
            hint=f"Its SHA-256 is {found}; expected was {digest}.",
        )
    return found


def _load(path: Path, settings: ServeSettings) -> Any:
    try:
        llama_cpp = load()
    except ImportError as error:
        raise ModelError(
            "llama-cpp-python is not installed.",
            where=str(path),
            hint="pip install 'so8t[llama]', or serve the folded checkpoint instead.",
        ) from error
    try:
        trained = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
        kind = trained.metadata["general.architecture"]
        longest = int(trained.metadata[f"{kind}.context_length"])
        trained.close()
        return llama_cpp.Llama(
            str(path),
            n_ctx=min(settings.context_tokens, longest),
            n_threads=settings.threads,
            n_threads_batch=settings.threads,
            n_gpu_layers=0 if settings.device == "cpu" else -1,
            verbose=False,
        )
    except TemplateError as error:
        raise ModelError(
            "The GGUF file's chat template cannot be read.",
            where=str(path),
            hint="Give the model a template that is one, and export again.",
        ) from error
    except (ValueError, RuntimeError, LookupError) as error:
        raise ModelError(
            "llama.cpp cannot load the file.", where=str(path), hint="Export it again."
        ) from error


def _template_of(llama: Any, path: Path) -> tuple[str, str, str]:
    """Chat template and the texts of the tokens that begin and end a sequence."""
    if "tokenizer.chat_template" not in llama.metadata:
        raise ModelError(
            "The GGUF file has no chat template.", where=str(path), hint="Export it again."
        )

    def text_of(token: int) -> str:
        text: str = llama._model.token_get_text(token) if token >= 0 else ""
        return text

    return (
        llama.metadata["tokenizer.chat_template"],
        text_of(llama.token_bos()),
        text_of(llama.token_eos()),
    )


def _formatter(template: str, bos: str, eos: str) -> Any:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    return Jinja2ChatFormatter(template=template, eos_token=eos, bos_token=bos)
