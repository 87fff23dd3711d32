"""Our crawl phase on the same site: everything on that a run has, WARC among it, delays 0.

python ours.py PORT HOSTS FOLDER [DELAY_S]
"""

import sys
from pathlib import Path

from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.phases import crawl
from so8t_core.phases.base import PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter


class Quiet(RecordingEmitter):
    """Listens and keeps nothing."""

    def _keep(self, kind: str, **payload: object) -> None:
        del kind, payload


PORT, HOSTS, FOLDER = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
DELAY_S = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
names = [f"127.0.0.{number + 1}" for number in range(HOSTS)]
settings = Settings.model_validate(
    {
        "crawl": {
            "source": "web",
            "seeds": [f"http://{name}:{PORT}/p/0" for name in names],
            "resolve": {name: f"{name}:{PORT}" for name in names},
            "contact": "benchmark@example.org",
            "delay_s": DELAY_S,
            "max_concurrency": HOSTS,
            "max_pages": 1_000_000,
            "max_depth": 100,
            "adaptive_delay": 0,
        }
    }
)
(FOLDER / "crawl").mkdir()
crawl.run(PhaseContext(RunDir(FOLDER), "crawl", settings, {}, Quiet(), OpenGate()))
