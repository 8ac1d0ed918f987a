# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollback that happens by itself unless the change is confirmed in time.

Two guards, processes of their own, wait for the confirmation: one acts, and the other takes its place if it is killed.
They outlive the connection that armed them. They do not outlive a reboot, which starts from the files as they are then.

A change that came after the rollback would never be rolled back, and the host would be cut off for good. So modules
make changes under ``while_armed()``, which refuses to begin after the timeout, and the rollback kills a change that has
begun and does not end.

The two sides talk by one file, whose name is the state. Only one of two renames of one file can succeed, so a change
cannot be confirmed and rolled back at once::

    armed --confirm()--> confirmed
    armed --roll_back_now(), or the timeout is over--> due --a guard--> done
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _processes
from ansible_collections.wirefleet.wireguard.plugins.module_utils._detached import detach
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand

DIRECTORY = "/run/wg_confirm"
GUARDS = 2
POLL_SECONDS = 0.1
# Hooks of a rollback that run for longer are killed: what they take down or up is worth less than the connection.
HOOK_SECONDS = 10
# A rollback that takes longer than this (many hooks, each to its limit) is reported as unfinished.
ROLLBACK_SECONDS = 300

EXPIRED = (
    "the confirmation timeout expired before this change started; nothing was changed. To allow more time, raise "
    "wireguard_confirm_timeout"
)
UNGUARDED = (
    "the processes that would roll this change back were killed; nothing was changed. Run again to arm another rollback"
)

_TEXTS = {"type": "list", "elements": "str", "default": []}
# The options of wg_confirm, for its action plugin and its module; the first two are for the action plugin.
ARGUMENTS: dict[str, t.Any] = {
    "argument_spec": {
        "changes": {"type": "list", "elements": "dict"},
        "armed": {"type": "bool", "default": True},
        "state": {"type": "str", "choices": ["armed", "confirmed", "rolled_back"]},
        "change_id": {"type": "str"},
        "timeout": {"type": "int", "default": 60},
        "interfaces": _TEXTS,
        "sysctls": _TEXTS,
        "files": {"type": "list", "elements": "path", "default": []},
    },
    "required_one_of": [("changes", "state")],
    "mutually_exclusive": [("changes", "state")],
}

RollBack = t.Callable[[], "list[str]"]
"""Brings one thing back to a previous state; returns what could not be done."""


class Outcome(t.NamedTuple):
    """What became of a change. ``problems``: what could not be rolled back; ``guarded``: whether it would have been
    rolled back by itself until now."""

    rolled_back: bool
    problems: tuple[str, ...] = ()
    guarded: bool = True


class Rollback:
    """The one rollback that can be armed on this host at a time.

    ``change`` is a name that the caller gives to the change: a confirmation by another name is none of it. None is any.
    """

    def __init__(self, directory: str = DIRECTORY, change: str | None = None) -> None:
        self._directory = directory
        self._change = change
        self._armed, self._confirmed, self._due, self._done = (
            f"{directory}/{state}" for state in ("armed", "confirmed", "due", "done")
        )
        # Changes share its lock; the rollback has it alone.
        self._changes = f"{directory}/changes"

    def arm(self, run_command: RunCommand, seconds: float, note: t.Callable[[], t.Iterable[RollBack]]) -> None:
        """Have guards bring back what ``note`` finds now, in so many seconds.

        A rollback that another run has armed is waited for: what that run changes is not the state to go back to.
        Raises OSError, and what ``note`` raises.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        # Kept open, and so locked, by the guards until their end.
        lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left_over in (self._armed, self._confirmed, self._due, self._done):
                _files.remove(left_over)
            os.close(os.open(self._changes, os.O_WRONLY | os.O_CREAT, 0o600))
            ways_back = list(note())
            _files.write_atomically(self._armed, json.dumps(self._change).encode(), 0o600)
            armed, deadline = os.open(self._armed, os.O_RDONLY), time.monotonic() + seconds
            for _guard in range(GUARDS):
                detach(run_command, lambda: self._guard(armed, deadline, ways_back))
            os.close(armed)
        finally:
            os.close(lock)

    # --- in the guards

    def _guard(self, armed: int, deadline: float, ways_back: t.Sequence[RollBack]) -> None:
        """Wait for the turn, then for the confirmation, and roll back if it does not come."""
        # Opened again: what is inherited is one lock for all.
        fcntl.flock(os.open(f"/proc/self/fd/{armed}", os.O_RDONLY), fcntl.LOCK_EX)
        while os.path.exists(self._armed):
            if time.monotonic() > deadline:
                self._rename(self._due)
            else:
                time.sleep(POLL_SECONDS)
        if os.path.exists(self._due):
            _processes.protect(HOOK_SECONDS)
            take_lock(os.open(self._changes, os.O_RDONLY), self._changes)
            problems = [problem for roll_back in ways_back for problem in _attempt(roll_back)]
            record = {"change": self._change, "problems": problems}
            _files.write_atomically(self._done, json.dumps(record).encode(), 0o600)
            _files.remove(self._due)

    # --- in the modules that change something

    @contextlib.contextmanager
    def while_armed(self) -> t.Iterator[None]:
        """For a change, once it has all the locks that it needs. Raises ValueError if it would not be rolled back."""
        try:
            changes = os.open(self._changes, os.O_RDONLY)
        except FileNotFoundError:
            raise ValueError(EXPIRED) from None
        try:
            if not _lock_shared(changes) or not os.path.exists(self._armed):
                raise ValueError(EXPIRED)
            if not self._is_guarded():
                raise ValueError(UNGUARDED)
            yield
        finally:
            os.close(changes)

    def _is_guarded(self) -> bool:
        """Whether a guard lives."""
        with self._opened() as lock:
            return not _lock_shared(lock)

    # --- in wg_confirm

    def confirm(self) -> Outcome:
        """Keep what was changed, unless it has been rolled back; may be repeated. Raises LookupError if nothing was
        armed, or something else was."""
        guarded = self._is_guarded()
        if self._is_of(self._armed) and self._rename(self._confirmed):
            return Outcome(rolled_back=False, guarded=guarded)
        if self._change is not None and self._is_of(self._confirmed):
            return Outcome(rolled_back=False)
        return self._outcome()

    def roll_back_now(self) -> Outcome:
        """Roll back at once; may be repeated. Raises LookupError if nothing was armed, or something else was."""
        if self._is_of(self._armed):
            self._rename(self._due)
        return self._outcome()

    def _rename(self, to: str) -> bool:
        try:
            os.rename(self._armed, to)
        except FileNotFoundError:
            return False
        return True

    def _is_of(self, state: str) -> bool:
        content = _files.read(state)
        return content is not None and (self._change is None or json.loads(content) == self._change)

    def _outcome(self) -> Outcome:
        """Wait for the guards to end; what they did."""
        if os.path.exists(self._armed) and not self._is_of(self._armed):
            raise LookupError
        with self._opened() as lock:
            ended = _files.lock(lock, ROLLBACK_SECONDS)
        content = _files.read(self._done)
        if content is not None:
            record = json.loads(content)
            if self._change in (None, record["change"]):
                return Outcome(rolled_back=True, problems=tuple(record["problems"]))
        elif self._is_of(self._due):
            reason = "the processes that were to do it were killed" if ended else "it is still running"
            return Outcome(rolled_back=True, problems=(reason,), guarded=not ended)
        raise LookupError

    @contextlib.contextmanager
    def _opened(self) -> t.Iterator[int]:
        """The directory, open. Raises LookupError if nothing was ever armed."""
        try:
            lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise LookupError from None
        try:
            yield lock
        finally:
            os.close(lock)


def _lock_shared(descriptor: int) -> bool:
    """Get a shared lock of an open file or directory, unless another process has it alone; whether we have it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_lock(descriptor: int, path: str, seconds: float = 5) -> None:
    """Get the lock of an open file or directory: whoever holds it for so many seconds more is killed.

    Who cannot be killed (it is in an uninterruptible system call) changes nothing before that call returns.
    """
    if not _files.lock(descriptor, seconds):
        for pid in _processes.lock_holders(path):
            _processes.kill(pid)
        _files.lock(descriptor, seconds)


@contextlib.contextmanager
def changing(module: AnsibleModule, lock: t.ContextManager[t.Any] | None = None) -> t.Iterator[None]:
    """For all that a module changes, under ``lock``: it is completed or rolled back, whatever becomes of the terminal,
    and begins only while a rollback is armed, if the module's ``require_rollback`` says so.

    Check mode changes nothing. Raises ValueError, and what ``lock`` raises.
    """
    if module.check_mode:
        yield
        return
    _processes.continue_in_own_session(module)
    nothing = contextlib.nullcontext()
    # A change that waited for its lock may be too late, so the lock comes first.
    with lock or nothing, Rollback().while_armed() if module.params.get("require_rollback") else nothing:
        _processes.protect()
        yield


def _attempt(roll_back: RollBack) -> list[str]:
    try:
        return roll_back()
    except BaseException as error:  # one thing that cannot be rolled back must not prevent the others
        return [str(error) or type(error).__name__]
