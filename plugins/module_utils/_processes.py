# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that make a change: in a session of their own (setsid(2)), which no terminal can hang up, and which can be
killed as a whole.

In such a session a signal ends the hook that is running, which then fails as hooks do, and nothing else. So a change
that is interrupted is completed, or rolled back by what rolls back after any hook that fails; it never stops half-way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

POLL_SECONDS = 0.02
# A process in an uninterruptible system call outlives SIGKILL: it is not waited for any longer than this.
KILL_SECONDS = 2.0

_hook_seconds: float | None = None  # None: this process is in a session that it shares with others; 0: no limit
_hook_runs = False


class _Process(t.NamedTuple):
    pid: int
    parent: int
    session: int


def continue_in_own_session(module: AnsibleModule) -> None:
    """Return in a child of this process that leads a session of its own. This process passes on the signals that a
    terminal sends (SIGHUP, SIGINT) and SIGTERM, as SIGTERM, and ends as the child does."""
    child = os.fork()
    if child == 0:
        os.setsid()
        return

    def pass_on(_number: int, _frame: t.Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        module.fail_json(msg=f"the process that made this change was killed by signal {os.WTERMSIG(status)}")
    # The child has printed the result, and has cleaned up.
    os._exit(os.WEXITSTATUS(status))


def protect(hook_seconds: float = 0) -> None:
    """From now on a signal ends the hook that is running, if any, instead of this process, and so do ``hook_seconds``
    (0: no limit). Only for a process in a session of its own."""
    global _hook_seconds
    _hook_seconds = hook_seconds
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _end_hook)


@contextlib.contextmanager
def hook() -> t.Iterator[None]:
    """While the command of a hook runs."""
    global _hook_runs
    _hook_runs = _hook_seconds is not None
    if _hook_seconds:
        signal.setitimer(signal.ITIMER_REAL, _hook_seconds)
    try:
        yield
    finally:
        if _hook_seconds:
            signal.setitimer(signal.ITIMER_REAL, 0)
        _hook_runs = False


def _end_hook(_number: int, _frame: t.Any) -> None:
    if _hook_runs:
        session = os.getsid(0)
        _kill(lambda processes: {one.pid for one in processes if one.session == session})


def kill(pid: int) -> None:
    """Kill a process, its descendants, and the session that it leads, if any."""

    def victims(processes: list[_Process]) -> set[int]:
        found = {one.pid for one in processes if pid in (one.pid, one.session)}
        while True:
            children = {one.pid for one in processes if one.parent in found} - found
            if not children:
                return found
            found |= children

    _kill(victims)


def _kill(victims: t.Callable[[list[_Process]], set[int]]) -> None:
    """SIGKILL until no victim is left: one may start another meanwhile."""
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        pids = victims(_processes()) - {1, os.getpid()}
        if not pids or time.monotonic() > deadline:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _processes() -> list[_Process]:
    """All that live (proc(5), /proc/PID/stat)."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            state, parent, _group, session = file.read().rpartition(b")")[2].split()[:4]
            if state not in (b"Z", b"X"):
                found.append(_Process(int(pid), int(parent), int(session)))
    return found


def lock_holders(path: str) -> list[int]:
    """The other processes that hold a lock (flock(2)) of a file or directory (proc(5), /proc/PID/fdinfo)."""
    path = os.path.realpath(path)
    return [
        int(pid)
        for pid in filter(str.isdigit, os.listdir("/proc"))
        if int(pid) != os.getpid() and any(_is_lock(pid, number, path) for number in _descriptors(pid))
    ]


def _descriptors(pid: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(f"/proc/{pid}/fd")
    return []


def _is_lock(pid: str, number: str, path: str) -> bool:
    with contextlib.suppress(OSError):
        if os.readlink(f"/proc/{pid}/fd/{number}") == path:
            with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
                return b"FLOCK" in file.read()
    return False
