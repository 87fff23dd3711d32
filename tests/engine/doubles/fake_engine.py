"""An engine on the counting phases: `fake_engine.py RUN_DIR [PHASE ...]`."""

import asyncio
import sys
from pathlib import Path

from so8t_core.contract.errors import So8tError
from so8t_core.contract.rundir import RunDir
from so8t_core.engine.runner import Engine

try:
    engine = Engine(
        RunDir(Path(sys.argv[1])), only=tuple(sys.argv[2:]), phases_package="fake_phases"
    )
    sys.exit(asyncio.run(engine.run()))
except So8tError as error:
    print(error)
    sys.exit(error.exit_code)
