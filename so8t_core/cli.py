"""The command line: parsing only. Each command lives in `so8t_core.commands`.

Longer than other modules, because every option and its help stand here and nowhere else.
"""

from __future__ import annotations

import os
import sys
from argparse import (
    SUPPRESS,
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
    _SubParsersAction,
)
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from so8t_core import __version__
from so8t_core.commands import steer
from so8t_core.commands.launcher import require_started_once
from so8t_core.contract.errors import EXIT_DONE, EXIT_FAILED, So8tError, StoreError
from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.runs import DEFAULT_RUNS_DIR

_EPILOG = """exit codes: 0 done, 2 usage or settings, 3 paused, 4 a phase failed,
            5 another engine holds the run"""


def _common(*, defaults: bool) -> ArgumentParser:
    """Options that stand before or behind the command; only the outer parser sets defaults."""
    parent = ArgumentParser(add_help=False, argument_default=None if defaults else SUPPRESS)
    parent.add_argument(
        "--runs-dir",
        type=Path,
        default=DEFAULT_RUNS_DIR if defaults else SUPPRESS,
        metavar="DIR",
        help="where runs lie (default: ./runs)",
    )
    parent.add_argument(
        "--debug",
        action="store_true",
        default=False if defaults else SUPPRESS,
        help="show tracebacks",
    )
    return parent


class _Later:
    """A module of commands, imported when one of them is run: the interface starts without them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, command: str) -> Callable[..., int]:
        def act(arguments: Namespace) -> int:
            module = import_module(f"so8t_core.commands.{self._name}")
            return int(getattr(module, command)(arguments))

        act.__qualname__ = f"{self._name}.{command}"
        return act


alone, auditing, cleanse, crawling, elsewhere, look, serving = (
    _Later("alone"),
    _Later("auditing"),
    _Later("cleanse"),
    _Later("crawling"),
    _Later("elsewhere"),
    _Later("look"),
    _Later("serving"),
)


class _Commands:
    """Adds commands that share the common options."""

    def __init__(self, subparsers: _SubParsersAction[ArgumentParser]) -> None:
        self._subparsers = subparsers
        self._common = _common(defaults=False)

    def add(self, name: str, action: Callable[..., int], text: str, example: str) -> ArgumentParser:
        parser = self._subparsers.add_parser(
            name,
            help=text,
            description=text,
            parents=[self._common],
            epilog=f"example:\n  so8t {example}",
            formatter_class=RawDescriptionHelpFormatter,
        )
        parser.set_defaults(action=action, command=name)
        return parser


def _starting(parser: ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--headless",
        action="store_true",
        help="no interface: the engine runs here and prints its progress",
    )
    how.add_argument(
        "--detach", action="store_true", help="start the engine in the background and return"
    )


def _settings(parser: ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "-c", "--config", type=Path, required=required, metavar="FILE", help="settings (YAML)"
    )
    _overrides(parser)


def _overrides(
    parser: ArgumentParser,
    told: str = "override one setting, such as train.max_steps=100; repeatable",
) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=told,
    )


def _run_name(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="name or path (default: the newest)")


def _add_runs(commands: _Commands) -> None:
    parser = commands.add(
        "demo", steer.demo, "the whole pipeline on a site of our own", "demo --tiny --headless"
    )
    parser.add_argument("--tiny", action="store_true", help="with a random four-layer model")
    _starting(parser)
    _overrides(parser)
    parser = commands.add(
        "run",
        steer.run,
        "start a run from a settings file",
        "run -c configs/automated_so8t_pipeline.yaml",
    )
    _settings(parser, required=True)
    _starting(parser)
    parser = commands.add(
        "resume",
        steer.resume,
        "go on with a paused, stopped or crashed run",
        "resume demo-20260101-120000",
    )
    _run_name(parser)
    _overrides(
        parser,
        "change a setting of the run that decides no result, such as "
        "train.bad_step=skip; repeatable",
    )
    parser.add_argument(
        "--all", action="store_true", help="all phases, where it was begun for one of them alone"
    )
    _starting(parser)
    parser = commands.add("pause", steer.pause, "pause a run", "pause --hard --wait")
    _run_name(parser)
    parser.add_argument("--hard", action="store_true", help="save, and free memory and GPU")
    parser.add_argument("--wait", action="store_true", help="return when it is paused")
    parser = commands.add("stop", steer.stop, "save, and end the engine", "stop --wait")
    _run_name(parser)
    parser.add_argument("--wait", action="store_true", help="return when the engine is gone")
    for name, action, text in (
        ("retry", steer.retry, "have a phase run again"),
        ("skip", steer.skip, "leave a phase out"),
    ):
        parser = commands.add(name, action, text, f"{name} demo-20260101-120000 evaluate")
        parser.add_argument("run", metavar="RUN", help="name or path")
        parser.add_argument("phase", choices=PHASE_NAMES)


def _add_views(commands: _Commands) -> None:
    parser = commands.add("status", steer.status, "show a run's state", "status --json")
    _run_name(parser)
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument("--watch", action="store_true", help="keep printing what happens")
    parser = commands.add("runs", steer.runs, "list runs", "runs --json")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser = commands.add("report", steer.report, "print a run's report", "report | less")
    _run_name(parser)
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser = commands.add("doctor", look.doctor, "check this installation and machine", "doctor")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser = commands.add(
        "starter-model",
        look.starter_model,
        "build the demo's base model",
        "starter-model --output models/starter",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="a folder instead of the cache")


def _add_elsewhere(commands: _Commands) -> None:
    parser = commands.add(
        "web", elsewhere.web, "serve the interface to a browser on this machine", "web --port 8418"
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="open on this run")
    parser.add_argument("--port", type=int, default=8418, help="of 127.0.0.1 (default: 8418)")
    parser.add_argument("--read-only", action="store_true", help="watch, and change nothing")
    parser = commands.add(
        "attach",
        elsewhere.attach,
        "open the interface on another machine's run, over SSH",
        "attach me@gpu-box:demo-20260101-120000",
    )
    parser.add_argument("place", metavar="[USER@]HOST[:RUN]")
    parser.add_argument(
        "--command", default="so8t", help="how so8t is called there (default: so8t)"
    )
    parser.add_argument("--ssh", default="ssh", help="the SSH program and its options")
    parser.add_argument("--read-only", action="store_true", help="watch, and change nothing")
    notify = commands.add(
        "notify", elsewhere.notify_test, "try how the end of a run is told", "notify test"
    )
    inner = _Commands(notify.add_subparsers(required=True, metavar="{test}"))
    parser = inner.add("test", elsewhere.notify_test, "tell it now", "notify test --failed")
    parser.add_argument("run", nargs="?", metavar="RUN", help="with this run's settings")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="with these settings")
    _overrides(parser)
    parser.add_argument("--failed", action="store_true", help="as if the run had failed")


def _add_config(commands: _Commands) -> None:
    config = commands.add(
        "config",
        look.config_show,
        "check, describe or show settings",
        "config check configs/automated_so8t_pipeline.yaml",
    )
    inner = _Commands(config.add_subparsers(required=True, metavar="{check,schema,show}"))
    parser = inner.add("check", look.config_check, "validate a settings file", "config check FILE")
    parser.add_argument("file", type=Path)
    _overrides(parser)
    inner.add("schema", look.config_schema, "JSON Schema of the settings", "config schema")
    parser = inner.add("show", look.config_show, "every setting, resolved", "config show FILE")
    parser.add_argument("file", type=Path, nargs="?")
    _overrides(parser)


def _add_cleanse(parser: ArgumentParser) -> None:
    """What looks into a cleansing, and what builds its classifier."""
    inner = _Commands(parser.add_subparsers(metavar="{why,sample,train-classifier}"))
    why = inner.add(
        "why", cleanse.why, "what became of a page", "cleanse why http://site.example/a"
    )
    why.add_argument("page", metavar="URL|ID")
    sample = inner.add(
        "sample",
        cleanse.sample,
        "pages with a reason, before and after; the text before is read from the crawl",
        "cleanse sample --reason word_salad --count 3",
    )
    sample.add_argument("--reason", required=True, metavar="X", help="a reason of the ledger")
    sample.add_argument("--count", type=int, default=5, metavar="N")
    sample.add_argument("--seed", type=int, default=0, metavar="N")
    for command in (why, sample):
        command.add_argument("--run", dest="in_run", metavar="RUN", help="default: the newest")
        command.add_argument("--json", action="store_true", help="for scripts")
    build = inner.add(
        "train-classifier",
        cleanse.train_classifier,
        "a classifier of unsafe text from labelled texts, for detection and refusal only",
        "cleanse train-classifier --data labelled.jsonl --output models/safety",
    )
    build.add_argument("--data", nargs="+", required=True, metavar="FILE")
    build.add_argument("--output", type=Path, required=True, metavar="DIR")
    build.add_argument("--seed", type=int, default=0, metavar="N")
    build.add_argument("--epochs", type=int, default=12, metavar="N")
    build.add_argument("--json", action="store_true", help="for scripts")


def _add_phases(commands: _Commands) -> None:
    actions: dict[str, Callable[..., int]] = {
        "crawl": crawling.crawl,
        "verify": alone.verify,
        "integrate": alone.integrate,
        "export": alone.export,
        "train": alone.train,
    }
    examples = {
        "crawl": "crawl -c FILE\n  so8t crawl explain https://www.example.jp/page --run RUN",
        "verify": "verify --model-path models/base --json",
        "integrate": "integrate --model-path models/base --output-path models/gated",
        "export": "export --fold-only --model-path models/gated --output-path models/folded",
    }
    for name in PHASE_NAMES:
        if name == "report":
            continue
        parser = commands.add(
            name,
            actions.get(name, alone.phase),
            f"the phase {name} alone",
            examples.get(name, f"{name} -c FILE"),
        )
        parser.add_argument("--run", dest="in_run", metavar="RUN", help="in this run")
        _settings(parser)
        _starting(parser)
        if name == "cleanse":
            parser.add_argument(
                "--executor",
                choices=("local", "ray", "slurm"),
                help="where workers run (default: as the settings say)",
            )
            _add_cleanse(parser)
        if name == "crawl":
            _to_explain(parser)
        if name == "train":
            _to_train(parser)
        if name not in ("verify", "integrate", "export"):
            continue
        parser.add_argument("--model-path", type=Path, metavar="DIR", help="a model folder")
        parser.add_argument("--json", action="store_true", help="for scripts")
        if name != "verify":
            parser.add_argument("--output-path", type=Path, metavar="DIR", help="the result")
        if name == "export":
            _to_ollama(parser)
            _to_fold(parser)


def _to_fold(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--fold-only",
        action="store_true",
        help="only fold a gated checkpoint into a stock one",
    )
    parser.add_argument("--adapter-path", type=Path, metavar="DIR", help="merge this adapter first")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="of the result (default: export.folded_dtype where it is set, else the checkpoint's)",
    )
    parser.add_argument(
        "--onto",
        choices=("original", "int8"),
        help="the base's own weights, or as an int8 training saw them (default: as the "
        "settings say)",
    )
    parser.add_argument(
        "--no-proof",
        action="store_true",
        help="do not compare the fold's logits with the gated model's (it takes memory for "
        "one model in float32)",
    )


def _to_train(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--force-new-run",
        action="store_true",
        help="train afresh; the run's older training is kept aside as train.older-N",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="train on so many GPUs of this machine; with --run from its next start on",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="print what the training would take of a GPU's memory, and start nothing; with "
        "--set train.memory_gb=12 also what `auto` would choose there",
    )
    parser.add_argument("--json", action="store_true", help="--estimate: for scripts")


def _to_explain(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=("explain", "expire"),
        help="explain: why a URL was or would be fetched or not; expire: remove WARC files beyond "
        "their retention",
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="for explain")
    parser.add_argument(
        "--ask", action="store_true", help="explain: fetch robots.txt and its like now"
    )
    parser.add_argument("--json", action="store_true", help="explain: for scripts")


def _add_serving(commands: _Commands) -> None:
    parser = commands.add(
        "serve",
        serving.serve,
        "serve a model's answers, and nothing of its thinking",
        "serve --model-path models/folded",
    )
    _run_name(parser)
    _settings(parser)
    parser.add_argument("--model-path", type=Path, metavar="PATH", help="a model, not a run's")
    parser.add_argument("--gguf", metavar="TYPE", help="the run's GGUF file of this type")
    parser.add_argument("--new-key", metavar="NAME", help="make a bearer key and end")
    audit = commands.add(
        "audit", auditing.verify, "make, check, show or rotate the audit log", "audit verify"
    )
    inner = _Commands(audit.add_subparsers(required=True, metavar="{init,verify,show,rotate}"))
    _settings(inner.add("init", auditing.init, "make the log's secret keys", "audit init"))
    parser = inner.add(
        "verify", auditing.verify, "name the first record that was changed", "audit verify"
    )
    _settings(parser)
    parser.add_argument(
        "--public-key", type=Path, metavar="FILE", help="check without the secret keys"
    )
    parser.add_argument(
        "--expect-at-least",
        metavar="N[:HASH]",
        help="a record that was noted earlier and must be there",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser = inner.add("show", auditing.show, "the newest records", "audit show --last 20")
    _settings(parser)
    parser.add_argument("--last", type=_count, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--id", metavar="ID", help="of the request with this id alone")
    parser.add_argument("--json", action="store_true", help="the records as they are")
    _settings(inner.add("rotate", auditing.rotate, "begin a new file", "audit rotate"))


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _to_ollama(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target",
        nargs="?",
        choices=("ollama",),
        help="put the exported model of a run into Ollama",
    )
    parser.add_argument("--name", metavar="NAME", help="its name there (default: export.name)")
    parser.add_argument(
        "--host", metavar="URL", help="Ollama's address (default: OLLAMA_HOST, or this machine)"
    )
    parser.add_argument(
        "--quantize", metavar="TYPE", help="have Ollama quantise an F16 or F32 file, as q4_K_M"
    )


def build_parser() -> ArgumentParser:
    """The parser of every command."""
    parser = ArgumentParser(
        prog="so8t",
        description="From public Japanese web pages to an SO(8)-rotated Phi-3, in one terminal.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        parents=[_common(defaults=True)],
    )
    parser.add_argument("--version", action="version", version=f"so8t {__version__}")
    parser.add_argument("--run", metavar="RUN", help="open the interface on this run")
    parser.add_argument(
        "--read-only", action="store_true", help="the interface may watch, and change nothing"
    )
    parser.set_defaults(action=steer.home, command="home")
    commands = _Commands(parser.add_subparsers(metavar="COMMAND"))
    _add_runs(commands)
    _add_views(commands)
    _add_elsewhere(commands)
    _add_config(commands)
    _add_phases(commands)
    _add_serving(commands)
    return parser


def _prepare_streams() -> None:
    """Give closed standard streams a place, and let no terminal's encoding stop a message."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - lives with the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _only_prints(arguments: Namespace) -> bool:
    """Whether standard output is all that the command itself writes to, databases aside."""
    return not hasattr(arguments, "headless") and arguments.command != "starter-model"


def _lost_output(error: OSError, arguments: Namespace) -> int:
    """Drop what standard output still holds; a reader that went away ends mere printing well."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if isinstance(error, BrokenPipeError) and _only_prints(arguments):
        return EXIT_DONE
    raise StoreError(
        f"The output cannot be written: {error.strerror}.",
        where="standard output",
        hint="Send it to another place.",
    ) from error


def _act(arguments: Namespace) -> int:
    """Do the command. Raises `So8tError` for whatever the system refuses, its output included."""
    if hasattr(arguments, "headless"):  # it starts an engine
        require_started_once(os.environ)
    try:
        code = int(arguments.action(arguments))
    except OSError as error:
        if error.filename is None and _only_prints(arguments):
            return _lost_output(error, arguments)
        raise StoreError(
            f"The system refused a file or a connection: {error.strerror or error}.",
            where=None if error.filename is None else str(error.filename),
            hint="Check space and permissions; --debug shows where it happened.",
        ) from error
    try:
        sys.stdout.flush()
    except OSError as error:
        return _lost_output(error, arguments)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the console script; returns the exit code."""
    _prepare_streams()
    arguments = build_parser().parse_args(argv)
    try:
        return _act(arguments)
    except So8tError as error:
        if arguments.debug:
            raise
        print(f"so8t: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # the outermost border: a user sees a message, never a traceback
        if arguments.debug:
            raise
        print(
            f"so8t: unexpected {type(error).__name__}: {error}\n  next:  run it again with --debug "
            "and report what it shows",
            file=sys.stderr,
        )
        return EXIT_FAILED


def run() -> Any:
    """`python -m so8t_core.cli`."""
    sys.exit(main())


if __name__ == "__main__":
    run()
