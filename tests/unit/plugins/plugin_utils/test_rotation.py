# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose keys are rotated, what their peers are told, and who is refused."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import host_slice
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rotation import Seen, Wish, batches, plan_rotation
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import (
    FULL,
    key_of,
    plan_of,
)

CIDR = "10.0.44.0/24"
KEY_FILE = "/etc/wireguard/wg0.key"
NEXT_FILE = "/etc/wireguard/wg0.key.next"


def rotation_of(hosts, wish, next_keys=(), reached=None, ages=None, claims=None):
    """The rotation on a network whose nodes have known keys, which are 100 days old and not pinned."""
    plan = plan_of(hosts, keys={host: {KEY_FILE: key_of(host)} for host in hosts}, cidr=CIDR)
    parts = {host: host_slice(found)["interfaces"] for host, found in plan.hosts().items()}
    for (interface,) in parts.values():
        interface["pinned"] = False
    seen = Seen(
        frozenset(hosts if reached is None else reached),
        ages or {host: {KEY_FILE: 100.0} for host in hosts},
        {host: {NEXT_FILE: key_of(f"{host}'s next")} for host in next_keys} | (claims or {}),
    )
    return plan_rotation(wish, seen, parts.get, plan.externals())


def test_few_peers_first_and_nothing_to_do_before_the_next_key_is_known():
    found = rotation_of(FULL, Wish(FULL))
    assert found.nodes == {"wg0": ["home-server", "laptop", "phone", "public-server1", "public-server2"]}
    assert (found.hosts, found.refused, found.by_hand, found.lost) == ({}, {}, {}, {})


def test_the_peers_are_told_and_nobody_else():
    found = rotation_of(FULL, Wish(["laptop"]), next_keys=["laptop"])
    told = {"name": "laptop", "public_key": key_of("laptop"), "next_public_key": key_of("laptop's next")}
    assert found.hosts == {
        "laptop": {
            "interface": "wg0",
            "peers": [],
            "private_key_file": KEY_FILE,
            "next_private_key_file": NEXT_FILE,
        },
        "public-server1": {"interface": "wg0", "peers": [told]},
        "public-server2": {"interface": "wg0", "peers": [told]},
    }


@pytest.mark.parametrize("owner", ["public-server1", "home-server", "phone"])
def test_key_of_another_node_is_no_next_key(owner):
    """Announced, it would take the other's place at the peers, whether or not the two know each other."""
    found = rotation_of(FULL, Wish(["laptop"]), claims={"laptop": {NEXT_FILE: key_of(owner)}})
    assert (found.nodes, found.hosts) == ({}, {})
    assert found.refused == {
        "laptop": f"its next key, {key_of(owner)} in {NEXT_FILE}, is that of {owner}; delete the file, and run again"
    }


def test_two_hosts_with_one_next_key_are_refused():
    claims = {host: {NEXT_FILE: key_of("next")} for host in ("laptop", "phone")}
    found = rotation_of(FULL, Wish(["laptop", "phone", "home-server"]), ["home-server"], claims=claims)
    assert found.refused.keys() == {"laptop", "phone"}
    assert found.nodes == {"wg0": ["home-server"]}


def test_two_that_are_peers_rotate_at_once():
    found = rotation_of(FULL, Wish(["laptop", "public-server2"]), next_keys=["laptop", "public-server2"])
    assert [peer["name"] for peer in found.hosts["laptop"]["peers"]] == ["public-server2"]
    assert [peer["name"] for peer in found.hosts["public-server2"]["peers"]] == ["laptop"]
    assert found.hosts["phone"]["peers"] == [
        {
            "name": "public-server2",
            "public_key": key_of("public-server2"),
            "next_public_key": key_of("public-server2's next"),
        }
    ]


def test_a_node_whose_peer_cannot_follow_is_refused():
    found = rotation_of(FULL, Wish(["laptop", "phone"]), next_keys=["laptop"], reached=FULL.keys() - {"public-server2"})
    assert found.nodes == found.hosts == {}
    assert found.refused.keys() == {"laptop", "phone"}
    assert found.refused["laptop"].startswith("public-server2 could not follow to the new key")
    assert "wireguard_rotate_force: true" in found.refused["laptop"]


def test_by_force_the_others_follow():
    wish = Wish(["laptop"], force=True)
    found = rotation_of(FULL, wish, next_keys=["laptop"], reached=FULL.keys() - {"public-server2"})
    assert found.hosts.keys() == {"laptop", "public-server1"}
    assert found.lost == {"public-server2": ["laptop"]}


def test_an_external_follows_by_hand_and_is_not_rotated():
    hosts = {**FULL, "phone": {**FULL["phone"], "external": True}}
    found = rotation_of(hosts, Wish(hosts), next_keys=["public-server1"], reached=hosts.keys() - {"phone"})
    assert found.by_hand == {"phone": ["public-server1", "public-server2"]}
    assert found.refused == {}
    assert "phone" not in found.nodes["wg0"]
    assert "phone" not in found.hosts


def test_a_node_whose_peer_only_the_registry_knows_is_refused():
    registry = plan_of(FULL, cidr=CIDR).registry
    hosts = {name: settings for name, settings in FULL.items() if name != "public-server2"}
    plan = plan_of(hosts, registry=registry, partial=True, cidr=CIDR)
    parts = {host: host_slice(found)["interfaces"] for host, found in plan.hosts().items()}
    for part in parts.values():
        part[0]["pinned"] = False
    seen = Seen(frozenset(hosts), {host: {KEY_FILE: 1.0} for host in hosts}, {})
    assert plan_rotation(Wish(["laptop"]), seen, parts.get, ()).refused.keys() == {"laptop"}


def test_a_key_that_the_inventory_states_is_refused():
    plan = plan_of(FULL, cidr=CIDR)
    parts = {host: host_slice(found)["interfaces"] for host, found in plan.hosts().items()}
    seen = Seen(frozenset(FULL), {"laptop": {KEY_FILE: 1.0}}, {})
    refused = plan_rotation(Wish(["laptop"]), seen, parts.get, ()).refused
    assert refused["laptop"].startswith("wireguard_public_key says which key it has")


def test_only_old_keys_and_only_hosts_that_have_one():
    ages = {"laptop": {KEY_FILE: 90.01}, "phone": {KEY_FILE: 89.99}}
    assert rotation_of(FULL, Wish(FULL, older_than=90.0), ages=ages).nodes == {"wg0": ["laptop"]}
    assert rotation_of(FULL, Wish(FULL), ages=ages).nodes == {"wg0": ["laptop", "phone"]}


def test_only_one_network():
    assert rotation_of(FULL, Wish(FULL, network="office")).nodes == {}
    assert rotation_of(FULL, Wish(["laptop"], network="wg0")).nodes == {"wg0": ["laptop"]}


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        (2, ["ab", "cd", "e"]),
        ("2", ["ab", "cd", "e"]),
        ("40%", ["ab", "cd", "e"]),
        ("1%", ["a", "b", "c", "d", "e"]),
        ([1, "100%"], ["a", "bcde"]),
        ([1, 2], ["a", "bc", "de"]),
        (10, ["abcde"]),
        ([], ["abcde"]),
    ],
)
def test_batches(serial, expected):
    assert ["".join(batch) for batch in batches(list("abcde"), serial)] == expected


@pytest.mark.parametrize("serial", [0, "no", "-1", "10 %", {"a": 1}])
def test_batches_that_cannot_be(serial):
    with pytest.raises(ValueError, match="write a number of hosts, a percentage such as 10%, or a list of these"):
        batches(["a"], serial)
