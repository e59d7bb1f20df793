"""What a process has cost: CPU time and memory of a process tree, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """`root` and every process that descends from it and is alive."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def seconds(root: int) -> float:
    """CPU seconds, user and system, that the tree under `root` has used: all threads, ended children too."""
    ticks = 0
    for pid in tree(root):
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return ticks / TICKS


def busy() -> float:
    """Seconds that all cores together have worked, for whomever."""
    with Path("/proc/stat").open() as lines:
        user, nice, system, _idle, _wait, irq, softirq = (int(field) for field in lines.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def resident(root: int) -> int:
    """Resident bytes of the largest process of the tree: its worker, where a supervisor is small."""
    return max(_resident(pid) for pid in tree(root))


def _resident(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kilobytes[0]) * 1024 if kilobytes else 0


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on, or None for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()
