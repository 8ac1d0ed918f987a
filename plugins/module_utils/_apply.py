# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out steps (see _difference): neighbours of one kind by one process."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _netns, _processes
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._secrets import masked_output, system_error
from ansible_collections.wirefleet.wireguard.plugins.module_utils._unit import Service

# Arguments of all steps that go into one process; Linux allows at least 128 KiB with the environment (execve(2)).
LONGEST_COMMAND = 100_000

# What is done where the device is; all else is done in the host's own network namespace.
AT_THE_DEVICE = ("ip", "wg", "peers", "try_write", "hook", "down_hook", "delete")

SOCKETS = "/run/wireguard"
SECONDS_TO_END = 2.0

# What wg-quick(8) runs a hook with: bash, set -e -o pipefail, extended patterns. The hook itself comes on the standard
# input, as a hook may hold a key, and everybody on the host may read the arguments of a process.
SHELL = ("-e", "-o", "pipefail", "-O", "extglob", "-c", 'read -r; exec </dev/null; eval "$REPLY"')


class StepFailed(DeviceError):
    """A step could not be done; says which and why. ``reason`` must not hold what a tool said of a secret."""

    def __init__(self, step: Step, reason: str) -> None:
        super().__init__(f"step '{step.text}' failed: {reason.strip() or 'no reason given'}")
        self.step = step


def _said(code: int, out: str, err: str) -> str:
    """What a tool said of steps that hold no secret."""
    return err.strip() or out.strip() or f"it ended with {code}"


def _said_of_key(code: int, _out: str, err: str) -> str:
    """What ``wg`` said of what it was given on its standard input. It quotes what it does not understand."""
    return system_error(err) or f"it ended with {code}, and what it said is not shown, since it may quote a key"


def _said_of_hook(code: int, out: str, err: str) -> str:
    """What a hook said, which may have handled a key."""
    return masked_output(_said(code, out, err))


class Applier:
    """Carries out steps for one device, in its network namespace if it has one, and for its service likewise."""

    def __init__(
        self, run_command: RunCommand, name: str, service: Service | None = None, netns: str | None = None
    ) -> None:
        self._run_command = run_command
        self._name = name
        self._service = service
        self._netns = netns

    def apply(self, steps: t.Iterable[Step]) -> None:
        """Do all steps in their order. Raises StepFailed at the first that fails; those after it are not done."""
        for tool, group in itertools.groupby(steps, key=lambda step: step.tool):
            with _netns.entered(self._netns if tool in AT_THE_DEVICE else None):
                getattr(self, f"_{tool}")(list(group))

    def _ip(self, steps: list[Step], *options: str) -> None:
        lines = "".join(" ".join(step.words) + "\n" for step in steps)
        code, out, err = self._run_command([_tool("ip"), *options, "-batch", "-"], data=lines, binary_data=True)
        if code != 0:
            # "Command failed -:3" names the line at which ip(8) stopped.
            line = re.search(r"Command failed -:(\d+)", err)
            reason = re.sub(r"\s*Command failed -:\d+\s*", "", err) or out
            raise StepFailed(steps[int(line[1]) - 1 if line else 0], reason)

    def _ip4(self, steps: list[Step]) -> None:
        self._ip(steps, "-4")

    def _ip6(self, steps: list[Step]) -> None:
        self._ip(steps, "-6")

    def _wg(self, steps: list[Step]) -> None:
        for batch in _batches(steps):
            words = [word for step in batch for word in step.words]
            said = _said_of_key if batch[0].data else _said
            self._run([_tool("wg"), "set", self._name, *words], batch[0], batch[0].data, said)

    def _peers(self, steps: list[Step]) -> None:
        sections = "\n".join(step.data or "" for step in steps)
        self._run([_tool("wg"), "addconf", self._name, "/dev/stdin"], steps[0], sections, _said_of_key)

    def _nft(self, steps: list[Step]) -> None:
        self._run([_tool("nft"), "-f", "-"], steps[0], "".join(step.data or "" for step in steps))

    def _write(self, steps: list[Step]) -> None:
        for step in steps:
            path, value = step.words
            try:
                with open(path, "w", encoding="ascii") as file:
                    file.write(value)
            except OSError as error:
                raise StepFailed(step, str(error)) from None

    def _try_write(self, steps: list[Step]) -> None:
        for step in steps:
            with contextlib.suppress(StepFailed):
                self._write([step])

    def _hook(self, steps: list[Step]) -> None:
        for step in steps:
            with _processes.hook():
                self._run([_tool("bash"), *SHELL], step, f"{step.words[0]}\n", _said_of_hook)

    def _down_hook(self, steps: list[Step]) -> None:
        for step in steps:
            with contextlib.suppress(StepFailed):
                self._hook([step])

    def _delete(self, steps: list[Step]) -> None:
        self._run([_tool("ip"), "link", "delete", "dev", self._name], steps[0])
        # A program that serves the device takes its socket away a moment later: it must not be that of a successor.
        deadline = time.monotonic() + SECONDS_TO_END
        while os.path.exists(f"{SOCKETS}/{self._name}.sock") and time.monotonic() < deadline:
            time.sleep(0.01)

    def _command(self, steps: list[Step]) -> None:
        for step in steps:
            self._run([_tool(step.words[0]), *step.words[1:]], step, step.data)

    def _unit(self, steps: list[Step]) -> None:
        for step in steps:
            verb, *command = step.words
            try:
                if verb == "adopt":
                    self._service.adopt([_tool(command[0]), *command[1:]])
                else:
                    getattr(self._service, verb)(*command)
            except (DeviceError, OSError) as error:
                raise StepFailed(step, str(error)) from None

    def _file(self, steps: list[Step]) -> None:
        for step in steps:
            path, mode = (*step.words, "600")[:2]
            try:
                if step.data is None:
                    _files.remove(path)
                else:
                    mode = int(mode, 8)
                    # Who may read the file may enter its folder.
                    os.makedirs(os.path.dirname(path), mode=mode | 0o100 | (mode & 0o044) >> 2, exist_ok=True)
                    _files.write_atomically(path, step.data.encode("utf-8", "surrogateescape"), mode)
            except OSError as error:
                raise StepFailed(step, str(error)) from None

    def _run(
        self,
        argv: list[str],
        step: Step,
        data: str | None = None,
        said: t.Callable[[int, str, str], str] = _said,
    ) -> None:
        code, out, err = self._run_command(argv, data=data, binary_data=True)
        if code != 0:
            raise StepFailed(step, said(code, out, err))


def _tool(command: str) -> str:
    path = find(command)
    if path is None:
        raise DeviceError(f"the command '{command}' is missing on this host")
    return path


def _batches(steps: list[Step]) -> t.Iterator[list[Step]]:
    """Steps that fit on one command line; one with data is alone, and one with nothing to say has no part in it."""
    batch: list[Step] = []
    length = 0
    for step in steps:
        if len(step.words) == 2 and step.words[0] == "peer":
            continue
        size = sum(len(word) + 1 for word in step.words)
        if batch and (step.data or batch[0].data or length + size > LONGEST_COMMAND):
            yield batch
            batch, length = [], 0
        batch.append(step)
        length += size
    if batch:
        yield batch
