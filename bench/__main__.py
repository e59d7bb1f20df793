"""The command line: `python -m bench [--quick] [--only a,b] [--scenario a,b] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import budgets, layout, report
from bench.measure import QUICK, Bench, Effort
from bench.targets import SCENARIOS, Target, every


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU per request, beside other gateways.")
    parser.add_argument("--quick", action="store_true", help="short runs: to see whether it works, not for figures")
    parser.add_argument("--only", default="", metavar="A,B", help="targets or families of them (envoy, route)")
    parser.add_argument("--scenario", default=",".join(SCENARIOS), metavar="A,B", help="%(default)s")
    parser.add_argument("--rounds", type=int, help=f"rounds instead of {Effort.rounds}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="instead of bench/results/TIME.json")
    return parser.parse_args()


def chosen(targets: tuple[Target, ...], only: str) -> list[Target]:
    """The targets that `only` names, by name or by the family before the dash; all of them if it is empty."""
    names = [name for name in only.split(",") if name]
    known = {target.name for target in targets} | {target.name.split("-")[0] for target in targets}
    if unknown := set(names) - known:
        raise SystemExit(f"unknown target {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return [one for one in targets if not names or one.name in names or one.name.split("-")[0] in names]


def scenarios(names: str) -> list[str]:
    if unknown := set(names.split(",")) - set(SCENARIOS):
        raise SystemExit(f"unknown scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    return names.split(",")


def effort(options: argparse.Namespace) -> Effort:
    base = QUICK if options.quick else Effort()
    return Effort(**{**vars(base), "rounds": options.rounds or base.rounds})


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    wanted, targets, work = scenarios(options.scenario), chosen(every(), options.only), effort(options)
    if not {0, 1} <= os.sched_getaffinity(0):
        print("the benchmark needs two cores (0 and 1): one for the process under test, one for its client")
        return 2
    results = {}
    with tempfile.TemporaryDirectory(prefix="sixfold-bench-") as folder:
        bench = Bench(Path(folder), work)
        with bench.upstream_running():
            for name in wanted:
                results[name] = bench.scenario(name, targets)
                print(report.table(name, results[name]) + "\n", flush=True)
    told = budgets.lines(results)
    print("\n".join(["### Budgets", "", *(told or ["- Sixfold was not measured in this run"])]))
    file = options.json or layout.RESULTS / time.strftime("%Y-%m-%dT%H%M%S.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report.as_json(results, work), indent=1) + "\n")
    print(f"\nwritten: {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
