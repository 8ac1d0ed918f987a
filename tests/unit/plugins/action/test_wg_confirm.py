# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One task of what several modules do."""

from __future__ import annotations

from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wirefleet.wireguard.plugins.action import wg_confirm
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.confirmed_change import CONFIRM

FIRST, SECOND = "wirefleet.wireguard.wg_firewall", "wirefleet.wireguard.wg_interface"
CHANGED = {"changed": True, "diff": {"before": "a", "after": "b"}, "ansible_facts": {"wireguard_networks": {}}}
SAME = {"changed": False, "warnings": ["beware"]}


class Host:
    """Answers for modules, and what they were asked; ``outcome`` is that of every ending."""

    def __init__(self, results, outcome="confirmed"):
        self.results, self.outcome, self.asked = results, outcome, []

    def answer(self, module, arguments, task_vars):
        if module == CONFIRM:
            self.asked.append(arguments["state"])
            outcome = "armed" if arguments["state"] == "armed" else self.outcome
            failed = {"failed": True, "msg": "rolled back"} if outcome != arguments["state"] else {}
            return {"changed": False, "outcome": outcome, "problems": [], **failed}
        self.asked.append((module, self.task.check_mode))
        return dict(self.results[module])


class Connection:
    _shell = mock.Mock(tmpdir="/tmp/module")

    def reset(self):
        pass


@pytest.fixture
def run(monkeypatch):
    plugins = {"ansible.builtin.copy": ActionBase}
    monkeypatch.setattr(wg_confirm.action_loader, "get", lambda name, class_only: plugins.get(name))

    def run(host, check=False, diff=True, **arguments):
        host.task = mock.Mock(args=arguments, check_mode=check, diff=diff, async_val=0, action=CONFIRM)
        action = wg_confirm.ActionModule(host.task, Connection(), mock.Mock(), None, None, None)
        monkeypatch.setattr(action, "ask", host.answer)
        no_facts = mock.Mock(_variable_manager=mock.Mock(_fact_cache={}))
        return action.run(task_vars={"inventory_hostname": "leaf1", "hostvars": no_facts})

    return run


CHANGES = [{FIRST: {"name": "wg0"}}, {SECOND: {"name": "wg0"}}]


def test_changes_are_predicted_armed_made_and_confirmed(run):
    host = Host({FIRST: CHANGED, SECOND: SAME})
    result = run(host, changes=CHANGES)
    assert host.asked == [
        (FIRST, True), (SECOND, True), "armed", (FIRST, False), (SECOND, False), "confirmed",
    ]  # fmt: skip
    assert result == {
        "changed": True,
        "outcome": "confirmed",
        "problems": [],
        "results": [{"module": FIRST, "changed": True}, {"module": SECOND, "changed": False}],
        "warnings": ["beware"],
        "diff": [{"before": "a", "after": "b"}],
    }


def test_nothing_is_armed_where_nothing_changes(run):
    host = Host({FIRST: SAME, SECOND: SAME})
    result = run(host, changes=CHANGES)
    assert host.asked == [(FIRST, True), (SECOND, True)]
    assert (result["changed"], result["outcome"]) == (False, "not_armed")


def test_predicted_failure_changes_nothing(run):
    host = Host({FIRST: CHANGED, SECOND: {"failed": True, "msg": "no key"}})
    result = run(host, changes=CHANGES)
    assert host.asked == [(FIRST, True), (SECOND, True)]
    assert (result["failed"], result["msg"], result["changed"]) == (True, f"{SECOND}: no key", False)


def test_what_follows_a_failure_is_not_run(run):
    host = Host({FIRST: CHANGED, SECOND: CHANGED}, outcome="rolled_back")
    real = host.answer

    def fails(module, arguments, task_vars):
        result = real(module, arguments, task_vars)
        return {"failed": True, "msg": "no"} if (module, host.task.check_mode) == (FIRST, False) else result

    host.answer = fails
    result = run(host, changes=CHANGES)
    assert host.asked[2:] == ["armed", (FIRST, False), "rolled_back"]
    assert result["failed"]
    assert result["msg"].startswith(f"{FIRST}: no; the host has rolled back")


def test_unarmed_changes_are_only_run(run):
    host = Host({FIRST: CHANGED, SECOND: SAME})
    result = run(host, changes=CHANGES, armed=False)
    assert host.asked == [(FIRST, False), (SECOND, False)]
    assert result["outcome"] == "not_armed"


def test_check_mode_arms_nothing(run):
    host = Host({FIRST: CHANGED, SECOND: SAME})
    result = run(host, check=True, changes=CHANGES)
    assert host.asked == [(FIRST, True), (SECOND, True)]
    assert "outcome" not in result
    assert result["changed"]


def test_change_that_cannot_be_confirmed_fails(run):
    result = run(Host({FIRST: CHANGED, SECOND: SAME}, outcome="rolled_back"), changes=CHANGES)
    assert (result["failed"], result["msg"], result["outcome"]) == (True, "rolled back", "rolled_back")


def test_state_is_that_of_the_module(run):
    host = Host({})
    assert run(host, state="armed", interfaces=["wg0"])["outcome"] == "armed"
    assert host.asked == ["armed"]


@pytest.mark.parametrize(
    "change, said", [({FIRST: {}, SECOND: {}}, "has 2 keys"), ({"ansible.builtin.copy": {}}, "is an action plugin")]
)
def test_wrong_change_is_refused(run, change, said):
    with pytest.raises(AnsibleActionFail, match=said):
        run(Host({}), changes=[change])
