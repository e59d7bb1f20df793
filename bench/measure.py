"""Start what a scenario needs, let every target prove what it claims, then measure them round by round."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench import credentials, layout, preflight, traffic
from bench.idle import Hold, Memory
from bench.load import Outcome, Plan
from bench.process import CLIENT, UNDER_TEST, NotStarted, Process, free_port
from bench.targets import GET, IDLE, TLS, Setting, Target


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long and how often: seconds, counts."""

    rounds: int = 5
    warm: float = 1.0
    seconds: float = 4.0
    count: int = 400_000
    connections: int = 32
    idle: int = 10_000


QUICK = Effort(rounds=3, warm=0.5, seconds=1.0, count=50_000, idle=2_000)


@dataclasses.dataclass
class Result:
    """What one target has shown in one scenario."""

    target: Target
    runs: list[Outcome] = dataclasses.field(default_factory=list)
    memory: Memory | None = None
    note: str = ""

    @property
    def good(self) -> list[Outcome]:
        return [run for run in self.runs if not run.error]

    @property
    def costs(self) -> list[float]:
        """CPU microseconds per request, one figure for each run that counts."""
        return [run.cpu / run.requests * 1e6 for run in self.good]

    @property
    def cost(self) -> float | None:
        return median(self.costs) if self.costs else None

    @property
    def refused(self) -> str:
        """What went wrong in the runs that do not count."""
        errors = [run.error for run in self.runs if run.error]
        return f"{len(errors)} of {len(self.runs)} runs do not count: {errors[0]}" if errors else ""


@dataclasses.dataclass(frozen=True)
class Running:
    """A target that is up, and where."""

    target: Target
    process: Process
    port: int


class Bench:
    """One upstream and one set of credentials, for all scenarios of a run."""

    def __init__(self, folder: Path, effort: Effort) -> None:
        self.folder = folder
        self.effort = effort
        self.credentials = credentials.make(folder)
        self.upstream = free_port()
        self.helper = 0

    @contextmanager
    def upstream_running(self) -> Iterator[None]:
        argv = [sys.executable, "-m", "bench.upstream", str(self.upstream)]
        process = Process(argv, self.folder / "upstream.log", CLIENT, cwd=layout.ROOT)
        self.helper = process.pid
        try:
            process.wait_for([self.upstream])
            yield
        finally:
            process.stop()

    def scenario(self, name: str, targets: Sequence[Target]) -> list[Result]:
        """Measure every target that belongs to the scenario; those that cannot run say why."""
        results = [Result(target) for target in targets if name in target.scenarios]
        with ExitStack() as stack:
            running: list[tuple[Result, Running]] = []
            for result in results:
                try:
                    up = self.start(name, result.target, stack)
                    running.append((result, up))
                except (NotStarted, preflight.Failed, OSError) as error:
                    result.note = f"not measured: {error}"
            if name == IDLE:
                for result, up in running:
                    result.memory = self.hold(up)
            else:
                self.rounds(name, running)
        return results

    def start(self, scenario: str, target: Target, stack: ExitStack) -> Running:
        """Start the target and let it prove its layers."""
        if reason := target.missing():
            raise NotStarted(reason)
        folder = self.folder / scenario / target.name
        folder.mkdir(parents=True)
        setting = Setting(folder, free_port(), free_port(), self.upstream, self.credentials)
        launch = target.launch(setting)
        process = Process(launch.argv, folder / "output.log", UNDER_TEST, launch.env, launch.cwd)
        stack.callback(process.stop)
        port = setting.tls_port if scenario == TLS else setting.port
        process.wait_for([port])
        preflight.check(target, scenario, port, self.credentials)
        return Running(target, process, port)

    def rounds(self, scenario: str, running: list[tuple[Result, Running]]) -> None:
        """All targets in turn, in every round another one first."""
        messages = traffic.of(scenario, self.credentials)
        for _, up in running:
            self.load(up, scenario, messages)  # compilers and caches of their own warm up; not counted
        for number in range(self.effort.rounds):
            shift = number % max(1, len(running))
            for result, up in running[shift:] + running[:shift]:
                outcome = self.load(up, scenario, messages)
                result.runs.append(outcome)
                cost = f"{outcome.cpu / outcome.requests * 1e6:.1f} µs" if outcome.requests else outcome.error
                print(f"  {scenario} round {number + 1} {up.target.name}: {cost}", file=sys.stderr)

    def load(self, up: Running, scenario: str, messages: list[str]) -> Outcome:
        effort = self.effort
        plan = Plan(
            port=up.port,
            pid=up.process.pid,
            helper=self.helper,
            requests=messages,
            connections=effort.connections,
            warm=effort.warm,
            seconds=effort.seconds,
            count=effort.count,
            authority=str(self.credentials.certificate) if scenario == TLS else "",
        )
        return Outcome(**client("bench.load", plan, effort.warm + effort.seconds + 30))

    def hold(self, up: Running) -> Memory:
        request = traffic.of(GET, self.credentials)[0]
        return Memory(**client("bench.idle", Hold(up.port, up.process.pid, request, self.effort.idle), 120))


def client(module: str, plan: Plan | Hold, seconds: float) -> dict[str, Any]:
    """Run a load client on the core beside the process under test; what it printed."""
    argv = [sys.executable, "-m", module]
    asked = json.dumps(dataclasses.asdict(plan))
    try:
        done = subprocess.run(
            argv,
            input=asked,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=layout.ROOT,
            preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT}),
        )
    except subprocess.TimeoutExpired:
        return {"error": "the load client did not end in time"}
    told: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr.strip()[-300:]}
    return told
