"""verify, integrate and the fold on model folders, without a run."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from so8t_core import __version__
from so8t_core.cli import main
from so8t_core.model import so8
from so8t_core.model.tiny import build_tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    build_tiny(folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def gated(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Integrated by the command, then turned: what a training leaves has no hash on record."""
    folder = tmp_path_factory.mktemp("gated") / "gated"
    words = ["integrate", "--model-path", str(base), "--output-path", str(folder)]
    assert main([*words, "--set", "integrate.compare_logits=false"]) == 0
    assert "logit_difference" not in json.loads((folder / "integration.json").read_text())
    (folder / "integration.json").unlink()
    gates = folder / "model-gates.safetensors"
    generator = torch.Generator().manual_seed(5)
    turned = {
        name: torch.randn(theta.shape, generator=generator) * 0.3
        for name, theta in load_file(gates).items()
    }
    save_file(turned, gates)
    return folder


def fold_words(gated: Path, output: Path, *more: str) -> list[str]:
    return [
        *("export", "--fold-only", "--model-path", str(gated), "--output-path", str(output)),
        *more,
    ]


def test_the_fold_is_proven_by_logits_and_says_so(
    gated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On two prompts of the settings, of which one is cut."""
    prompts = ("--set", "export.proof_prompts=[abcdef, 日本の首都]")
    words = fold_words(gated, tmp_path / "out", *prompts, "--set", "export.proof_max_tokens=4")
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    proof = shown["proof"]
    assert 0 < proof["max_difference"] < 1e-4
    assert 0 < proof["mean_difference"] <= proof["max_difference"]
    assert abs(proof["kl_nats"]) < 1e-8
    assert (proof["top1_agreement"], proof["positions"], proof["limit"]) == (1.0, 8, 1e-4)
    assert json.loads((tmp_path / "out" / "fold.json").read_text()) == shown


def test_a_fold_on_the_wrong_side_does_not_pass_its_proof(
    gated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = so8.rotate_rows
    monkeypatch.setattr(so8, "rotate_rows", lambda weight, r: right(weight, r.mT))
    assert main(fold_words(gated, tmp_path / "out")) == 4
    assert "of their scale; 1e-04 is allowed" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "fold.json").read_text())["proof"]["relative"] > 0.1


def test_the_fold_follows_the_settings_that_are_given(
    gated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "export.yaml"
    settings.write_text("folded_dtype: bfloat16\nfold_onto: int8\n")
    words = fold_words(gated, tmp_path / "out", "--no-proof", "--json")
    found = []
    for more in ((), ("-c", str(settings)), ("-c", str(settings), "--dtype", "float16")):
        assert main([*words, *more]) == 0
        shown = json.loads(capsys.readouterr().out)
        found.append((shown["weights_dtype"], shown["onto"], shown["proof"]))
    assert found == [("F32", "original", None), ("BF16", "int8", None), ("F16", "int8", None)]


FOLD = ("export", "--fold-only", "--model-path", "x", "--output-path", "y")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*FOLD, "--set", "export.folded_dtype=nonsense"), "export.folded_dtype"),
        ((*FOLD, "-c", "missing.yaml"), "cannot be read"),
        ((*FOLD, "--run", "nonsense"), "there is no run"),
        (("verify", "--model-path", "x", "--run", "nonsense"), "there is no run"),
        (("integrate", "--model-path", "x", "--run", "nonsense"), "there is no run"),
        (("verify", "--model-path", "x", "--detach"), "there is no run"),
        (("integrate", "--output-path", "y", "--run", "r"), "goes with --model-path"),
        (("export", "--dtype", "float16", "--run", "r"), "goes with --fold-only"),
        (("export", "--model-path", "x", "--run", "r"), "goes with --fold-only"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(list(words)) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_integration_compares_the_logits_and_notes_where_the_base_came_from(
    base: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert main(["integrate", "--model-path", str(base), "--output-path", str(out)]) == 0
    noted = json.loads((out / "integration.json").read_text())
    assert noted["logit_difference"] == 0.0
    assert noted["provenance"] == {
        "base": "tiny",
        "base_path": str(base),
        "base_revision": None,
        "program": f"so8t {__version__}",
    }


def test_integration_that_changes_the_model_is_told(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "so8t_core.model.integrate._identity",
        lambda _, entry: torch.full(entry.shape, 0.1),
    )
    words = ["integrate", "--model-path", str(base), "--output-path", str(tmp_path / "out")]
    assert main(words) == 4
    assert "differs from its base by" in capsys.readouterr().err


def end_by(number: signal.Signals) -> Callable[..., Any]:
    def end(*_: object) -> None:
        try:
            os.kill(os.getpid(), number)
        except SystemExit:  # as compiled code is seen to do when an exception comes from a signal
            os.kill(os.getpid(), OTHER[number])
            raise ValueError("could not determine the shape") from None

    return end


OTHER = {signal.SIGTERM: signal.SIGHUP, signal.SIGHUP: signal.SIGTERM}


@pytest.fixture
def heard_signals() -> Iterator[None]:
    """Whoever started the tests may have had them ignored, as nohup does."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in OTHER}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_leaves_nothing_half_made(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("so8t_core.model.verify._all_checks", end_by(number))
    monkeypatch.setattr("so8t_core.model.integrate.write_index", end_by(number))
    verify = ["verify", "--model-path", str(base)]
    integrate = ["integrate", "--model-path", str(base), "--output-path", str(tmp_path / "o" / "p")]
    for words in (verify, integrate):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 128 + number
        assert not any(tmp_path.iterdir())
    assert signal.getsignal(number) is signal.SIG_DFL
