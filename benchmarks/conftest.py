"""What every benchmark shares: threads, the machine's name, waiting for the device, and a table at the end."""

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

THREADS = int(os.environ.get("BENCH_THREADS", os.cpu_count() or 1))


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def synchronised(device: torch.device) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A call that returns when its result is there: CUDA only queues the work."""

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            result = call(*args)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return result

        return timed

    return wrap


@pytest.fixture(autouse=True, scope="session")
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_quiet = True  # one table is enough


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info |= machine()


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"torch": torch.__version__, "threads": THREADS, "cpu_name": cpu_name(), "gpu": gpu}


def cpu_name() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [bench for bench in getattr(session, "benchmarks", []) if bench and not bench.has_error]
    if not rows:
        return
    write = terminalreporter.write_line
    write("\n" + ", ".join(f"{name} {value}" for name, value in machine().items() if value) + "\n")
    extras = list(dict.fromkeys(name for bench in rows for name in bench.extra_info))
    write("| " + " | ".join(["benchmark", "median ms", "IQR ms", "rounds", *extras]) + " |")
    write("|---|" + "--:|" * (3 + len(extras)))
    for bench in rows:
        stats = bench.stats
        cells = [bench.name, f"{1e3 * stats.median:.3f}", f"{1e3 * stats.iqr:.3f}", str(stats.rounds)]
        write("| " + " | ".join(cells + [str(bench.extra_info.get(name, "")) for name in extras]) + " |")
