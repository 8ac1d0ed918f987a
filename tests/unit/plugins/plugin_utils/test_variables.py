# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.faults import PlanRefusedError
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import (
    KEYPAIRS,
    PROBE,
    claims_of_facts,
    inventory_of,
    keys_seen,
)


class TemplateError(Exception):
    """What a template that fails raises."""


class Vaulted:
    """A value that is no Python string, as Ansible's vaulted text."""

    def __str__(self):
        return "secret.example.net"


class Marked(str):
    """A string whose str() is no plain string, as in ansible-core 2.17."""

    def _marked(self):
        return self

    __str__ = _marked


def is_plain(text):
    return text.__class__ is str


class Source:
    """Ansible's variables as far as the planner uses them; counts what was templated."""

    def __init__(self, raw, facts=None):
        self._raw = raw
        self._facts = facts or {}
        self.templated = []

    def of_host(self, host):
        return self._raw[host]

    def with_own_facts(self, host, of_host):
        return {**self._facts.get(host, {}), **of_host}

    def template(self, value, variables):
        self.templated.append(value)
        for name in ("ansible_host", "ansible_address"):
            if name in variables:
                value = value.replace(f"{{{{ {name} }}}}", variables[name])
        if "{{" in value:
            raise TemplateError("a variable is undefined\nin a file")
        return value


SHARED = {"office": {"cidr": ["10.1.0.0/24"], "port": 51821}}
RAW = {
    "a": {
        "ansible_host": "198.51.100.7",
        "wireguard_endpoint": "{{ ansible_host }}:51820",
        "wireguard_networks": SHARED,
        "ansible_password": Vaulted(),
        "other": 1,
    },
    "b": {
        "wireguard_endpoint": Vaulted(),
        "wireguard_networks": SHARED,
        "wireguard_relay": True,
        "wireguard_via": None,
    },
}
GROUPS = {"all": ["a", "b"], "office": ["b"]}


def test_only_the_collections_variables_are_read_and_only_jinja_is_templated():
    source = Source(RAW)
    read = inventory_of(source, GROUPS, TemplateError)
    assert read.plain.variables == {
        "a": {"wireguard_endpoint": "198.51.100.7:51820", "wireguard_networks": SHARED},
        "b": {
            "wireguard_endpoint": "secret.example.net",
            "wireguard_networks": SHARED,
            "wireguard_relay": True,
            "wireguard_via": None,
        },
    }
    assert read.plain.groups == GROUPS
    assert source.templated == ["{{ ansible_host }}:51820"]


def test_a_template_that_fails_is_refused_with_host_and_variable():
    variables = {"wireguard_endpoint": "{{ missing }}", "wireguard_cidr": "10.44.0.0/24"}
    groups = {"all": ["a", "no node"], "wireguard": ["a"]}
    inventory = inventory_of(Source({"a": variables, "no node": variables}), groups, TemplateError).plain
    with pytest.raises(PlanRefusedError) as refused:
        make_plan(inventory, {}, {})
    assert [(fault.owner, fault.variable, fault.text) for fault in refused.value.faults] == [
        (
            "a",
            "wireguard_endpoint",
            "is a template that fails (a variable is undefined), which is no text; write HOST, HOST:PORT or [IPV6]:PORT",
        )
    ]


def test_templates_of_a_host_may_use_its_own_facts():
    source = Source({"a": {"wireguard_endpoint": "{{ ansible_address }}"}}, {"a": {"ansible_address": "198.51.100.7"}})
    read = inventory_of(source, {"all": ["a"]}, TemplateError).plain.variables
    assert read == {"a": {"wireguard_endpoint": "198.51.100.7"}}


@pytest.mark.parametrize("variable", ["wireguard_networks", "wireguard_cidr", "wireguard_names_suffix"])
def test_what_holds_for_a_network_is_templated_without_facts(variable):
    source = Source({"a": {variable: "{{ ansible_address }}"}}, {"a": {"ansible_address": "198.51.100.7"}})
    read = inventory_of(source, {"all": ["a"]}, TemplateError).plain.variables
    reason = "a variable is undefined; facts of hosts do not count here"
    assert repr(read["a"][variable]) == f"a template that fails ({reason})"


def test_facts_with_reserved_names_leave_a_host_out():
    names = ["ansible_all_ipv4_addresses", "wireguard_b", "wireguard_a", "wg0", "__other", "module_setup", "plan"]
    assert claims_of_facts("a", names) == (
        "a is left out of this run: it has wireguard_a, wireguard_b among its facts, which only the inventory may say. No "
        "module of Ansible gives that; if set_fact did, remove its 'cacheable', and remove the host from the fact cache"
    )
    assert claims_of_facts("a", ["ansible_wireguard_1", "xwireguard_1"]) is None
    assert "it has wireguard_0, wireguard_1, wireguard_2, wireguard_3, wireguard_4, ... among" in claims_of_facts(
        "a", [f"wireguard_{number}" for number in range(9)]
    )
    assert claims_of_facts("a", ["wireguard_\x1b[2J" + "x" * 1000]).isprintable()


def test_what_roles_and_playbooks_share_is_reserved():
    """What one task leaves for another, or a role takes, no fact may set."""
    folder = pathlib.Path(__file__).parents[4]
    texts = [path.read_text() for kind in ("roles", "playbooks") for path in folder.glob(f"{kind}/**/*.yml")]
    shared = {name for text in texts for name in re.findall(r"\b__[a-z][a-z_]*", text)}
    defaults = [yaml.safe_load(path.read_text()) for path in folder.glob("roles/*/defaults/main.yml")]
    assert len(shared) > 20
    for name in {*shared, *(name for of_role in defaults for name in of_role)}:
        assert claims_of_facts("a", [name]), name


def test_what_hosts_share_is_turned_once():
    variables = inventory_of(Source(RAW), GROUPS, TemplateError).plain.variables
    assert variables["a"]["wireguard_networks"] is variables["b"]["wireguard_networks"]


def test_hosts_that_a_play_has_added_have_plain_names():
    """Core 2.17 marks their names, and their groups'."""
    added = Marked("added")
    plain = inventory_of(Source({"added": {}}), {"all": [added], Marked("g"): [added]}, TemplateError).plain
    assert all(map(is_plain, [*plain.variables, *plain.groups, *plain.groups["all"], *plain.groups["g"]]))


def test_keys_come_from_the_probe_and_from_new_key_pairs():
    assert keys_seen(
        {
            "old": {PROBE: {"public_keys": {"/k": "OLD"}}, KEYPAIRS: {"results": [{"skipped": True}]}},
            "liar": {PROBE: {"failed": True, "msg": "..."}, KEYPAIRS: {"results": [{"failed": True, "msg": "..."}]}},
            "new": {PROBE: {"public_keys": {"/k": None}}, KEYPAIRS: {"results": [{"path": "/k", "public_key": "NEW"}]}},
            "check": {
                PROBE: {"public_keys": {"/k": None}},
                KEYPAIRS: {"results": [{"path": "/k", "public_key": None}]},
            },
            "unreachable": {PROBE: {"unreachable": True}},
            "not in this run": {},
        }
    ) == {"old": {"/k": "OLD"}, "new": {"/k": "NEW"}}


def test_in_check_mode_a_key_that_would_be_made_stands_in_the_plan_as_one_to_come():
    def seen(**result):
        return keys_seen({"a": {KEYPAIRS: {"results": [{"path": "/k", **result}]}}})

    assert seen(changed=True, public_key=None) == {"a": {"/k": "(a has no key yet)"}}
    assert seen(changed=True, public_key="NEW") == {"a": {"/k": "NEW"}}
    assert seen(changed=False, public_key="OLD") == {"a": {"/k": "OLD"}}


def test_marked_texts_become_plain_ones():
    read = inventory_of(
        Source({"a": {"wireguard_subnets": [Marked("10.1.0.0/24")]}}), {"all": ["a"]}, TemplateError
    ).plain.variables
    assert is_plain(read["a"]["wireguard_subnets"][0])
    keys = keys_seen({"a": {PROBE: {"public_keys": {Marked("/k"): Marked("KEY")}}}})["a"]
    assert all(is_plain(text) for pair in keys.items() for text in pair)
