# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left to do on a host that told what it has."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.outstanding import outstanding

KEY = "/etc/wireguard/wg0.key"
WISH = {"name": "wg0", "listen_port": None, "forward": [], "masquerade": [], "kill_switch": None, "ping": False}
INTERFACE = {"interface": "wg0", "private_key_file": KEY, "digest": "as planned", "peers": []}
NAMES = {"interface": "wg0", "network": "wg0", "digest": None}
NOTHING = {"tools": [], "private_keys": [], "forwarding": False, "firewall": [], "interfaces": [], "names": []}


def part(**changes):
    """A node that forwards nothing and is reached by nobody first."""
    return {"interfaces": [INTERFACE], "sysctl": [], "firewall": [WISH], "names": [NAMES], **changes}


def probe(**changes):
    """A host that is as planned."""
    return {
        "public_keys": {KEY: "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="},
        "as_wanted": {"wg0": "as planned"},
        "missing_tools": [],
        "tools": {"sysctl": True, "nft": "1.1.3"},
        "sysctl": {"persisted": {}},
        "firewalls": [],
        "names": {},
        **changes,
    }


def test_nothing_on_a_host_that_is_as_planned():
    assert outstanding(part(), probe()) == NOTHING
    assert outstanding(part(names=[{**NAMES, "digest": "n"}]), probe(names={"wg0": "n"})) == NOTHING


@pytest.mark.parametrize("look", [{}, {"skipped": True, "changed": False}])
def test_all_of_it_without_a_look(look):
    assert outstanding(part(), look) == {
        **NOTHING, "private_keys": [KEY], "forwarding": True,
        "firewall": [WISH], "interfaces": [INTERFACE], "names": [NAMES],
    }  # fmt: skip
    assert outstanding(part(interfaces=[], firewall=[], names=[]), look) == NOTHING


@pytest.mark.parametrize(
    "planned, seen, what",
    [
        ({}, {"missing_tools": ["wg"]}, {"tools": ["wg"]}),
        ({}, {"public_keys": {KEY: None}}, {"private_keys": [KEY]}),
        ({}, {"as_wanted": {}}, {"interfaces": [INTERFACE]}),
        ({}, {"as_wanted": {"wg0": "as planned before"}}, {"interfaces": [INTERFACE]}),
        ({}, {"as_wanted": {"wg1": "as planned"}}, {"interfaces": [INTERFACE]}),
        ({"names": [{**NAMES, "digest": "n"}]}, {}, {"names": [{**NAMES, "digest": "n"}]}),
        ({}, {"names": {"wg0": "n"}}, {"names": [NAMES]}),
        ({"sysctl": [{"interface": "wg0", "name": "net.ipv4.ip_forward", "value": "1"}]}, {}, {"forwarding": True}),
        ({}, {"sysctl": {"persisted": {"wg0": {}}}}, {"forwarding": True}),
        ({}, {"sysctl": {"persisted": {"wg7": {}}}}, {}),
        ({}, {"firewalls": ["wg0"]}, {"firewall": [WISH]}),
        ({}, {"firewalls": ["wg7"]}, {}),
        ({"firewall": [{**WISH, "listen_port": 51820}]}, {}, {"firewall": [{**WISH, "listen_port": 51820}]}),
    ],
)
def test_what_differs_and_nothing_else(planned, seen, what):
    assert outstanding(part(**planned), probe(**seen)) == {**NOTHING, **what}


def test_commands_that_only_this_node_needs():
    tools = {"tools": {"sysctl": False, "nft": None}}
    assert outstanding(part(), probe(**tools)) == NOTHING
    relay = part(sysctl=[{"interface": "wg0", "name": "net.ipv4.ip_forward", "value": "1"}])
    assert outstanding(relay, probe(**tools))["tools"] == ["sysctl"]
    exit_node = part(firewall=[{**WISH, "masquerade": [{"source": "10.44.0.0/24"}]}])
    assert outstanding(exit_node, probe(**tools))["tools"] == ["nft"]


@pytest.mark.parametrize("firewall, asked", [("auto", False), ("none", False), ("ufw", True), ("nftables", True)])
def test_a_firewall_by_name_is_asked_always(firewall, asked):
    assert outstanding(part(), probe(), firewall)["firewall"] == ([{**WISH, "ping": True}] if asked else [])
    assert outstanding(part(firewall=[{**WISH, "ping": True}]), probe())["firewall"] == []
