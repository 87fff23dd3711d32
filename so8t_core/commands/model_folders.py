"""The phases on model folders, without a run: verify, integrate, and the fold with its proof."""

from __future__ import annotations

import json
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.commands.alone import option_of
from so8t_core.commands.ending import tidy_ending
from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from so8t_core.contract.settings import Settings
    from so8t_core.contract.settings.export import ExportSettings


def verify_folder(arguments: Namespace) -> int:
    """`so8t verify --model-path P`: the proof on one base model, as a table or JSON."""
    _refuse_run(arguments)
    settings = load_settings(arguments.config, arguments.set)
    from so8t_core.model.verify import verify

    with tidy_ending(), tempfile.TemporaryDirectory(prefix="so8t-verify-") as workspace:
        result = verify(
            arguments.model_path,
            settings.model,
            settings.verify,
            seed=settings.seed,
            workspace=Path(workspace) / "copies",
        )
    if arguments.json:
        _print_json(result.as_figures())
    else:
        for check in result.checks:
            mark = "ok " if check.passed else "NO "
            print(f"{mark} {check.name:<28} {check.value:<12.4g} bound {check.bound:.3g}")
    return EXIT_FAILED if result.failed else EXIT_DONE


def integrate_folder(arguments: Namespace) -> int:
    """`so8t integrate --model-path P --output-path Q`: gates into any Phi-3 folder.

    With `integrate.compare_logits` the written checkpoint's logits are compared with the base's.
    """
    _refuse_run(arguments)
    output = _needed(arguments, "output_path")
    settings = load_settings(arguments.config, arguments.set)
    from so8t_core.model.integrate import integrate
    from so8t_core.model.unchanged import prove_unchanged

    with tidy_ending():
        report = integrate(arguments.model_path, output, settings.model)
        figures = report.as_figures()
        if settings.integrate.compare_logits:
            figures["logit_difference"] = prove_unchanged(
                arguments.model_path, output, settings.model, settings.verify, seed=settings.seed
            )
    _print_figures(arguments, figures)
    if not report.has_tokenizer and not arguments.json:
        print("The base has no tokenizer, so the gated checkpoint has none either.")
    return EXIT_DONE


def fold_folder(arguments: Namespace) -> int:
    """`so8t export --fold-only --model-path Q --output-path F`: the fold, and its proof by logits.

    Raises `ModelError` where the folded model is further from the gated one than the settings
    allow; fold.json in the folder has the figures.
    """
    _refuse_run(arguments)
    gated, output = _needed(arguments, "model_path"), _needed(arguments, "output_path")
    settings = load_settings(arguments.config, arguments.set, section="export")
    named, export = settings.export.model_fields_set, settings.export
    dtype = arguments.dtype or (export.folded_dtype if "folded_dtype" in named else None)
    onto = arguments.onto or export.fold_onto
    from so8t_core.model.fold import fold_checkpoint

    with tidy_ending():
        report = fold_checkpoint(
            gated,
            output,
            adapter=arguments.adapter_path,
            dtype=dtype,
            onto=onto,
            project=export.fold_nearest_rotation,
        )
        figures = {**report.as_figures(), "proof": None}
        if not arguments.no_proof:
            figures["proof"] = _proof(arguments, output, settings, onto, report.weights_dtype)
    _print_figures(arguments, figures)
    return EXIT_DONE


def _proof(
    arguments: Namespace, folded: Path, settings: Settings, onto: str, written: str
) -> dict[str, Any]:
    """Compare gated and folded model on the proof's prompts, and write the figures down."""
    import torch

    from so8t_core.export.proof import prove_fold, record_proof, require_equal
    from so8t_core.model.int8 import store_as_int8
    from so8t_core.model.loading import load_gated, quiet_transformers
    from so8t_core.model.projection import make_rotations

    nearest = settings.export.fold_nearest_rotation

    def load_trained() -> Any:
        gated, adapter = arguments.model_path, arguments.adapter_path
        if adapter is None:
            trained: Any = load_gated(gated, dtype=torch.float32)
            if nearest:
                make_rotations(trained)
        else:
            from so8t_core.evaluation.models import load_tuned

            trained = load_tuned(gated, adapter, "cpu", torch.float32, nearest=nearest)
        if onto == "int8":
            store_as_int8(trained)
        return trained

    limits = _limits_of(settings.export, written)
    with quiet_transformers():
        proof = prove_fold(
            load_trained,
            folded,
            limits,
            trust_remote_code=settings.model.trust_remote_code,
            step=_go_on,
        )
    facts = {**asdict(proof), "limit": limits.proof_limit()}
    record_proof(folded, facts)
    require_equal(proof, folded, limits)
    return facts


def _limits_of(export: ExportSettings, written: str) -> ExportSettings:
    """The settings with the coarsest dtype of those that the weights have, as `BF16+F32`."""
    codes = written.split("+")
    coarsest = "bfloat16" if "BF16" in codes else "float16" if "F16" in codes else "float32"
    return export.model_copy(update={"folded_dtype": coarsest})


def _go_on() -> None:
    """Without a run nothing pauses."""


def _refuse_run(arguments: Namespace) -> None:
    for name in ("in_run", "headless", "detach"):
        if getattr(arguments, name):
            raise UsageError(
                "On model folders there is no run.",
                where=option_of(name),
                hint=f"Leave {option_of(name)} out, or the folders: a phase takes its folders from "
                "its run.",
            )


def _needed(arguments: Namespace, name: str) -> Path:
    value: Path | None = getattr(arguments, name)
    if value is None:
        raise UsageError(
            f"`so8t {arguments.command}` needs {option_of(name)} here.",
            hint=f"so8t {arguments.command} --help shows an example.",
        )
    return value


def _print_json(figures: Mapping[str, Any]) -> None:
    print(json.dumps(figures, ensure_ascii=False, indent=2))


def _print_figures(arguments: Namespace, figures: Mapping[str, Any]) -> None:
    if arguments.json:
        _print_json(figures)
        return
    for name, value in figures.items():
        inner = value if isinstance(value, dict) else {"": value}
        for key, one in inner.items():
            shown = ", ".join(map(str, one)) if isinstance(one, list | tuple) else one
            label = f"{name} {key}".strip().replace("_", " ")
            print(f"{label:<28} {shown}")
