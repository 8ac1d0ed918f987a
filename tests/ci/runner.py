# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs checks two at a time, each with its log in .cache/log/, and sums them up."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from environment import CACHE, ROOT

WORKERS = 2
SHOWN_LINES, SHOWN_WIDTH = 300, 500
PYTEST_CLOSING = re.compile(r"^=+ (.*\d+ (?:passed|failed|error).* in .*?) =+$", re.MULTILINE)
MOLECULE_CLOSING = re.compile(r"Molecule executed \d+ scenario.*$", re.MULTILINE)
DEVICE = re.compile(r"device under test: [^\"\n]+")


class CheckFailed(Exception):
    """A check found a fault; its log says which."""


class Shell:
    """Runs commands for one check and writes what they print to its log."""

    def __init__(self, log: TextIO) -> None:
        self.log = log

    def run(self, *command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
        """Return what the command printed; raise CheckFailed if it fails."""
        print(f"$ {shlex.join(map(str, command))}", file=self.log, flush=True)
        start = self.log.tell()
        environment = os.environ | {"PWD": str(cwd)} | environment
        streams = {"stdin": subprocess.DEVNULL, "stdout": self.log, "stderr": self.log}
        ended = subprocess.run(command, check=False, cwd=cwd, env=environment, **streams).returncode
        self.log.seek(start)
        printed = self.log.read()
        if ended:
            raise CheckFailed(f"{Path(command[0]).name} ended with {ended}")
        return printed


@dataclass
class Check:
    name: str
    run: Callable[[Shell], None]


@dataclass
class Outcome:
    """What became of a check: `fault` is empty if it passed."""

    name: str
    fault: str
    seconds: float
    log: Path

    def closing_lines(self) -> list[str]:
        """What the test runners said at their end, and which WireGuard they tested."""
        text = self.log.read_text()
        return PYTEST_CLOSING.findall(text) + MOLECULE_CLOSING.findall(text) + sorted(set(DEVICE.findall(text)))

    def count(self) -> tuple[int, int]:
        """Passed and failed: the tests of pytest one by one, any other check as one."""
        tests = " ".join(PYTEST_CLOSING.findall(self.log.read_text()))
        passed = sum(map(int, re.findall(r"(\d+) passed", tests)))
        failed = sum(map(int, re.findall(r"(\d+) (?:failed|error)", tests)))
        return (passed, max(failed, 1)) if self.fault else (max(passed, 1), failed)


def run_all(checks: list[Check]) -> bool:
    """Run the checks, show the log of what failed, close with the counts; True if all passed.

    The first failure keeps everything from starting that has not started yet.
    """
    outcomes: list[Outcome] = []
    width = max((len(check.name) for check in checks), default=0)

    def run(check: Check) -> None:
        if any(outcome.fault for outcome in outcomes):
            return
        log = CACHE / "log" / f"{re.sub(r'[^a-z0-9.]+', '-', check.name.lower())}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        fault = ""
        with log.open("w+") as stream:
            try:
                check.run(Shell(stream))
            except CheckFailed as failed:
                fault = str(failed)
        outcome = Outcome(check.name, fault, time.monotonic() - start, log)
        outcomes.append(outcome)
        print(f"{'FAILED' if fault else 'ok':6} {check.name:{width}} {outcome.seconds:4.0f} s  {fault}", flush=True)
        if fault:
            print(
                f"----- the end of {log}", *log.read_text().splitlines()[-SHOWN_LINES:], "-----", sep="\n", flush=True
            )

    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(run, check) for check in checks]:
            done.result()

    print()
    for outcome in outcomes:
        for line in outcome.closing_lines():
            print(f"{outcome.name}: {line}")
    if left := len(checks) - len(outcomes):
        print(f"{left} more checks were not started after the failure")
    passed = sum(outcome.count()[0] for outcome in outcomes)
    failed = sum(outcome.count()[1] for outcome in outcomes)
    print(f"{passed} passed, {failed} failed")
    return not failed
