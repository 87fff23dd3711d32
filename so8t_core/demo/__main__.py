"""`python -m so8t_core.demo`: serve the demo site until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from so8t_core.demo.site import DemoSite


async def _serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory() as folder:
        async with DemoSite(Path(folder)) as site:
            address, port = site.address
            lines = [f"Serving on {address}:{port} until Ctrl-C. Try:"]
            lines += [
                f"  curl --resolve {host}:{port}:{address} http://{host}:{port}/"
                for host in site.hosts
            ]
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
            await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
