# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of one host that is rolled back by the host itself unless the controller can reach it afterwards."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import typing as t
import uuid

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

from .host_action import HostAction

CONFIRM = "wirefleet.wireguard.wg_confirm"
# The modules that refuse to begin after the timeout.
REQUIRE_ROLLBACK = {f"wirefleet.wireguard.{module}" for module in ("wg_firewall", "wg_interface", "wg_keypair")}

# The host begins to count before the controller knows it, by so much at most on a network that is of any use.
ARM_SECONDS = 2
# After its timeout the host kills what is still running within 10 s, and that is reported.
KILL_SECONDS = 10
# How long after its timeout a host is tried to be reached.
AWAY_SECONDS = 60
# One attempt to reach it, and the pause before the next.
ATTEMPT_SECONDS = 20
PAUSE_SECONDS = 1

Result = dict[str, t.Any]


class _TimedOut(BaseException):
    """Nothing has come of it in time. No Exception: connection plugins try again after those."""


class ConfirmedChange:
    """Runs modules on the host of an action plugin, under one rollback if it is armed::

        change = ConfirmedChange(self, task_vars)
        change.arm(60, interfaces=["wg0"])
        result = change.run("wirefleet.wireguard.wg_interface", {...})
        ending = change.finish()

    Results are those of the modules, as dictionaries with ``failed`` and ``msg`` where something went wrong. After the
    first that failed nothing more is run by the caller; ``finish`` then rolls back at once.
    """

    def __init__(self, action: HostAction, task_vars: dict[str, t.Any]) -> None:
        self._action = action
        self._task_vars = task_vars
        self._change_id = uuid.uuid4().hex
        self._timeout = 0
        self._expires: float | None = None  # monotonic; no later than the host's own timeout. None: not armed
        self._failed = False

    @property
    def is_armed(self) -> bool:
        """Whether what is run is rolled back unless it is confirmed."""
        return self._expires is not None

    def predict(self, module: str, options: t.Mapping[str, t.Any]) -> Result:
        """What a module would do. Raises AnsibleConnectionFailure."""
        task = self._action._task
        check_mode, task.check_mode = task.check_mode, True
        try:
            return self._execute(module, options)
        finally:
            task.check_mode = check_mode

    def arm(
        self,
        timeout: int,
        interfaces: t.Sequence[str] = (),
        sysctls: t.Sequence[str] = (),
        files: t.Sequence[str] = (),
    ) -> Result:
        """Have the host go back to its present state in ``timeout`` seconds. Raises AnsibleConnectionFailure: then
        nothing has been changed."""
        began = time.monotonic()
        options = {"interfaces": list(interfaces), "sysctls": list(sysctls), "files": list(files)}
        result = self._execute(CONFIRM, {"state": "armed", "timeout": timeout, "change_id": self._change_id, **options})
        if not result.get("failed"):
            # The host may have waited for another rollback before it began to count.
            self._timeout, self._expires = timeout, max(began, time.monotonic() - ARM_SECONDS) + timeout
        return result

    def run(self, module: str, options: t.Mapping[str, t.Any]) -> Result:
        """Run a module. Under a rollback it is run again if its result is lost with the connection, over a new one.

        Raises AnsibleConnectionFailure if nothing is armed.
        """
        if self._expires is None:
            return self._execute(module, options)
        if module in REQUIRE_ROLLBACK:
            options = {**options, "require_rollback": True}
        attempts = 0
        while (remaining := self._expires - time.monotonic()) > 0:
            attempts += 1
            # A connection that the change has broken may just be silent. The half of the time is left for a new one.
            result = self._try(module, options, remaining / 2 if attempts == 1 else remaining + KILL_SECONDS)
            if result is not None and not (attempts > 1 and time.monotonic() > self._expires):
                self._failed = self._failed or bool(result.get("failed"))
                return result if attempts == 1 else {**result, "changed": True}
            time.sleep(PAUSE_SECONDS)
            self._disconnect()
        self._failed = True
        return {"failed": True, "msg": f"it did not end within {self._timeout} s, or its result was lost"}

    def finish(self) -> Result:
        """Confirm over a new connection, or have the host roll back if anything failed.

        Returns ``outcome`` and ``problems``, see wg_confirm, and ``failed`` with ``msg`` unless all that was run stays.
        """
        if self._expires is None:
            return {"outcome": "not_armed", "problems": []}
        options = {"state": "rolled_back" if self._failed else "confirmed", "change_id": self._change_id}
        while time.monotonic() < self._expires + AWAY_SECONDS:
            self._disconnect()
            result = self._try(CONFIRM, options, ATTEMPT_SECONDS)
            if result is not None and "outcome" in result:
                return self._ending(result)
            time.sleep(PAUSE_SECONDS)
        return {
            "failed": True,
            "outcome": "unknown",
            "problems": [],
            "msg": f"the host cannot be reached {AWAY_SECONDS} s after it should have rolled back its previous state; "
            "look at it by another way, such as its console",
        }

    def _ending(self, result: Result) -> Result:
        ending = {name: result[name] for name in ("outcome", "problems", "warnings") if name in result}
        if result["outcome"] == "confirmed":
            return ending
        said = result.get("msg") or "the host has rolled back its interfaces, firewall, sysctls and files"
        return {**ending, "failed": True, "msg": said}

    def _try(self, module: str, options: t.Mapping[str, t.Any], seconds: float) -> Result | None:
        """The result of a module; None if it did not come, for want of time or of a connection."""
        try:
            with _at_most(seconds):
                return self._execute(module, options)
        except (AnsibleConnectionFailure, _TimedOut):
            return None

    def _execute(self, module: str, options: t.Mapping[str, t.Any]) -> Result:
        return self._action.ask(module, dict(options), self._task_vars)

    def _disconnect(self) -> None:
        """Have the next module use a new connection."""
        connection = self._action._connection
        with contextlib.suppress(AnsibleError, _TimedOut), _at_most(ATTEMPT_SECONDS):
            # ssh's ends the use of its control socket, paramiko's connects again.
            if type(connection).reset is ConnectionBase.reset:
                connection.close()
            else:
                connection.reset()


@contextlib.contextmanager
def _at_most(seconds: float) -> t.Iterator[None]:
    """Raises _TimedOut after so many seconds. The `timeout` of the task, which uses the same alarm, goes on as well."""
    of_task = signal.getitimer(signal.ITIMER_REAL)[0]
    # Only Ansible's own workers run actions in their main thread for certain; only there is there an alarm.
    if threading.current_thread() is not threading.main_thread() or 0 < of_task <= seconds:
        yield
        return

    def expire(_number: int, _frame: t.Any) -> None:
        raise _TimedOut

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, expire)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, handler)
        if of_task:
            signal.setitimer(signal.ITIMER_REAL, max(of_task - (time.monotonic() - began), 0.01))
