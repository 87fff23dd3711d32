"""A Modelfile for Ollama: the chat template and stop words that the tokenizer's template implies.

Ollama's templates are Go's, so a Jinja template cannot be copied. Two kinds are known; a kind is
only taken where it renders a conversation exactly as the tokenizer does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError

from so8t_core.export.ollama import Recipe

_QUOTES = '"""'
"""What a Modelfile cannot hold inside a quoted text."""
_CONVERSATION = (("user", "一つ目"), ("assistant", "二つ目"), ("user", "三つ目"))


@dataclass(frozen=True)
class ChatKind:
    """How turns are written: `begin` ROLE `middle` CONTENT `end`; `stop` ends an answer."""

    name: str
    begin: str
    middle: str
    end: str
    stop: tuple[str, ...]

    def turn(self, role: str, content: str) -> str:
        """One finished turn."""
        return f"{self.begin}{role}{self.middle}{content}{self.end}"

    def render(self, turns: tuple[tuple[str, str], ...]) -> str:
        """A conversation up to where the assistant is to answer."""
        spoken = "".join(self.turn(role, content) for role, content in turns)
        return f"{spoken}{self.begin}assistant{self.middle}"

    def go_template(self) -> str:
        """The same as a template of Ollama."""
        turn = self.turn("{{ .Role }}", "{{ .Content }}")
        return f"{{{{- range .Messages }}}}{turn}{{{{ end }}}}{self.begin}assistant{self.middle}"


KINDS = (
    ChatKind(
        "phi3", "<|", "|>\n", "<|end|>\n", ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
    ),
    ChatKind("chatml", "<|im_start|>", "\n", "<|im_end|>\n", ("<|im_start|>", "<|im_end|>")),
)


@dataclass(frozen=True)
class ChatForm:
    """A tokenizer's kind, and the system message that its template puts in when there is none."""

    kind: ChatKind
    default_system: str | None


def recognise_chat(tokenizer: Any) -> ChatForm | None:
    """The form that renders exactly as the tokenizer's template; None where no known one does."""
    if not tokenizer.chat_template:
        return None
    try:
        rendered: str = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in _CONVERSATION],
            tokenize=False,
            add_generation_prompt=True,
        )
    except TemplateError:
        return None
    if _QUOTES in rendered:
        return None
    for kind in KINDS:
        expected = kind.render(_CONVERSATION)
        if not rendered.endswith(expected):
            continue
        prefix = rendered.removesuffix(expected)
        system = prefix.removeprefix(f"{kind.begin}system{kind.middle}").removesuffix(kind.end)
        if prefix == kind.turn("system", system):
            return ChatForm(kind, system)
        if not prefix:
            return ChatForm(kind, None)
    return None


def recipe_for(gguf: Path, form: ChatForm | None, *, context_tokens: int) -> Recipe:
    """What Ollama has to be told; `gguf` relative to where the Modelfile lies.

    Without a form it names no template, and Ollama falls back on what it makes of the GGUF's own.
    """
    return Recipe(
        gguf=gguf.as_posix(),
        template=form.kind.go_template() if form else None,
        system=form.default_system if form else None,
        stop=form.kind.stop if form else (),
        context_tokens=context_tokens,
    )


def render_modelfile(recipe: Recipe) -> str:
    """The same as the text of a Modelfile."""
    lines = [f"FROM ./{recipe.gguf}"]
    if recipe.template is not None:
        lines.append(f'TEMPLATE """{recipe.template}"""')
    if recipe.system is not None:
        lines.append(f'SYSTEM """{recipe.system}"""')
    lines += [f'PARAMETER stop "{word}"' for word in recipe.stop]
    lines.append(f"PARAMETER num_ctx {recipe.context_tokens}")
    return "\n".join(lines) + "\n"
