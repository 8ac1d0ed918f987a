# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.faults import PlanRefusedError
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import (
    KEYPAIRS,
    PROBE,
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


class HostVars:
    """Ansible's hostvars as far as the planner uses them; counts what was templated."""

    def __init__(self, raw):
        self._raw = raw
        self.templated = []

    def raw_get(self, host):
        return self._raw[host]

    def __getitem__(self, host):
        outer = self

        class Templating:
            def __getitem__(self, name):
                outer.templated.append((host, name))
                if "missing" in outer._raw[host][name]:
                    raise TemplateError("'missing' is undefined\nin a file")
                return outer._raw[host][name].replace("{{ ansible_host }}", "198.51.100.7")

        return Templating()


SHARED = {"office": {"cidr": ["10.1.0.0/24"], "port": 51821}}
RAW = {
    "a": {
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
    hostvars = HostVars(RAW)
    read = inventory_of(hostvars, GROUPS, TemplateError)
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
    assert hostvars.templated == [("a", "wireguard_endpoint")]


def test_a_template_that_fails_is_refused_with_host_and_variable():
    variables = {"wireguard_endpoint": "{{ missing }}", "wireguard_cidr": "10.44.0.0/24"}
    groups = {"all": ["a", "no node"], "wireguard": ["a"]}
    inventory = inventory_of(HostVars({"a": variables, "no node": variables}), groups, TemplateError).plain
    with pytest.raises(PlanRefusedError) as refused:
        make_plan(inventory, {}, {})
    assert [(fault.owner, fault.variable, fault.text) for fault in refused.value.faults] == [
        (
            "a",
            "wireguard_endpoint",
            "is a template that fails ('missing' is undefined), which is no text; write HOST, HOST:PORT or [IPV6]:PORT",
        )
    ]


def test_what_hosts_share_is_turned_once():
    variables = inventory_of(HostVars(RAW), GROUPS, TemplateError).plain.variables
    assert variables["a"]["wireguard_networks"] is variables["b"]["wireguard_networks"]


def test_hosts_that_a_play_has_added_have_plain_names():
    """Core 2.17 marks their names, and their groups'."""
    added = Marked("added")
    plain = inventory_of(HostVars({"added": {}}), {"all": [added], Marked("g"): [added]}, TemplateError).plain
    assert all(map(is_plain, [*plain.variables, *plain.groups, *plain.groups["all"], *plain.groups["g"]]))


def test_keys_come_from_the_probe_and_from_new_key_pairs():
    assert keys_seen(
        {
            "old": {PROBE: {"public_keys": {"/k": "OLD"}}, KEYPAIRS: {"results": [{"skipped": True}]}},
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
        HostVars({"a": {"wireguard_subnets": [Marked("10.1.0.0/24")]}}), {"all": ["a"]}, TemplateError
    ).plain.variables
    assert is_plain(read["a"]["wireguard_subnets"][0])
    keys = keys_seen({"a": {PROBE: {"public_keys": {Marked("/k"): Marked("KEY")}}}})["a"]
    assert all(is_plain(text) for pair in keys.items() for text in pair)
