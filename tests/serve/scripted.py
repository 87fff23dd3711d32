"""`python -m tests.serve.scripted FOLDER`: a server process around the scripted backend."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from so8t_core.serve.access import Keys
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.door import word_lists
from so8t_core.serve.logs import install
from so8t_core.serve.server import Server, run_until_told
from tests.serve.audits import SERVED, keys_of
from tests.serve.doubles import ScriptedBackend
from tests.serve.stage import serve_settings


async def run(folder: Path) -> None:
    settings = serve_settings(folder)
    audit = AuditLog(settings.audit, keys_of(settings.audit), SERVED)
    server = Server(settings, ScriptedBackend(), audit, Keys(None), word_lists)
    try:
        await run_until_told(server, audit, lambda: announce(server))
    finally:
        audit.close()


def announce(server: Server) -> None:
    print(f"so8t is served on http://127.0.0.1:{server.port}", flush=True)
    print(f"metrics on http://127.0.0.1:{server.metrics_port}/metrics", flush=True)


if __name__ == "__main__":
    install(sys.stderr, debug=False)
    asyncio.run(run(Path(sys.argv[1])))
