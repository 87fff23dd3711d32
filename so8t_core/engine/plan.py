"""Which phase runs, is reused or is skipped, and why. Decided from manifests, never from files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from so8t_core.contract.config import phase_settings_digest
from so8t_core.contract.errors import ManifestError, So8tError
from so8t_core.contract.files import write_json
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PHASES, PhaseName, PhaseSpec
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.phases.external import external_inputs

BASIS_FILE = "basis.json"
_BEFORE_TRAINING: frozenset[PhaseName] = frozenset({"verify", "integrate"})
"""What nobody needs in a run that trains a checkpoint of the user's."""


@dataclass(frozen=True)
class Decision:
    """What happens to a phase. `manifest` is set where its earlier result is reused.

    `uncertain`: whether something that it was made from is out of reach and was not compared.
    """

    action: Literal["run", "reuse", "skip"]
    reason: str
    manifest: Manifest | None = None
    uncertain: bool = False


def needs_of(settings: Settings, spec: PhaseSpec) -> tuple[PhaseName, ...]:
    """The phases that this one cannot run without, less those that the settings replace."""
    given: set[PhaseName] = set()
    if spec.name in {"train", "evaluate", "export"}:
        given |= {"integrate"} if settings.train.model_path else set()
    if spec.name == "train":
        given |= {"cleanse"} if settings.train.dataset else set()
    return tuple(name for name in spec.needs if name not in given)


def input_manifests(run: RunDir, settings: Settings, spec: PhaseSpec) -> dict[PhaseName, Manifest]:
    """The valid manifests that a phase builds on; a damaged one is as good as none."""
    found: dict[PhaseName, Manifest] = {}
    for name in (*needs_of(settings, spec), *spec.uses, *spec.reads):
        with suppress(ManifestError):
            manifest = Manifest.read(run.phase(name))
            if manifest is not None:
                found[name] = manifest
    return found


def input_digests(spec: PhaseSpec, manifests: Mapping[PhaseName, Manifest]) -> dict[str, str]:
    """What identifies each input: the result it needs or uses, or the very manifest it reads."""
    return {
        name: manifest.manifest_sha256 if name in spec.reads else manifest.digest
        for name, manifest in manifests.items()
    }


def _input_digests(run: RunDir, settings: Settings, spec: PhaseSpec) -> dict[str, str]:
    return input_digests(spec, input_manifests(run, settings, spec))


def decide(
    run: RunDir, settings: Settings, spec: PhaseSpec, *, hashes: bool = True, whole: bool = False
) -> Decision:
    """Look at one phase, given that all phases before it are settled.

    Hashes all of its outputs unless told otherwise, which may take seconds for large models.
    `whole`: it is one of all phases, and was not asked for by its name.
    """
    if spec.name in settings.engine.skip:
        return Decision("skip", "the settings say so (engine.skip)")
    if whole and spec.name in _BEFORE_TRAINING and settings.train.model_path:
        return Decision("skip", "train.model_path takes the place of its result")
    folder = run.phase(spec.name)
    try:
        manifest = Manifest.read(folder)
        if manifest is None:
            return Decision("run", "it has not been done yet")
        manifest.check_outputs(folder, hashes=hashes)
    except ManifestError as error:
        return Decision("run", f"its earlier result cannot be trusted: {error.what}")
    if manifest.settings_sha256 != phase_settings_digest(settings, spec):
        return Decision("run", "its settings changed")
    present = _input_digests(run, settings, spec)
    phases: set[str] = {*spec.needs, *spec.uses, *spec.reads}
    known = {name: digest for name, digest in manifest.inputs.items() if name in phases}
    for name in sorted(known.keys() | present):
        if known.get(name) != present.get(name):
            return Decision("run", f"the result of {name} changed")
    try:
        outside = external_inputs(spec.name, settings)
    except So8tError as error:
        where = f" ({error.where})" if error.where else ""
        return _not_compared(manifest, f"{error.what}{where}")
    except OSError as error:
        return _not_compared(manifest, str(error))
    for name, digest in outside.items():
        recorded = manifest.inputs.get(name)
        if recorded != digest:
            how = "was not recorded when it was made" if recorded is None else "changed"
            return Decision("run", f"{name.replace('_', ' ')} {how}")
    return Decision("reuse", "done before, and nothing it depends on changed", manifest)


def _not_compared(manifest: Manifest, why: str) -> Decision:
    """What is done stays done while an input is out of reach: data are moved, disks unmounted."""
    reason = f"done before; an input cannot be read, so it was not compared: {why}"
    return Decision("reuse", reason, manifest, uncertain=True)


def missing_needs(run: RunDir, settings: Settings, spec: PhaseSpec) -> tuple[PhaseName, ...]:
    """Needed phases without a readable manifest."""
    present = input_manifests(run, settings, spec)
    return tuple(name for name in needs_of(settings, spec) if name not in present)


def prepare_folder(run: RunDir, settings: Settings, spec: PhaseSpec) -> bool:
    """Make the phase's folder ready; work begun on another basis is removed first.

    The basis is what decides the result: settings and inputs. Returns True where older work was
    removed; that of a phase that keeps its work stays, for the phase to judge.
    """
    folder = run.phase(spec.name)
    basis = {
        "settings_sha256": phase_settings_digest(settings, spec),
        "inputs": _input_digests(run, settings, spec),
    }
    removed = False
    begun = folder.exists() and any(folder.iterdir())
    if begun and not spec.keeps_work and _read_basis(run, spec.name) != basis:
        shutil.rmtree(folder)
        removed = True
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    write_json(folder / BASIS_FILE, basis)
    return removed


def _read_basis(run: RunDir, name: PhaseName) -> object:
    try:
        return json.loads((run.phase(name) / BASIS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def forget(run: RunDir, name: PhaseName) -> None:
    """Remove a phase's manifest, so that it runs again."""
    (run.phase(name) / "manifest.json").unlink(missing_ok=True)


def preview(
    run: RunDir, settings: Settings, specs: Collection[PhaseSpec]
) -> dict[str, dict[str, str]]:
    """What the plan looks like now; phases after one that runs may still turn out reusable."""
    decisions: dict[str, dict[str, str]] = {}
    for spec in specs:
        decision = decide(run, settings, spec, hashes=False, whole=len(specs) == len(PHASES))
        decisions[spec.name] = {"action": decision.action, "reason": decision.reason}
    return decisions
