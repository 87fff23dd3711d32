"""Readings of processor, memory, disk and GPUs, and the guard that watches them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.settings.engine import EngineSettings

_GB = 1e9
_MB = 1e6


class ResourceMeter:
    """Takes readings for one run. GPUs are read through NVML where its library is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gpus = _open_gpus()
        self._gpu_peaks: dict[int, float] = {}
        self._traffic = _traffic()
        psutil.cpu_percent()

    def read(self) -> dict[str, float]:
        """Percentages, gigabytes (10^9 bytes), degrees Celsius, watts and MB/s, by name.

        `gpuN_peak_gb` is the most that was used at any reading of this meter; traffic is that of
        the whole machine since the last reading, loopback aside.
        """
        memory = psutil.virtual_memory()
        values = {
            "cpu_percent": psutil.cpu_percent(),
            "ram_used_gb": (memory.total - memory.available) / _GB,
            "ram_available_gb": memory.available / _GB,
            "ram_total_gb": memory.total / _GB,
            "disk_free_gb": psutil.disk_usage(str(self._folder)).free / _GB,
            "engine_rss_gb": _tree_rss_bytes() / _GB,
        }
        for number, handle in enumerate(self._gpus):
            found = _read_gpu(handle)
            peak = max(found["used_gb"], self._gpu_peaks.get(number, 0.0))
            self._gpu_peaks[number] = found["peak_gb"] = peak
            values |= {f"gpu{number}_{name}": value for name, value in found.items()}
        values |= self._rates()
        return {name: round(value, 3) for name, value in values.items()}

    def _rates(self) -> dict[str, float]:
        before, now = self._traffic, _traffic()
        self._traffic = now
        took_s = max(now[0] - before[0], 1e-3)
        names = ("net_received_mb_per_s", "net_sent_mb_per_s")
        return {
            name: max(0.0, after - earlier) / took_s / _MB
            for name, earlier, after in zip(names, before[1:], now[1:], strict=True)
        }


def _traffic() -> tuple[float, int, int]:
    """Monotonic seconds, and the bytes received and sent by now over all real interfaces."""
    counters = psutil.net_io_counters(pernic=True)
    real = [counter for name, counter in counters.items() if not name.startswith("lo")]
    received, sent = sum(c.bytes_recv for c in real), sum(c.bytes_sent for c in real)
    return time.monotonic(), received, sent


def _tree_rss_bytes() -> int:
    here = psutil.Process()
    total = 0
    for process in (here, *here.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue  # it ended between being listed and being read
    return total


def _open_gpus() -> list[Any]:
    import pynvml

    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []  # no driver: this machine has no NVIDIA GPU


def _read_gpu(handle: Any) -> dict[str, float]:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    values = {"used_gb": memory.used / _GB, "total_gb": memory.total / _GB}
    readers: dict[str, Callable[[], float]] = {
        "util_percent": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "temperature_c": lambda: pynvml.nvmlDeviceGetTemperature(handle, 0),
        "power_w": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
    }
    for name, reader in readers.items():
        try:
            values[name] = float(reader())
        except pynvml.NVMLError:
            continue  # this device does not offer the reading
    return values


def shortage(
    values: dict[str, float], settings: EngineSettings, where: Path
) -> ResourceError | None:
    """The error to stop with when a reading is below its guard; None when all is well."""
    checks = (
        ("disk_free_gb", settings.min_free_disk_gb, "Disk space", "engine.min_free_disk_gb"),
        ("ram_available_gb", settings.min_free_memory_gb, "Memory", "engine.min_free_memory_gb"),
    )
    for name, least, title, setting in checks:
        if values[name] < least:
            return ResourceError(
                f"{title} is short: {values[name]:.2f} GB left, {least:.2f} GB wanted.",
                where=str(where),
                hint="Free some, then resume the run: nothing is lost. Or set less as enough: "
                f"`so8t resume RUN --set {setting}=NUMBER`.",
            )
    return None
