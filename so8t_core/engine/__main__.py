"""`python -m so8t_core.engine RUN_DIR [PHASE ...]`: an engine without a terminal."""

from __future__ import annotations

import asyncio
import sys
import traceback
from pathlib import Path
from typing import cast

from so8t_core.contract.errors import EXIT_FAILED, So8tError
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.engine.runner import Engine


def main() -> int:
    """Run the engine; the exit code is the run's."""
    only = cast("tuple[PhaseName, ...]", tuple(sys.argv[2:]))
    try:
        return asyncio.run(Engine(RunDir(Path(sys.argv[1])), only=only).run())
    except So8tError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except Exception:  # noqa: BLE001 - the outermost border: the journal tells the user
        traceback.print_exc()
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
