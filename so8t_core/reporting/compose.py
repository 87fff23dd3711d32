"""The report's content: which sections there are, and what stands in each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.reporting.catalogue import Catalogue
from so8t_core.reporting.differences import difference_blocks
from so8t_core.reporting.document import (
    Block,
    Bullets,
    Cell,
    Code,
    Curve,
    Figure,
    Outside,
    Paragraph,
    Report,
    Section,
    Table,
    Words,
)
from so8t_core.reporting.figures import figure_at, figure_blocks
from so8t_core.reporting.highlights import HIGHLIGHTS
from so8t_core.reporting.series import Series, thinned

REPORTED: tuple[PhaseName, ...] = tuple(name for name in PHASE_NAMES if name != "report")
_SOURCES: Mapping[PhaseName, tuple[str, ...]] = {
    "crawl": ("hosts", "licences", "licence_decisions", "robots"),
    "cleanse": ("pages_by_licence",),
}
_CURVES_FIRST = ("loss", "eval_loss", "learning_rate", "gate_learning_rate", "grad_norm")
_NO_CURVES = ("tokens", "targets")  # counts that the curves rest on
_FILES_SHOWN = 24
_TRANSFORMERS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("export/folded")
tokenizer = AutoTokenizer.from_pretrained("export/folded")"""


@dataclass(frozen=True)
class Material:
    """All that a report is made of.

    `states` says of each reported phase whether it is `done`, `skipped` or `missing`.
    """

    run: str
    seed: int
    manifests: Mapping[PhaseName, Manifest]
    states: Mapping[PhaseName, str]
    series: tuple[Series, ...]
    plot_points: int


def compose(material: Material, catalogue: Catalogue) -> Report:
    """Lay out the report. Nothing is measured here: every figure is a manifest's."""
    composer = _Composer(material, catalogue)
    return Report(
        language=catalogue.language,
        title=Words(catalogue.words("title").text.format(run=material.run)),
        lead=tuple(composer.lead()),
        tiles=tuple(composer.tiles()),
        sections=tuple(composer.sections()),
    )


class _Composer:
    def __init__(self, material: Material, catalogue: Catalogue) -> None:
        self._material = material
        self._catalogue = catalogue
        self._words = catalogue.words

    def lead(self) -> Iterator[Block]:
        yield Paragraph(self._words("lead"))
        absent = [
            (self._words(f"phase_{name}"), self._words(f"state_{state}"))
            for name, state in self._material.states.items()
            if state != "done"
        ]
        if absent:
            yield Paragraph(self._words("incomplete"))
            yield Bullets(tuple(absent))

    def tiles(self) -> Iterator[tuple[Words, Figure]]:
        for key, phase, path in HIGHLIGHTS:
            manifest = self._material.manifests.get(phase)
            figure = figure_at(manifest, "figures", *path) if manifest else None
            if figure is not None and figure.value is not None:
                yield self._words(key), figure

    def sections(self) -> Iterator[Section]:
        yield self._section("phases", self._phases())
        yield self._section("purpose", self._purpose())
        yield self._section("sources", self._sources())
        for name in REPORTED:
            yield Section(name, self._words(f"phase_{name}"), tuple(self._phase(name)))
        yield self._section("notes", self._notes())
        yield self._section("usage", self._usage())
        yield self._section("reproduce", self._reproduce())
        yield self._section("versions", self._versions())

    def _section(self, key: str, blocks: Iterator[Block]) -> Section:
        return Section(key, self._words(f"section_{key}"), tuple(blocks))

    def _table(self, columns: tuple[str, ...], rows: list[tuple[Cell, ...]]) -> Table:
        return Table(None, tuple(map(self._words, columns)), tuple(rows))

    def _phases(self) -> Iterator[Block]:
        rows: list[tuple[Cell, ...]] = []
        for name, state in self._material.states.items():
            manifest = self._material.manifests.get(name)
            measured = [
                figure_at(manifest, key) if manifest else None
                for key in ("active_s", "attempt", "finished_at")
            ]
            cells = [figure if figure is not None else Words("") for figure in measured]
            rows.append((self._words(f"phase_{name}"), self._words(f"state_{state}"), *cells))
        yield self._table(("phase", "state", "active", "attempt", "finished"), rows)

    def _purpose(self) -> Iterator[Block]:
        yield Paragraph(self._words("purpose"))
        limits = ("nsfw", "personal_data", "licences", "robots", "quality", "not_done")
        yield Bullets(tuple((self._words(f"limit_{limit}"),) for limit in limits))

    def _sources(self) -> Iterator[Block]:
        yield Paragraph(self._words("sources"))
        for name, keys in _SOURCES.items():
            manifest = self._material.manifests.get(name)
            if manifest is not None:
                yield from figure_blocks(manifest, self._catalogue, only=keys)

    def _phase(self, name: PhaseName) -> Iterator[Block]:
        yield Paragraph(self._words(f"about_{name}"))
        manifest = self._material.manifests.get(name)
        if manifest is None:
            yield Paragraph(self._words(f"absent_{self._material.states[name]}"))
            return
        if name == "train":
            yield from self._curves()
        yield from difference_blocks(manifest, self._catalogue)
        elsewhere = _SOURCES.get(name, ())
        yield from figure_blocks(manifest, self._catalogue, without=elsewhere)
        yield from self._files(manifest)

    def _curves(self) -> Iterator[Block]:
        found = {
            name: (points, source)
            for source, series in self._material.series
            for name, points in series.items()
            if name not in _NO_CURVES
        }
        if not found:
            yield Paragraph(self._words("no_series"))
        first = [name for name in _CURVES_FIRST if name in found]
        for name in first + sorted(set(found) - set(first)):
            points, source = found[name]
            drawn = thinned(points, self._material.plot_points)
            yield Curve(self._catalogue.label(name), name, drawn, source)

    def _files(self, manifest: Manifest) -> Iterator[Block]:
        if not manifest.outputs:
            return
        largest = sorted(
            range(len(manifest.outputs)), key=lambda index: -manifest.outputs[index].size_bytes
        )
        rows = [
            tuple(
                figure
                for key in ("path", "size_bytes", "sha256")
                if (figure := figure_at(manifest, "outputs", index, key)) is not None
            )
            for index in sorted(largest[:_FILES_SHOWN])
        ]
        columns = tuple(map(self._words, ("file", "size", "sha256")))
        yield Table(self._words("files"), columns, tuple(rows))
        if len(manifest.outputs) > _FILES_SHOWN:
            yield Paragraph(self._words("more_files"))

    def _notes(self) -> Iterator[Block]:
        items = tuple(
            (self._words(f"phase_{name}"), Outside(note))
            for name, manifest in self._material.manifests.items()
            for note in manifest.notes
        )
        yield Paragraph(self._words("notes" if items else "no_notes"))
        if items:
            yield Bullets(items)

    def _usage(self) -> Iterator[Block]:
        manifest = self._material.manifests.get("export")
        if manifest is None:
            yield Paragraph(self._words("no_export"))
            return
        yield Paragraph(self._words("use_transformers"))
        yield Code("python", _TRANSFORMERS)
        paths = [item.path for item in manifest.outputs]
        if "Modelfile" in paths:
            yield Paragraph(self._words("use_ollama"))
            yield Code("sh", "ollama create so8t -f export/Modelfile\nollama run so8t")
        ggufs = [f"export/{path}" for path in paths if path.endswith(".gguf")]
        if ggufs:
            yield Paragraph(self._words("use_llama_cpp"))
            yield Code("sh", "\n".join(f"llama-cli -m {shlex.quote(path)}" for path in ggufs))

    def _reproduce(self) -> Iterator[Block]:
        yield Paragraph(self._words("reproduce"))
        yield Code("sh", "so8t run -c run.yaml")
        seed = self._words("seed").text.format(seed=self._material.seed)
        yield Paragraph(Words(seed))
        rows: list[tuple[Cell, ...]] = []
        for name, manifest in self._material.manifests.items():
            figures = [figure_at(manifest, key) for key in ("settings_sha256", "digest")]
            cells = [figure for figure in figures if figure is not None]
            rows.append((self._words(f"phase_{name}"), *cells))
        yield self._table(("phase", "settings_sha256", "digest"), rows)

    def _versions(self) -> Iterator[Block]:
        rows: dict[tuple[str, str], tuple[Cell, ...]] = {}
        for manifest in self._material.manifests.values():
            for package, version in manifest.versions.items():
                figure = figure_at(manifest, "versions", package)
                if figure is not None:
                    rows.setdefault((package, version), (Outside(package), figure))
        yield self._table(("package", "version"), [rows[key] for key in sorted(rows)])
