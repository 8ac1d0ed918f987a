# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of a host whose connection is slow, broken or gone."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils import confirmed_change
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.confirmed_change import CONFIRM, ConfirmedChange

INTERFACE, SYSCTL = "wirefleet.wireguard.wg_interface", "ansible.posix.sysctl"
CONFIRMED = {"changed": False, "outcome": "confirmed", "problems": []}
ROLLED_BACK = {"changed": True, "outcome": "rolled_back", "problems": []}
GONE = AnsibleConnectionFailure("Connection timed out")
SILENT = "no answer ever"


class Connection:
    def __init__(self):
        self.resets = self.closes = 0

    def reset(self):
        self.resets += 1

    def close(self):
        self.closes += 1


class WithoutReset(Connection):
    reset = ConnectionBase.reset


class Action:
    """The part of an action plugin that runs modules; ``answers`` come in their order, the last one for ever."""

    def __init__(self, *answers, connection=Connection):
        self._task = SimpleNamespace(check_mode=False)
        self._connection = connection()
        self.answers = list(answers)
        self.asked = []

    def ask(self, module, arguments, task_vars):
        self.asked.append((module, arguments, self._task.check_mode))
        if arguments.get("state") == "armed":
            return {"changed": False, "outcome": "armed", "problems": []}
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is SILENT:
            time.sleep(60)
        return answer

    def states(self):
        """What was asked for of wg_confirm."""
        return [options["state"] for module, options, _check_mode in self.asked if module == CONFIRM]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, seconds in {"ARM_SECONDS": 0, "KILL_SECONDS": 0.2, "AWAY_SECONDS": 1, "ATTEMPT_SECONDS": 0.3,
                          "PAUSE_SECONDS": 0.05}.items():  # fmt: skip
        monkeypatch.setattr(confirmed_change, name, seconds)


def armed(*answers, timeout=1, **how):
    action = Action(*answers, **how)
    change = ConfirmedChange(action, {})
    change.arm(timeout, interfaces=["wg0"])
    return action, change


def test_change_is_confirmed_over_a_new_connection():
    action, change = armed({"changed": True}, CONFIRMED, timeout=60)
    assert change.run(INTERFACE, {"name": "wg0"}) == {"changed": True}
    assert action._connection.resets == 0
    assert change.finish() == {"outcome": "confirmed", "problems": []}
    assert action._connection.resets == 1
    (_module, arming, _check), (_module, options, _check), (_module, ending, _check) = action.asked
    assert (arming["timeout"], arming["interfaces"], options["require_rollback"]) == (60, ["wg0"], True)
    assert arming["change_id"] == ending["change_id"]


def test_others_are_not_asked_for_a_rollback():
    action, change = armed({"changed": True}, timeout=60)
    change.run(SYSCTL, {"name": "net.ipv4.ip_forward"})
    assert action.asked[-1][1] == {"name": "net.ipv4.ip_forward"}


def test_failed_change_is_rolled_back_at_once():
    action, change = armed({"failed": True, "msg": "no"}, ROLLED_BACK, timeout=60)
    assert change.run(INTERFACE, {})["failed"]
    ending = change.finish()
    assert action.states() == ["armed", "rolled_back"]
    assert (ending["failed"], ending["outcome"]) == (True, "rolled_back")
    assert "has rolled back" in ending["msg"]


@pytest.mark.parametrize("lost", [GONE, SILENT])
def test_lost_result_is_asked_for_again(lost):
    action, change = armed(lost, {"changed": False}, CONFIRMED)
    assert change.run(INTERFACE, {}) == {"changed": True}
    assert action._connection.resets == 1
    assert change.finish()["outcome"] == "confirmed"


def test_change_whose_result_stays_lost_is_rolled_back():
    action, change = armed(GONE, timeout=0.3)
    result = change.run(INTERFACE, {})
    assert result["failed"]
    assert "within 0.3 s" in result["msg"]
    action.answers = [GONE, ROLLED_BACK]
    assert change.finish()["outcome"] == "rolled_back"
    assert action.states() == ["armed", "rolled_back", "rolled_back"]


def test_nothing_is_run_after_the_timeout():
    action, change = armed({"changed": True}, timeout=0.1)
    time.sleep(0.2)
    assert change.run(SYSCTL, {})["failed"]
    assert len(action.asked) == 1


@pytest.mark.parametrize("answer", [GONE, SILENT, {"failed": True, "msg": "MODULE FAILURE"}])
def test_host_that_stays_away_is_given_up(answer):
    _action, change = armed({"changed": True}, answer, timeout=0.2)
    change.run(INTERFACE, {})
    began = time.monotonic()
    ending = change.finish()
    assert time.monotonic() - began < 3
    assert (ending["failed"], ending["outcome"]) == (True, "unknown")
    assert "cannot be reached" in ending["msg"]


def test_late_confirmation_fails_with_the_host_own_words():
    late = {**ROLLED_BACK, "failed": True, "msg": "not confirmed in time", "problems": ["a peer is gone"]}
    _action, change = armed({"changed": True}, GONE, late)
    change.run(INTERFACE, {})
    assert change.finish() == {
        "outcome": "rolled_back", "problems": ["a peer is gone"], "failed": True, "msg": "not confirmed in time",
    }  # fmt: skip


def test_connection_without_reset_is_closed():
    action, change = armed({"changed": True}, CONFIRMED, connection=WithoutReset)
    change.run(INTERFACE, {})
    change.finish()
    assert action._connection.closes == 1


def test_unarmed_change_is_run_as_it_is():
    action = Action({"changed": True})
    change = ConfirmedChange(action, {})
    assert change.run(INTERFACE, {"name": "wg0"}) == {"changed": True}
    assert change.finish() == {"outcome": "not_armed", "problems": []}
    assert action.asked == [(INTERFACE, {"name": "wg0"}, False)]
    action.answers = [GONE]
    with pytest.raises(AnsibleConnectionFailure):
        change.run(INTERFACE, {})


def test_failed_arming_arms_nothing(monkeypatch):
    action = Action()
    monkeypatch.setattr(action, "ask", lambda *_what: {"failed": True, "msg": "no"})
    change = ConfirmedChange(action, {})
    assert change.arm(60)["failed"]
    assert not change.is_armed


def test_prediction_is_made_in_check_mode_only():
    action = Action({"changed": True})
    assert ConfirmedChange(action, {}).predict(INTERFACE, {})["changed"]
    assert action.asked == [(INTERFACE, {}, True)]
    assert action._task.check_mode is False


@pytest.fixture
def task_timeout():
    """``task_timeout(seconds)`` is what Ansible does for `timeout`."""

    def start(seconds):
        def expire(_number, _frame):
            raise TaskTimeout

        signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


class TaskTimeout(BaseException):
    pass


def test_timeout_of_the_task_comes_first(task_timeout):
    _action, change = armed(SILENT)
    task_timeout(0.2)
    with pytest.raises(TaskTimeout):
        change.run(INTERFACE, {})


def test_timeout_of_the_task_goes_on(task_timeout):
    _action, change = armed(SILENT, {"changed": False}, CONFIRMED)
    task_timeout(3)
    change.run(INTERFACE, {})
    assert 2 < signal.getitimer(signal.ITIMER_REAL)[0] < 2.6
    with pytest.raises(TaskTimeout):
        time.sleep(10)
