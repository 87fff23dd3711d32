"""Phase 8: compose the report from the manifests of all phases that are done, and draw it."""

from __future__ import annotations

from so8t_core.contract.files import canonical_json, sha256_text, write_json, write_text
from so8t_core.phases.base import Outcome, PhaseContext
from so8t_core.reporting.catalogue import catalogue
from so8t_core.reporting.compose import REPORTED, Material, compose
from so8t_core.reporting.html import to_html
from so8t_core.reporting.markdown import to_markdown
from so8t_core.reporting.series import read_all_series
from so8t_core.reporting.trace import SCHEMA_VERSION, to_json


def run(ctx: PhaseContext) -> Outcome:
    """Write report.md, report.html and report.json.

    Raises `ManifestError` when the training series are not the file that train hashed. The digest
    covers the language and the digests of the phases reported, so neither times nor kills.
    """
    material = _material(ctx)
    wording = catalogue(ctx.settings.report.language)
    report = compose(material, wording)
    ctx.pause.point()
    folder = ctx.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.md", to_markdown(report, wording))
    write_text(folder / "report.html", to_html(report, wording))
    traces = to_json(report, wording, material.manifests, material.states, material.seed)
    write_json(folder / "report.json", traces)
    ctx.emit.log("info", f"The report is written: {folder / 'report.html'}")
    return Outcome(
        digest=_digest(ctx, material),
        outputs=tuple(folder / f"report.{kind}" for kind in ("md", "html", "json")),
        figures={
            "figures_traced": len(report.figures()),
            "curves": len(report.curves()),
            "phases": dict(material.states),
        },
    )


def _material(ctx: PhaseContext) -> Material:
    states = {
        name: "done"
        if name in ctx.inputs
        else ("skipped" if name in ctx.settings.engine.skip else "missing")
        for name in REPORTED
    }
    train = ctx.inputs.get("train")
    return Material(
        run=ctx.run.name,
        seed=ctx.settings.seed,
        manifests={name: ctx.inputs[name] for name in REPORTED if name in ctx.inputs},
        states=states,
        series=read_all_series(ctx.run.phase("train"), train) if train is not None else (),
        plot_points=ctx.settings.report.plot_points,
    )


def _digest(ctx: PhaseContext, material: Material) -> str:
    return sha256_text(
        canonical_json(
            {
                "schema_version": SCHEMA_VERSION,
                "settings": ctx.settings.report.model_dump(mode="json"),
                "states": dict(material.states),
                "inputs": {name: item.digest for name, item in material.manifests.items()},
            }
        )
    )
