"""The exported model in Ollama: uploaded by digest, created, looked at and asked something.

Ollama does not split our thinking tags from an answer: a model that thinks aloud must not be
exposed through it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from so8t_core.contract.errors import (
    InputInvalid,
    InputMissing,
    ModelError,
    So8tError,
    StoreError,
    Unreachable,
)
from so8t_core.contract.files import sha256_file, write_json
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.plain import plain_text
from so8t_core.contract.thinking import SEQUENCE

if TYPE_CHECKING:
    import ollama

RECIPE_FILE = "ollama.json"
OLDEST = (0, 5, 5)
"""The first version of Ollama's server whose create call takes files by digest."""

SILENCE_S = 600.0
"""How long Ollama may say nothing; it loads and quantises large files in that time."""

THINKING = "(it thinks first; not shown here)"
_DEFAULT_PORT = 11434
_QUESTION = "こんにちは。短く自己紹介してください。"
_ANSWER_TOKENS = 32
_SHOWN_CHARACTERS = 400
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}(?::[A-Za-z0-9._-]{1,80})?")


@dataclass(frozen=True)
class Recipe:
    """What Ollama has to be told, `gguf` relative to the export folder.

    `template` and `stop` are None and empty where no known form of chat fits the tokenizer.
    """

    gguf: str
    template: str | None
    system: str | None
    stop: tuple[str, ...]
    context_tokens: int

    def write(self, folder: Path) -> None:
        """Keep it beside the Modelfile."""
        write_json(folder / RECIPE_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        """What `write` kept; `InputMissing` where it is not there, `StoreError` if damaged."""
        path = folder / RECIPE_FILE
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**value, "stop": tuple(value["stop"])})
        except FileNotFoundError as error:
            raise InputMissing(
                "The run's export made nothing for Ollama.",
                where=str(path),
                hint="Set export.modelfile_type to one of export.gguf_types and export again.",
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "The recipe for Ollama is damaged.", where=str(path), hint="Export again."
            ) from error

    def parameters(self) -> dict[str, Any]:
        """As the create call wants them."""
        stop = {"stop": list(self.stop)} if self.stop else {}
        return {**stop, "num_ctx": self.context_tokens}


@dataclass(frozen=True)
class Published:
    """What stands in Ollama now, and what it answered to a first question."""

    name: str
    digest: str
    version: str
    quantize: str | None
    answer: str


@dataclass(frozen=True)
class Step:
    """What is being done, and how many bytes of it are, where Ollama counts them."""

    text: str
    done_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True)
class Publishing:
    """Everything that one publication needs. `tell` hears of each step, and of its bytes."""

    folder: Path
    recipe: Recipe
    name: str
    host: str
    quantize: str | None
    tell: Callable[[Step], None]

    def by_hand(self) -> str:
        """The commands that do the same with Ollama's own client."""
        wish = f" --quantize {self.quantize}" if self.quantize else ""
        modelfile = shlex.quote(str(self.folder / "Modelfile"))
        create = f"ollama create {self.name} -f {modelfile}{wish}"
        return f"by hand: `ollama serve`, then `{create}` and `ollama run {self.name}`"


def quantisable(recipe: Recipe, manifest: Manifest) -> Recipe:
    """The recipe with the export's F32 or F16 file: Ollama quantises nothing else.

    Raises `InputInvalid` where the export has neither.
    """
    for type_ in ("F32", "F16"):
        for record in manifest.outputs:
            if record.path.endswith(f"-{type_}.gguf"):
                return replace(recipe, gguf=record.path)
    raise InputInvalid(
        "Ollama quantises only F32 and F16 files, and this export has neither.",
        where="--quantize",
        hint="Add F16 to export.gguf_types and export again, or leave --quantize out.",
    )


def checked_name(name: str) -> str:
    """A name that Ollama takes; `InputInvalid` for any other."""
    if not _NAME.fullmatch(name):
        raise InputInvalid(
            f"{plain_text(name, limit=80)!r} is no name for a model in Ollama.",
            where="--name",
            hint="Use letters, digits, dots, dashes and underlines, and a :tag if you like.",
        )
    return name


def base_url(host: str) -> str:
    """A host as Ollama's client reads it, with scheme and port. Raises `InputInvalid`."""
    try:
        parts = urlsplit(host if "://" in host else f"http://{host}")
        port = parts.port or _DEFAULT_PORT
    except ValueError as error:
        raise InputInvalid(
            f"The host of Ollama cannot be read ({error}).",
            where=host,
            hint="For example http://127.0.0.1:11434",
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputInvalid(
            "The host of Ollama is no http or https address.",
            where=host,
            hint="For example http://127.0.0.1:11434",
        )
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{name}:{port}"


def publish(plan: Publishing, manifest: Manifest) -> Published:
    """Check the file, upload it, create the model, read it back and ask it something.

    Raises `Unreachable` without a server, `InputInvalid` for one that is too old, `StoreError` for
    a file that is not the manifest's, `ModelError` where Ollama refuses it or keeps something else;
    each names the commands to run by hand.
    """
    import httpx
    import ollama

    try:
        with ollama.Client(host=base_url(plan.host), timeout=SILENCE_S) as client:
            return _publish(client, plan, manifest)
    except ollama.ResponseError as error:
        raise ModelError(
            f"Ollama refuses: {plain_text(str(error.error), limit=300)} (status "
            f"{error.status_code}).",
            where=base_url(plan.host),
            hint=f"Look at the server's log; {plan.by_hand()}.",
        ) from error
    except (OSError, httpx.HTTPError) as error:
        raise _unreachable(plan, error) from error
    except (ValueError, RecursionError, TypeError, AttributeError) as error:
        # the client takes what it gets for an object
        raise InputInvalid(
            f"The server answers in a form that Ollama's client does not know ({_said(error)}).",
            where=base_url(plan.host),
            hint=f"Check that it is Ollama, and update it; {plan.by_hand()}.",
        ) from error


def _publish(client: ollama.Client, plan: Publishing, manifest: Manifest) -> Published:
    version = _version(plan)
    path = plan.folder / plan.recipe.gguf
    _check_file(plan, path, manifest)
    plan.tell(Step(f"uploading {path.name} ({path.stat().st_size:,} bytes)"))
    digest = client.create_blob(path)
    _create(client, plan, {path.name: digest})
    _check_template(client, plan)
    plan.tell(Step("asking a first question"))
    return Published(plan.name, digest, version, plan.quantize, _first_answer(client, plan))


def _said(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return plain_text(first, limit=160)


def _unreachable(plan: Publishing, error: Exception) -> So8tError:
    return Unreachable(
        f"Ollama does not answer ({_said(error)}).",
        where=base_url(plan.host),
        hint=f"Start it, or name another with --host; {plan.by_hand()}.",
    )


def _version(plan: Publishing) -> str:
    """The server's version, if it is new enough."""
    import httpx

    try:
        answer = httpx.get(f"{base_url(plan.host)}/api/version", timeout=10.0)
        version = str(answer.raise_for_status().json()["version"])
        numbers = tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its version cannot be read: {error}") from error
    # a server built from source calls itself 0.0.0
    if numbers < OLDEST and numbers != (0, 0, 0):
        oldest = ".".join(map(str, OLDEST))
        raise InputInvalid(
            f"This Ollama is version {plain_text(version, limit=40)}; files by digest need "
            f"{oldest}.",
            where=base_url(plan.host),
            hint=f"Update Ollama, or {plan.by_hand()}.",
        )
    return version


def _check_file(plan: Publishing, path: Path, manifest: Manifest) -> None:
    """The file is the one that export wrote and checked."""
    known = {record.path: record.sha256 for record in manifest.outputs}
    if not path.is_file() or known.get(plan.recipe.gguf) != sha256_file(path):
        raise StoreError(
            "The GGUF file is not the one that export checked.",
            where=str(path),
            hint="Export again: `so8t retry RUN export`, then `so8t resume RUN`.",
        )


def _create(client: ollama.Client, plan: Publishing, files: Mapping[str, str]) -> None:
    steps = client.create(
        plan.name,
        files=dict(files),
        template=plan.recipe.template,
        system=plan.recipe.system,
        parameters=plan.recipe.parameters(),
        quantize=plan.quantize,
        stream=True,
    )
    last = None
    for step in steps:
        if step.status:
            text = plain_text(step.status, limit=120)
            plan.tell(Step(text, step.completed, step.total))
        last = step.status
    if last != "success":
        raise ModelError(
            f"Ollama did not finish creating the model (its last word: {last!r}).",
            where=base_url(plan.host),
            hint=f"Look at the server's log; {plan.by_hand()}.",
        )


def _check_template(client: ollama.Client, plan: Publishing) -> None:
    """What Ollama keeps is the chat template that it was given."""
    kept = client.show(plan.name).template
    if plan.recipe.template is not None and (kept or "").strip() != plan.recipe.template.strip():
        raise ModelError(
            "Ollama keeps another chat template than it was given.",
            where=f"{base_url(plan.host)}: {plan.name}",
            hint=f"Remove the model with `ollama rm {plan.name}` and try again; {plan.by_hand()}.",
        )


def _first_answer(client: ollama.Client, plan: Publishing) -> str:
    """The beginning of an answer, nothing of thinking. Raises `ModelError` where there is none."""
    found = client.chat(
        plan.name,
        messages=[{"role": "user", "content": _QUESTION}],
        options={"num_predict": _ANSWER_TOKENS, "temperature": 0.0, "seed": 0},
    )
    content = found.message.content or ""
    if "<think" in content or any(tag in content for tag in SEQUENCE):
        return THINKING
    answer = plain_text(content, limit=_SHOWN_CHARACTERS)
    if not answer.strip():
        raise ModelError(
            "The model is in Ollama but answered nothing.",
            where=f"{base_url(plan.host)}: {plan.name}",
            hint=f"Ask it yourself: `ollama run {plan.name}`.",
        )
    return answer
