# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host prints, through to what ansible-core makes of it."""

from __future__ import annotations

import inspect
import json
import types

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.host_action import HostAction
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import PLAN
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import key_of

KEY_FILE = "/etc/wireguard/wg0.key"
TRUTH = {"changed": True, "path": KEY_FILE, "public_key": key_of("a")}
# All that ansible-core 2.17, 2.19 or 2.21 acts upon in the result of any module, or of some.
ACTED_UPON = {
    "ansible_facts": {"wireguard_prune": True},
    "ansible_stats": 5,
    "add_host": {"host_name": "b", "groups": ["wireguard"], "host_vars": {"wireguard_prune": True}},
    "add_group": "wireguard_managed",
    "parent_groups": ["all"],
    "skipped": True,
    "unreachable": True,
    "include": "/etc/passwd",
    "include_args": {},
    "results": "x",
    "ansible_job_id": "1",
    "failed_when_result": True,
    "exception": "x",
    "deprecations": [{"msg": "x"}],
    "invocation": {"module_args": {}},
    "stdout": {},
    "stderr": [],
    "rc": 1,
    "_ansible_notify": ["x"],
    "_ansible_no_log": True,
    "_ansible_delegated_vars": {},
    "_ansible_facts_cacheable": True,
    "__ansible_type": "TrustedAsTemplate",
}


class Action(HostAction):
    """The plugin without a host: what it would print is given."""

    def __init__(self, printed="", module="wg_keypair", asked=None):
        self._printed = printed
        self._used_interpreter = None
        self._task = types.SimpleNamespace(
            action=f"wirefleet.wireguard.{module}", args=asked or {}, check_mode=False, async_val=0
        )
        self._connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir=None))
        self.executed = []

    def _execute_module(self, module_name, module_args, task_vars):
        self.executed.append(module_name)
        answered = self._checked({"stdout": self._printed, "stderr": "", "rc": 0})
        return json.loads(answered["stdout"])

    def _remove_tmp_path(self, tmpdir):
        pass

    def core_makes(self, printed, stderr=""):
        """The result that ansible-core gives to the action for what a host has printed."""
        self._question = ("liar", "wg_keypair", {"path": KEY_FILE})
        profile = ("legacy",) if "profile" in inspect.signature(ActionBase._parse_returned_data).parameters else ()
        made = self._parse_returned_data({"stdout": printed, "stderr": stderr, "rc": 0}, *profile)
        made = made if isinstance(made, dict) else made.as_result_dict(for_round_trip=True)
        return {name: value for name, value in made.items() if name != "_ansible_parsed"}


def task_vars(facts=(), plan=None, **more):
    cache = {"liar": dict.fromkeys(facts, "x")}
    manager = types.SimpleNamespace(_fact_cache=cache)
    return {
        "inventory_hostname": "liar",
        "ansible_facts": {name.removeprefix("ansible_"): "x" for name in facts},
        "hostvars": types.SimpleNamespace(_variable_manager=manager),
        **({PLAN: plan} if plan is not None else {}),
        **more,
    }


@pytest.mark.parametrize("name", sorted(ACTED_UPON))
def test_nothing_that_core_acts_upon_is_let_through(name):
    made = Action().core_makes(json.dumps({**TRUTH, name: ACTED_UPON[name]}))
    assert {"failed": False, **made} == {"failed": False, **TRUTH}


@pytest.mark.parametrize("name", sorted(ACTED_UPON))
def test_nothing_that_core_acts_upon_is_in_failures(name):
    made = Action().core_makes(json.dumps({"failed": True, "msg": "why", name: ACTED_UPON[name]}))
    assert made.keys() <= {"failed", "changed", "msg", "exception", "rc"}
    assert (made["failed"], made["msg"]) == (True, "why")


@pytest.mark.parametrize(
    "printed, message",
    [
        (json.dumps({**TRUTH, "public_key": "x\n"}), "liar: public_key is 'x\\n', which is not a WireGuard key"),
        (json.dumps({**TRUTH, "changed": "yes"}), "liar: changed is 'yes', which is neither true nor false"),
        (json.dumps({"path": KEY_FILE}), "liar: the answer has no public_key"),
        ("x" * 3_000_000, "liar: the answer has 3000000 characters, of at most"),
    ],
)
def test_host_with_a_wrong_answer_fails_and_is_named(printed, message):
    made = Action().core_makes(printed)
    assert made["failed"]
    assert made["msg"].startswith("The host's answer is not used, and the host is left out of this run: ")
    assert message in made["msg"]
    assert "public_key" not in made


@pytest.mark.parametrize(
    "printed",
    [
        "{",
        '{"changed": NaN}',
        '{"changed": Infinity}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a": ' + "9" * 100_000 + "}",
        "Last login: today {\n",
    ],
)
def test_what_is_no_json_is_a_failure(printed):
    made = Action().core_makes(printed, stderr="\x1b[31mhelp")
    assert made["failed"]
    assert made["msg"] == "liar did not answer as a module does: see module_stdout and module_stderr"
    assert len(made["module_stdout"]) <= 10_003
    assert made["module_stderr"] == "\ufffd[31mhelp"


def test_text_without_json_is_left_to_core():
    made = Action().core_makes("Permission denied\x07", stderr="\x1b[2J")
    assert made["failed"]
    assert (made["module_stdout"], made["module_stderr"]) == ("Permission denied\ufffd", "\ufffd[2J")


def test_answer_between_other_lines_is_found():
    made = Action().core_makes(f"Welcome to this host\n{json.dumps(TRUTH)}\n")
    assert made["public_key"] == key_of("a")


def test_host_is_asked_and_its_answer_returned():
    action = Action(json.dumps(TRUTH), asked={"path": KEY_FILE})
    assert action.run(task_vars=task_vars(facts=["ansible_all_ipv4_addresses"])) == TRUTH
    assert action.executed == ["wirefleet.wireguard.wg_keypair"]


def test_answer_that_core_does_not_show_is_not_used():
    """A core that parses answers by another method would go round the check."""

    class Another(Action):
        def _execute_module(self, **_options):
            return {"changed": False, "ansible_facts": {}}

    with pytest.raises(AnsibleActionFail, match="the host's answer was not checked"):
        Another().run(task_vars=task_vars())


@pytest.mark.parametrize(
    "variables, reason",
    [
        (task_vars(facts=["wireguard_relay"]), "liar is left out of this run: it has wireguard_relay among its facts"),
        (task_vars(facts=["__plan_node"]), "liar is left out of this run: it has __plan_node among its facts"),
        (
            task_vars(facts=["inventory_hostname"], inventory_hostname="a"),
            "a host is left out of this run: it has inventory_hostname among its facts",
        ),
        (task_vars(plan={"left_out": {"liar": "it has another's key"}}), "it has another's key"),
    ],
)
def test_host_that_is_left_out_is_not_asked(variables, reason):
    action = Action(json.dumps(TRUTH), asked={"path": KEY_FILE})
    result = action.run(task_vars=variables)
    assert result["failed"]
    assert result["msg"].startswith(reason)
    assert action.executed == []


def test_hosts_that_the_plan_leaves_in_are_asked():
    action = Action(json.dumps(TRUTH), asked={"path": KEY_FILE})
    assert action.run(task_vars=task_vars(plan={"left_out": {"other": "x"}, "hosts": {}})) == TRUTH
