"""Run the benchmarks: `python -m benchmarks --only operators,steps --quick`."""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .lib import tables
from .lib.interleaved import QUICK, Effort
from .lib.machine import machine
from .speed import growth, loops, networks, operators, roofline, step_overhead

SECTIONS = {
    "operators": operators, "steps": step_overhead, "loop": loops, "networks": networks, "roofline": roofline,
    "growth": growth,
}  # fmt: skip
PAGE = Path(__file__).parents[1] / "docs" / "results" / "performance.md"


def main() -> None:
    args = parsed()
    if args.threads:
        torch.set_num_threads(args.threads)
    effort = chosen(args)
    facts = machine() | ({"quick": "yes, of no meaning"} if args.quick else {})
    saved = begun(args.out, facts)
    for name in args.only:
        section = SECTIONS[name]
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        found: list[dict[str, Any]] = []
        print(f"\n### {section.TITLE}\n", flush=True)
        for table in section.tables(effort):
            found.append(tables.to_json(table))
            print(tables.markdown(table), flush=True)
        saved["sections"][name] = {"title": section.TITLE, "date": date, "tables": found}
        # In the order of the page, whatever was measured first; written at once, as the next section takes minutes.
        saved["sections"] = {n: saved["sections"][n] for n in SECTIONS if n in saved["sections"]}
        if args.out is not None:
            args.out.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
        if args.page is not None:
            tables.rewrite(args.page, "bench", tables.report(saved))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=sections, default=[*SECTIONS], help=f"some of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="tiny and once: does it run? prints only")
    parser.add_argument("--rounds", type=int, help="undisturbed rounds wanted of each table")
    parser.add_argument("--limit", type=float, help="seconds for a table")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="torch.compile too, minutes a network")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument("--out", type=Path, help="JSON; sections of the same machine that are there already stay")
    parser.add_argument("--page", type=Path, help="Markdown with marks to write between")
    args = parser.parse_args()
    if not args.quick:
        args.out, args.page = args.out or Path("bench.json"), args.page or PAGE
    return args


def sections(names: str) -> list[str]:
    chosen = names.split(",")
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return chosen


def chosen(args: argparse.Namespace) -> Effort:
    effort = QUICK if args.quick else Effort()
    given = {"rounds": args.rounds, "limit_s": args.limit, "compile": args.compile}
    return replace(effort, **{name: value for name, value in given.items() if value is not None})


def begun(out: Path | None, facts: dict[str, Any]) -> dict[str, Any]:
    """What was measured before on a machine with the same facts, or nothing."""
    if out is not None and out.exists():
        saved: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        if saved.get("machine") == facts:
            return saved
    return {"machine": facts, "sections": {}}


if __name__ == "__main__":
    main()
