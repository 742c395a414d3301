"""100,000 streamed pictures by 2 processes of 2 workers each, stopped in the middle: all of them once, in flat memory.

    python tests/robustness/soak_stream.py                 tar and parquet shards in a temporary folder
    python tests/robustness/soak_stream.py --pictures 5000 --kinds tar

Every process reads its batches by the feed of a training, in the order of an epoch: of the batch at position p, process
r of R has the rows p + r B / R to p + (r + 1) B / R. At half of them the processes end, and others go on from there.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from colddiff import Desaturate
from colddiff.data.streaming.dataset import stream_data
from colddiff.training.batches import Batches
from colddiff.training.prefetch import PrefetchLoader

SHARDS, DISTINCT, SIDE, BATCH = 20, 256, 64, 64
PROCESSES, WORKERS = 2, 2
SAMPLES = 20  # of memory, per process
FLAT = 0.05


def pictures() -> list[bytes]:
    """PNG and JPEG files of noise, whose brightness is their number."""
    found, generator = [], np.random.default_rng(0)
    for number in range(DISTINCT):
        noise = generator.integers(-2, 3, (SIDE, SIDE)) * (1 if number % 2 else 0) + number
        stream = io.BytesIO()
        image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
        image.save(stream, *(["JPEG"] if number % 2 else ["PNG"]), **({"quality": 95} if number % 2 else {}))
        found.append(stream.getvalue() + generator.bytes(4000))  # readers stop before what follows
    return found


def build(folder: Path, kind: str, count: int) -> None:
    """The shards: picture i has the brightness i mod 256."""
    folder.mkdir()
    encoded, bounds = pictures(), np.linspace(0, count, SHARDS + 1).astype(int).tolist()
    for shard, (first, last) in enumerate(pairwise(bounds)):
        if kind == "tar":
            with tarfile.open(folder / f"{shard:06d}.tar", "w:") as tar:
                for i in range(first, last):
                    info = tarfile.TarInfo(f"{i:08d}.{'jpg' if i % 2 else 'png'}")
                    info.size = len(encoded[i % DISTINCT])
                    tar.addfile(info, io.BytesIO(encoded[i % DISTINCT]))
            continue
        import pyarrow as pa
        import pyarrow.parquet as pq

        struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        rows = [{"bytes": encoded[i % DISTINCT], "path": str(i)} for i in range(first, last)]
        table = pa.table({"image": pa.array(rows, struct)})
        pq.write_table(table, folder / f"{shard:06d}.parquet", row_group_size=100, use_dictionary=False)


def worker(folder: str, rank: int, first: int, last: int) -> None:
    """What a process of a training reads of the positions from first to last, and the memory that it takes."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    data = stream_data(folder, split="all", colour="grey")
    order = data.order(0, 0)
    indexed, process, share = time.perf_counter() - began, psutil.Process(), BATCH // PROCESSES
    rows, wrong, memory, begun = [], 0, [], time.perf_counter()
    batches = Batches(data, Desaturate(), share, seed=0)
    starts = range(first + rank * share, last, BATCH)
    feed = PrefetchLoader(batches, itertools.count(starts.start, BATCH), torch.device("cpu"), workers=WORKERS)
    for k, start in enumerate(starts):
        mine = order[start : min(start + share, last)]  # of the last batch the rest is the next epoch's
        told = (next(feed).x0[: len(mine)].mean(dim=(1, 2, 3)) * 255).round().long()
        wrong += int(((told - mine % DISTINCT).abs() > 2).sum())
        rows += mine.tolist()
        if k * SAMPLES // len(starts) != (k - 1) * SAMPLES // len(starts):
            memory.append(process.memory_info().rss / 2**20)
    feed.close()
    seconds = time.perf_counter() - begun
    print(json.dumps({"rows": rows, "wrong": wrong, "memory": memory, "seconds": seconds, "indexed": indexed}))


def part(folder: Path, first: int, last: int) -> list[dict]:
    """What all processes read of these positions, at the same time."""
    command = [sys.executable, __file__, "--worker", str(folder)]
    started = [
        subprocess.Popen([*command, *map(str, (rank, first, last))], stdout=subprocess.PIPE, text=True)
        for rank in range(PROCESSES)
    ]
    told = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a process failed")
    return [json.loads(text) for text in told]


def soak(kind: str, count: int) -> bool:
    """Build, read, and say what came of it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / kind
        build(folder, kind, count)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
        middle = count // 2 // BATCH * BATCH
        print(f"{kind}: {count} pictures, {size:.0f} MiB, stopped and resumed at position {middle}", flush=True)
        halves = [part(folder, 0, middle), part(folder, middle, count)]
    flat = True
    for half, parts in zip(("first", "second"), halves, strict=True):
        for rank, told in enumerate(parts):
            memory = told["memory"]
            warm = memory[len(memory) // 4 :]
            growth = max(warm) / warm[0] - 1
            flat &= growth < FLAT
            number, speed = len(told["rows"]), len(told["rows"]) / told["seconds"]
            print(f"  {half} half, process {rank}: {number} images, {speed:.0f}/s, index {told['indexed']:.1f} s")
            print(f"    RSS {growth:+.1%} after a quarter; MiB:", *(f"{m:.0f}" for m in memory))
    rows = [row for parts in halves for told in parts for row in told["rows"]]
    once = sorted(rows) == list(range(count))
    wrong = sum(told["wrong"] for parts in halves for told in parts)
    print(f"  every picture once: {once}; pictures that are not what their row is: {wrong}; flat within 5%: {flat}")
    return once and flat and not wrong


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        folder, *numbers = sys.argv[2:]
        worker(folder, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--kinds", nargs="+", default=["tar", "parquet"])
    arguments = parser.parse_args()
    passed = [soak(kind, arguments.pictures) for kind in arguments.kinds]
    raise SystemExit(not all(passed))


if __name__ == "__main__":
    main()
