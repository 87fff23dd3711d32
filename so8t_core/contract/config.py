"""Reading settings: YAML, includes and overrides in; one frozen, hashed `Settings` out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from so8t_core.contract.errors import SettingsError
from so8t_core.contract.files import canonical_json, sha256_text, write_text
from so8t_core.contract.phases import PhaseSpec
from so8t_core.contract.settings import Settings

INCLUDABLE = ("crawl", "cleanse", "train", "evaluate", "export", "serve")
"""Sections whose value may be the path of another YAML file, relative to the one that names it."""

Location = tuple[int | str, ...]
Sources = dict[str, tuple[Path, yaml.Node | None]]
"""Which file, and which place in it, a section came from; `""` for the file itself."""


def _read_yaml(path: Path) -> tuple[dict[str, Any], yaml.Node | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"The settings file cannot be read: {error.strerror}.",
            where=str(path),
            hint="Check the path; `so8t config show` prints every setting with its default.",
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            "The settings file is not UTF-8.", where=str(path), hint="Save it as UTF-8."
        ) from error
    try:
        value, node = _parse(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SettingsError(
            f"The settings file is not valid YAML: {problem}.",
            where=place,
            hint="Check indentation, quotes and brackets around that place.",
        ) from error
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise SettingsError(
            "The settings file must be a mapping of sections.",
            where=str(path),
            hint="Start with `name: my-run`; `so8t config show` prints an example.",
        )
    _refuse_duplicate_keys(node, path, set())
    return cast("dict[str, Any]", value), node


def _parse(text: str) -> tuple[Any, yaml.Node | None]:
    """The value of a YAML text and its nodes. Raises `yaml.YAMLError`, whatever the text is."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_circles(node, set(), set())
        return yaml.safe_load(text), node
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML lets its own conversions fail so, for example of `2026-99-99` or `!!bool x`
        raise yaml.YAMLError(f"a value cannot be converted ({error})") from error


def _refuse_circles(node: yaml.Node | None, above: set[int], settled: set[int]) -> None:
    if not isinstance(node, yaml.CollectionNode) or id(node) in settled:
        return
    if id(node) in above:
        raise yaml.MarkedYAMLError(
            problem="an alias stands for something that contains it", problem_mark=node.start_mark
        )
    above.add(id(node))
    for part in node.value:
        for inner in part if isinstance(part, tuple) else (part,):
            _refuse_circles(inner, above, settled)
    above.remove(id(node))
    settled.add(id(node))


def _refuse_duplicate_keys(node: yaml.Node | None, path: Path, settled: set[int]) -> None:
    if not isinstance(node, yaml.CollectionNode) or id(node) in settled:
        return
    settled.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise SettingsError(
                    f"The setting `{key.value}` is given twice.",
                    where=f"{path}:{key.start_mark.line + 1}",
                    hint="Keep one of the two.",
                )
            seen.add(key.value)
            _refuse_duplicate_keys(value, path, settled)
    else:
        for value in node.value:
            _refuse_duplicate_keys(value, path, settled)


def _line_of(node: yaml.Node | None, location: Location) -> int | None:
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return line
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _section_at(location: Location) -> type[BaseModel] | None:
    model: Any = Settings
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            return None
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next(
            (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None
        )
        if model is None:
            return None
    return cast("type[BaseModel]", model)


def _explain(detail: ErrorDetails) -> tuple[str, str]:
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        section = _section_at(detail["loc"][:-1])
        names = sorted(section.model_fields) if section else []
        near = difflib.get_close_matches(str(detail["loc"][-1]), names, n=1, cutoff=0.5)
        known = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(names)}."
        return f"Unknown setting `{name}`.", known
    message = detail["msg"].removeprefix("Value error, ")
    given = detail.get("input")
    shown = "" if isinstance(given, dict | list) else f" (given: {given!r})"
    what = f"Setting `{name}`: {message}{shown}." if name else f"Settings: {message}."
    return what, "`so8t config schema` describes every setting."


def _place_in_files(location: Location, sources: Sources, path: Path | None) -> str | None:
    head = str(location[0]) if location else ""
    file, node = sources.get(head, (path, None))
    inside = location[1:] if head in sources and head else location
    if head not in sources and "" in sources:
        file, node = sources[""]
    line = _line_of(node, inside)
    return f"{file}:{line}" if file and line else (str(file) if file else None)


def _place(
    location: Location, sources: Sources, path: Path | None, overrides: Sequence[str]
) -> str | None:
    """Where a value comes from; of a whole section, the file and what was laid over it."""
    parts = [str(part) for part in location]
    within = None
    for assignment in reversed(overrides):
        given = assignment.partition("=")[0].split(".")
        if parts[: len(given)] == given:
            return f"--set {assignment}"
        if given[: len(parts)] == parts:
            within = within or f"--set {assignment}"
    found = _place_in_files(location, sources, path)
    return " with ".join(place for place in (found, within) if place) or None


def _as_settings(
    raw: Mapping[str, Any], sources: Sources, path: Path | None, overrides: Sequence[str]
) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        details = error.errors()
        first = details[0]
        what, hint = _explain(first)
        where = _place(first["loc"], sources, path, overrides)
        if len(details) > 1:
            others = "; ".join(_explain(d)[0].rstrip(".") for d in details[1:4])
            hint += f" ({len(details) - 1} more: {others}.)"
        raise SettingsError(what, where=where, hint=hint) from error


def _apply_override(raw: dict[str, Any], assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise SettingsError(
            f"`--set {assignment}` is not of the form NAME=VALUE.",
            hint="For example --set train.max_steps=100",
        )
    try:
        value, _ = _parse(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"The value of `--set {name}` is not valid YAML.", hint="Quote it."
        ) from error
    *parents, last = name.split(".")
    place = raw
    for part in parents:
        child = place.setdefault(part, {})
        if not isinstance(child, dict):
            raise SettingsError(f"`{part}` in `--set {name}` is no section.")
        place = child
    place[last] = value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = _merged(old, value)
        else:
            merged[name] = value
    return merged


def _read_pipeline(path: Path, seen: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Sources]:
    """A file's sections with their includes, laid over the file that it extends."""
    if path.resolve() in seen:
        raise SettingsError("The files extend one another in a circle.", where=str(path))
    raw, node = _read_yaml(path)
    sources: Sources = {"": (path, node)}
    for section in INCLUDABLE:
        if isinstance(raw.get(section), str):
            included = path.parent / raw[section]
            raw[section], inner = _read_yaml(included)
            sources[section] = (included, inner)
    base = raw.pop("extends", None)
    if base is None:
        return raw, sources
    if not isinstance(base, str):
        raise SettingsError("`extends` must name one YAML file.", where=str(path))
    below, below_sources = _read_pipeline(path.parent / base, (*seen, path.resolve()))
    for section in below:
        if section not in raw:
            sources.setdefault(section, (path, None))
    return _merged(below, raw), {**below_sources, **sources}


def load_settings(
    path: Path | None, overrides: Sequence[str] = (), *, section: str | None = None
) -> Settings:
    """Read a pipeline YAML (None: all defaults), apply `NAME=VALUE` overrides, validate.

    With `section` the file may also hold that section's settings alone, at its top level.
    `extends: FILE` lays the file over another one, section by section; the value of a section in
    `INCLUDABLE` may be a file. Both paths are relative to the file that names them.
    Raises `SettingsError` with file and line for everything that a person can get wrong.
    """
    raw: dict[str, Any] = {}
    sources: Sources = {}
    if path is not None:
        raw, sources = _read_pipeline(path)
        if section is not None and raw.keys().isdisjoint(Settings.model_fields):
            raw, sources = {section: raw}, {section: sources[""]}
    for assignment in overrides:
        _apply_override(raw, assignment)
    return _as_settings(raw, sources, path, overrides)


def dump_settings(settings: Settings) -> str:
    """The resolved settings as YAML, every value spelled out."""
    return yaml.safe_dump(
        settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
    )


def save_settings(settings: Settings, path: Path) -> None:
    """Write the resolved settings durably."""
    write_text(path, dump_settings(settings))


def settings_digest(settings: Settings, sections: Iterable[str] | None = None) -> str:
    """Hexadecimal SHA-256 of the given top-level sections (None: of all)."""
    values = settings.model_dump(mode="json")
    chosen = values if sections is None else {name: values[name] for name in sections}
    return sha256_text(canonical_json(chosen))


def phase_settings_digest(settings: Settings, spec: PhaseSpec) -> str:
    """Digest of what decides a phase's result."""
    return settings_digest(settings, spec.settings)
