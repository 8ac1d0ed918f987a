# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work that goes on after the module has ended, and after the connection that it was called over has."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find

NEVER_KILL = b"-1000"


def detach(run_command: RunCommand, work: t.Callable[[], None]) -> None:
    """Do ``work`` in a process of its own, for which nothing waits and which cannot report what goes wrong.

    Returns when that process is independent of this one. All that it needs must have been imported before: the file
    that the module came in is gone by then.
    """
    ready, is_ready = os.pipe()
    child = os.fork()
    if child != 0:
        os.close(is_ready)
        os.waitpid(child, 0)
        os.read(ready, 1)  # until the other end is closed
        os.close(ready)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            _leave_session(run_command)
            _survive_lack_of_memory()
            os.close(ready)
            os.close(is_ready)
            work()
    finally:
        # Not through what the caller has registered for its own exit.
        os._exit(0)


def _leave_session(run_command: RunCommand) -> None:
    """Move this process out of the session's scope, whose processes logind may kill at logout (logind.conf(5),
    KillUserProcesses=): systemd takes it into a scope of its own, where there is systemd."""
    busctl = find("busctl")
    if busctl:
        manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"]
        scope = [f"wireguard-{os.getpid()}.scope", "fail", "1", "PIDs", "au", "1", str(os.getpid()), "0"]
        run_command([busctl, "--quiet", "call", *manager, "StartTransientUnit", "ssa(sv)a(sa(sv))", *scope])


def _survive_lack_of_memory() -> None:
    """Have the kernel kill others first (proc(5), /proc/PID/oom_score_adj); in some containers it may not be asked."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:
        file.write(NEVER_KILL)
