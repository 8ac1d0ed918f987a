# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An undo that happens by itself unless it is called off: a process of its own waits for that.

It outlives the connection that armed it. It does not outlive a reboot, which starts from the files as they are then.

A change that comes late, after the undo, would be one that nothing undoes: the host would be cut off for good. So
modules change things under ``while_armed()``, which refuses then, and which the undo waits for.

The two sides talk by one file, whose name is the state. Only one of two renames of one file can succeed, so the host
cannot be confirmed and undone at once::

    armed --call_off()--> gone
    armed --undo_now(), or the time is over--> due --the waiting process--> done
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files
from ansible_collections.wirefleet.wireguard.plugins.module_utils._detached import detach
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand

DIRECTORY = "/run/wg_confirm"
POLL_SECONDS = 0.1
CHANGE_SECONDS = 60


PutBack = t.Callable[[], list[str]]
"""Puts one thing back; returns what could not be done."""


class Outcome(t.NamedTuple):
    """What became of an undo that was armed: ``problems`` are what could not be put back."""

    undone: bool
    problems: tuple[str, ...] = ()


class Undo:
    """The one undo that can be armed on this host at a time."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self._directory = directory
        self._armed, self._due, self._done = (f"{directory}/{state}" for state in ("armed", "due", "done"))

    def arm(self, run_command: RunCommand, seconds: float, note: t.Callable[[], t.Iterable[PutBack]]) -> None:
        """Have a detached process put back in so many seconds what ``note`` finds now.

        An undo that another run has armed is waited for: what that run changes is not to be taken for the state to go
        back to. Raises OSError, and what ``note`` raises.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        # Kept open, and so locked, by the waiting process until its end.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in (self._armed, self._due, self._done):
            _files.remove(left_over)
        try:
            ways_back = list(note())
            _files.write_atomically(self._armed, b"", 0o600)
            detach(run_command, lambda: self._wait(seconds, ways_back))
        finally:
            os.close(lock)

    def _wait(self, seconds: float, ways_back: t.Sequence[PutBack]) -> None:
        """In the detached process: wait, and maybe undo."""
        if self._is_due(time.monotonic() + seconds):
            # A change that never ends, such as a hook that waits for the connection, must not keep the host cut off.
            _files.lock(os.open(self._due, os.O_RDONLY), CHANGE_SECONDS)
            problems = [problem for put_back in ways_back for problem in _attempt(put_back)]
            _files.write_atomically(self._done, json.dumps(problems).encode(), 0o600)
            _files.remove(self._due)

    def _is_due(self, deadline: float) -> bool:
        while os.path.exists(self._armed):
            if time.monotonic() > deadline:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self._armed, self._due)
            else:
                time.sleep(POLL_SECONDS)
        return os.path.exists(self._due)

    @contextlib.contextmanager
    def while_armed(self) -> t.Iterator[None]:
        """For a change: an undo waits for its end. Raises ValueError if none is pending."""
        late = ValueError(
            "the time for this change was over before it began, so nothing is changed; give it more with "
            "wireguard_confirm_timeout"
        )
        try:
            armed = os.open(self._armed, os.O_RDONLY)
        except FileNotFoundError:
            raise late from None
        try:
            # The same file under its other name is what the undo locks.
            fcntl.flock(armed, fcntl.LOCK_SH)
            if not os.path.exists(self._armed):
                raise late
            yield
        finally:
            os.close(armed)

    def call_off(self) -> Outcome:
        """Let what was changed stay, unless it has been undone. Raises LookupError if nothing was armed."""
        if _files.remove(self._armed):
            return Outcome(undone=False)
        return self._outcome()

    def undo_now(self) -> Outcome:
        """Put back at once. Raises LookupError if nothing was armed."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._armed, self._due)
        return self._outcome()

    def _outcome(self) -> Outcome:
        """Wait for the waiting process to end; what it did."""
        try:
            lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise LookupError from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)
        content = _files.read(self._done)
        if content is None and os.path.exists(self._due):
            return Outcome(undone=True, problems=("the process that was to put it back was killed",))
        if content is None:
            raise LookupError
        return Outcome(undone=True, problems=tuple(json.loads(content)))


def while_armed(module: AnsibleModule) -> t.ContextManager[None]:
    """``Undo.while_armed`` if the module's ``require_undo`` says so, else nothing; check mode changes nothing."""
    required = module.params["require_undo"] and not module.check_mode
    return Undo().while_armed() if required else contextlib.nullcontext()


def _attempt(put_back: PutBack) -> list[str]:
    try:
        return put_back()
    except BaseException as error:  # one thing that cannot be put back must not keep the others from it
        return [str(error) or type(error).__name__]
