"""`python -m tests.serve.audit_writer FOLDER`: writes an audit log of many small files for ever."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.serve.audits import audit_settings, entry, open_log, write


def run(folder: Path) -> None:
    log = open_log(audit_settings(folder, rotate_bytes=6000, checkpoint_every=3))
    number = 0
    while True:
        log.turn_away("server_busy")
        print(write(log, [entry(number), entry(number + 1)])[-1], flush=True)
        number += 2
        if number % 9 == 0:
            log.rotate().result()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
