"""Run the cleanse phase on a run directory: `python -m tests.cleanse.killable ROOT SETTINGS`."""

import json
import sys
from pathlib import Path

from so8t_core.phases import cleanse
from tests.cleanse.crawls import context


def main() -> None:
    ctx, _ = context(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    print(cleanse.run(ctx).digest)


if __name__ == "__main__":
    main()
