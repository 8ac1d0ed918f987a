# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.faults import PlanRefusedError
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry import (
    Record,
    RegistryError,
    parse_registry,
    render_registry,
)
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import RELAY, key_of, plan_of

HOSTS = {"relay": RELAY, **{f"n{number:02}": {} for number in range(19)}}
TEXT = """\
networks:
  wg0:
    laptop:
      addresses:
      - 10.44.0.4
      kind: nat
      relay: relay1
version: 1
"""


def test_every_field_survives_the_file():
    record = Record(
        kind="relay",
        addresses=(ipaddress.ip_address("10.44.0.1"), ipaddress.ip_address("fd44::1")),
        public_key=key_of("a"),
        endpoint=plan_of({"a": RELAY}).networks[0].nodes[0].endpoint,
        lan_endpoint=plan_of({"a": RELAY}).networks[0].nodes[0].endpoint,
        site="Büro 1",
        subnets=(ipaddress.ip_network("192.168.1.0/24"),),
        relay="b",
        via="b",
        exit=True,
        exit_via="c",
    )
    registry = {"wg0": {"a": record}}
    assert parse_registry(render_registry(registry), "registry") == registry


def test_nothing_yet():
    assert parse_registry("", "registry") == {}
    assert parse_registry(render_registry({}), "registry") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "version: 1\nnetworks: a: b",
            "R, line 2: mapping values are not allowed in this context. "
            "The registry was edited or damaged: restore it from version control",
        ),
        (
            "version: 1\n<<<<<<< HEAD\nnetworks:\n",
            "R, line 3: could not find expected ':'. The registry was edited or damaged: restore it from version control",
        ),
        (
            "just text",
            "R, line 1: there is no version: field at the top. The registry was edited or damaged: restore it from version control",
        ),
        (
            "version: 2",
            "R has format 2, and this release of wirefleet.wireguard knows format 1 only; use the release that wrote it, or a newer one",
        ),
        (
            TEXT.replace("10.44.0.4", "10.44.0.400"),
            "R, line 4: addresses is ['10.44.0.400'], which is no IP address; write one such as 10.44.0.7 or fd44::7. "
            "The registry was edited or damaged: restore it from version control",
        ),
        (
            TEXT.replace("kind: nat", "kind: router"),
            "R, line 6: kind is 'router', which is no kind of node; write relay, public, nat. "
            "The registry was edited or damaged: restore it from version control",
        ),
        (
            TEXT.replace("      kind: nat\n", ""),
            "R, line 3: the node laptop has no kind. The registry was edited or damaged: restore it from version control",
        ),
        (
            TEXT.replace("relay:", "realy:"),
            "R, line 7: 'realy' is no field of a node. The registry was edited or damaged: restore it from version control",
        ),
        (
            "version: 1\nnetworks:\n  wg0: text",
            "R, line 3: 'text' stands where a dictionary belongs. The registry was edited or damaged: restore it from version control",
        ),
        (
            "version: 1\nnetworks:\n- wg0",
            "R, line 2: ['wg0'] stands where a dictionary belongs. The registry was edited or damaged: restore it from version control",
        ),
        (
            TEXT.replace("laptop", '"../x"'),
            "R, line 3: the node's name '../x' cannot be a file name or a comment; write letters, digits and .:@+-_ only. "
            "The registry was edited or damaged: restore it from version control",
        ),
    ],
)
def test_a_broken_file_names_its_line(text, message):
    with pytest.raises(RegistryError) as broken:
        parse_registry(text, "R")
    assert str(broken.value) == message


def without(*names):
    return {name: settings for name, settings in HOSTS.items() if name not in names}


def test_one_deleted_node_leaves():
    before = plan_of(HOSTS).registry
    plan = plan_of(without("n01"), registry=before)
    assert plan.departed == {"wg0": ["n01"]} and "n01" not in plan.registry["wg0"]


def test_a_tenth_may_leave_and_more_may_not():
    before = plan_of(HOSTS).registry
    assert plan_of(without("n01", "n02"), registry=before).departed == {"wg0": ["n01", "n02"]}
    with pytest.raises(PlanRefusedError) as refused:
        plan_of(without("n01", "n02", "n03"), registry=before)
    assert [fault.text for fault in refused.value.faults] == [
        "no longer has 3 of the 20 nodes that the registry knows (n01, n02, n03); correct it, or write wireguard_prune: true to remove them from the "
        "network, or wireguard_partial_inventory: true if this is a part of the inventory only"
    ]
    assert plan_of(without("n01", "n02", "n03"), registry=before, prune=True).departed == {"wg0": ["n01", "n02", "n03"]}


def test_one_of_two_may_leave():
    before = plan_of({"a": RELAY, "b": {}}).registry
    assert plan_of({"a": RELAY}, registry=before).departed == {"wg0": ["b"]}


def test_a_network_that_vanishes_whole_is_an_accident():
    before = {**plan_of({"a": RELAY}).registry, "office": plan_of(HOSTS).registry["wg0"]}
    with pytest.raises(PlanRefusedError) as refused:
        plan_of({"a": RELAY}, registry=before)
    assert refused.value.faults[0].owner == "network office"
    assert list(plan_of({"a": RELAY}, registry=before, prune=True).registry) == ["wg0"]


def test_absent_nodes_are_no_accident_however_many():
    before = plan_of(HOSTS).registry
    plan = plan_of({name: ({"state": "absent"} if name != "relay" else RELAY) for name in HOSTS}, registry=before)
    assert len(plan.departed["wg0"]) == 19


def test_the_relays_of_a_network_that_loses_a_key_go_first():
    relay2, foreign = ({"relay": True, "endpoint": f"198.51.100.{number}"} for number in (2, 3))
    hosts = {**HOSTS, "relay2": relay2, "foreign": {**foreign, "external": True}}
    before = plan_of(hosts).registry
    assert plan_of(hosts, registry=before).revoking() == []
    assert plan_of({**hosts, "new": {}}, registry=before).revoking() == []
    deleted = {name: settings for name, settings in hosts.items() if name != "n01"}
    assert plan_of(deleted, registry=before).revoking() == ["relay", "relay2"]
    assert plan_of({**hosts, "n01": {"state": "absent"}}, registry=before).revoking() == ["relay", "relay2"]
    rekeyed = plan_of({**hosts, "n01": {"public_key": key_of("another")}}, registry=before)
    assert rekeyed.revoking() == ["relay", "relay2"]
    # That the relay itself leaves is no reason for it to go first.
    assert plan_of({**hosts, "relay": {"state": "absent"}}, registry=before).revoking() == ["relay2"]


def test_a_partial_inventory_drops_nothing():
    before = {**plan_of(HOSTS).registry, "office": plan_of({"x": RELAY}).registry["wg0"]}
    plan = plan_of({"n01": {}}, registry=before, partial=True)
    assert plan.registry == before and plan.departed == {}
    assert [peer["name"] for peer in plan.networks[0].derivation.peers(plan.networks[0].paths.nodes["n01"])] == [
        "relay"
    ]
    assert list(plan.hosts()) == ["n01"]


def test_a_partial_inventory_lets_an_absent_node_leave():
    before = plan_of(HOSTS).registry
    assert "n01" not in plan_of({"n01": {"state": "absent"}}, registry=before, partial=True).registry["wg0"]


def test_a_known_node_keeps_its_key_whether_or_not_it_was_reached():
    before = plan_of({"a": RELAY, "b": {}}).registry
    plan = plan_of({"a": RELAY, "b": {"public_key": None}}, registry=before)
    assert plan.registry == before and plan.keyless == {} and plan.rekeyed == []


def test_a_new_key_replaces_the_old_one_and_is_told():
    before = plan_of({"a": RELAY, "b": {}}).registry
    plan = plan_of(
        {"a": RELAY, "b": {"public_key": None}}, registry=before, keys={"b": {"/etc/wireguard/wg0.key": key_of("new")}}
    )
    assert plan.rekeyed == [("wg0", "b", key_of("b"), key_of("new"))]
    assert plan.registry["wg0"]["b"].public_key == key_of("new")


FILE = "/etc/wireguard/wg0.key"


def claims(**keys):
    return {host: {FILE: key_of(name)} for host, name in keys.items()}


def clone(host, key, owner):
    return (
        f"{host} is left out of this run: it has the key {key_of(key)} in {FILE}, which is {owner}'s, as after cloning a "
        f"machine; delete the key file on {host} and run again"
    )


def test_host_without_its_pinned_key_is_left_out():
    plan = plan_of({"a": RELAY, "b": {}}, keys=claims(b="new"))
    assert plan.left_out == {
        "b": f"b is left out of this run: wireguard_public_key is {key_of('b')}, but the host has the key {key_of('new')} "
        f"in {FILE}; put the right key file back, or correct or remove the variable"
    }
    assert plan.registry == plan_of({"a": RELAY, "b": {}}).registry


def test_key_stays_with_the_node_that_the_registry_knows():
    """A host cannot take another's name by saying that it has its key, whether or not the other is in the run."""
    hosts = {"a": RELAY, "b": {}, "c": {}}
    before = plan_of(hosts, keys=claims(a="a", b="b", c="c"), with_keys=False).registry
    for keys in (claims(a="a", b="b", c="b"), claims(c="b"), claims(a="b", b="b", c="b")):
        plan = plan_of(hosts, before, keys=keys, with_keys=False)
        assert plan.left_out == {
            host: clone(host, "b", "b") for host in keys if host != "b" and keys[host] == keys["c"]
        }
        assert plan.registry == before
        assert plan.rekeyed == []


def test_key_stays_with_the_node_for_which_the_inventory_states_it():
    hosts = {"a": RELAY, "b": {"public_key": key_of("b")}, "c": {}}
    plan = plan_of(hosts, keys=claims(a="a", c="b"), with_keys=False)
    assert plan.left_out == {"c": clone("c", "b", "b")}
    assert plan.registry["wg0"]["b"].public_key == key_of("b")
    assert plan.keyless == {"wg0": ["c"]}


def test_new_hosts_with_one_key_are_both_left_out():
    plan = plan_of({"a": RELAY, "b": {}, "c": {}}, keys=claims(a="a", b="x", c="x"), with_keys=False)
    assert plan.left_out == {"b": clone("b", "x", "c"), "c": clone("c", "x", "b")}
    assert plan.keyless == {"wg0": ["b", "c"]}


def test_renamed_host_keeps_its_key():
    before = plan_of({"a": RELAY, "old": {}}, keys=claims(a="a", old="b"), with_keys=False).registry
    plan = plan_of({"a": RELAY, "new": {}}, before, keys=claims(a="a", new="b"), with_keys=False)
    assert plan.left_out == {}
    assert plan.registry["wg0"]["new"].public_key == key_of("b")


def test_in_a_part_of_the_inventory_absent_nodes_keep_their_keys():
    before = plan_of({"a": RELAY, "b": {}, "c": {}}, keys=claims(a="a", b="b", c="c"), with_keys=False).registry
    plan = plan_of({"a": RELAY, "c": {}}, before, keys=claims(c="b"), partial=True, with_keys=False)
    assert plan.left_out == {"c": clone("c", "b", "b")}
    assert plan.registry == before
