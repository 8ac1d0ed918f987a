# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of nodes: who has them, what they look like, and which are refused."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _names
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.faults import PlanRefusedError
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import (
    host_slice,
    names_digests,
    plan_files,
)
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import (
    FULL,
    RELAY,
    inventory_of,
    plan_of,
)

BOTH = ["10.0.44.0/24", "fd44::/64"]
TWO = {"office": {"group": "nodes", "names": True}, "backup": {"group": "nodes", "cidr": "10.45.0.0/24", "port": 51821}}


def of_two_networks(hosts, **settings):
    """The plan of the networks office and backup, which have the same nodes."""
    networks = {name: {**network, **settings.get(name, {})} for name, network in TWO.items()}
    common = {"wireguard_cidr": "10.44.0.0/24", "wireguard_networks": networks}
    variables = {
        name: {**common, **{f"wireguard_{setting}": value for setting, value in own.items()}}
        for name, own in hosts.items()
    }
    return make_plan(Inventory({"all": list(hosts), "nodes": list(hosts)}, variables), {}, {})


def refused(plan, *arguments, **settings):
    with pytest.raises(PlanRefusedError) as error:
        plan(*arguments, **settings)
    return [f"{fault.owner}: {fault.variable} {fault.text}" for fault in error.value.faults]


def test_every_node_by_all_of_its_addresses():
    hosts = {
        "Relay_1": {**RELAY, "address": ["10.0.44.1", "fd44::1"]},
        "web.example.net": {"address": ["10.0.44.2", "fd44::2"]},
        "phone": {"external": True, "address": ["10.0.44.3", "fd44::3"]},
        "gone": {"state": "absent", "address": ["10.0.44.9", "fd44::9"]},
        "without-key": {"public_key": None, "address": ["10.0.44.4", "fd44::4"]},
    }
    names = plan_of(hosts, cidr=BOTH, names=True).names()["wg0"]
    assert names == (
        "10.0.44.1 relay-1.wg0\nfd44::1 relay-1.wg0\n"
        "10.0.44.3 phone.wg0\nfd44::3 phone.wg0\n"
        "10.0.44.2 web.example.net.wg0\nfd44::2 web.example.net.wg0\n"
        "10.0.44.4 without-key.wg0\nfd44::4 without-key.wg0\n"
    )
    suffixed = plan_of(hosts, cidr=BOTH, names=True, names_suffix="VPN.example").names()["wg0"]
    assert suffixed == names.replace(".wg0\n", ".vpn.example\n")


def test_a_host_takes_the_names_of_the_networks_that_it_wants():
    plan = of_two_networks({"relay": {**RELAY, "names": True}, "laptop": {}})
    names = plan.names()
    assert sorted(names) == ["backup", "office"]
    digests = names_digests(names)
    assert digests == {network: _names.digest(text.encode()) for network, text in names.items()}
    parts = {host: host_slice(part, digests)["names"] for host, part in plan.hosts().items()}
    assert parts["relay"] == [
        {"interface": "backup", "network": "backup", "digest": digests["backup"]},
        {"interface": "office", "network": "office", "digest": digests["office"]},
    ]
    assert [part["digest"] for part in parts["laptop"]] == [None, digests["office"]]


def test_nobody_wants_names():
    """What only an external or an absent node wants, nobody is told."""
    hosts = {"relay": RELAY, "phone": {"external": True, "names": True}, "gone": {"state": "absent", "names": True}}
    plan = plan_of(hosts)
    assert plan.names() == {}
    assert [host_slice(part)["names"] for part in plan.hosts().values()] == [
        [],
        [{"interface": "wg0", "network": "wg0", "digest": None}],
        [{"interface": "wg0", "network": "wg0", "digest": None}],
    ]


def test_the_names_are_a_file_of_the_plan():
    plan = plan_of(FULL, cidr="10.0.44.0/24", names=True)
    assert plan_files(plan)["wg0.hosts"] == plan.names()["wg0"]
    assert "wg0.hosts" not in plan_files(plan_of(FULL, cidr="10.0.44.0/24"))


def test_a_slice_has_the_names_of_all():
    whole = plan_of(FULL, cidr="10.0.44.0/24", names=True)
    part = make_plan(
        inventory_of({"laptop": FULL["laptop"]}, cidr="10.0.44.0/24", names=True), whole.registry, {}, partial=True
    )
    assert part.names() == whole.names()


# (settings of the network, the one message about it)
SUFFIXES = [
    ("example_net", "is 'example_net', which is no DNS name; write letters, digits and inner hyphens"),
    (".example", "is '.example', which is no DNS name"),
    ("", "is '', which is no DNS name"),
    ("44", "is '44', which is no DNS name"),
    ("a" * 64, "which is no DNS name"),
    ("a." * 127 + "a", "which is no DNS name"),
    ("a b", "is 'a b', which is no DNS name"),
    (7, "is 7, which is no text; write a domain such as vpn.example"),
]


@pytest.mark.parametrize(("suffix", "message"), SUFFIXES)
def test_a_suffix_that_dns_does_not_know(suffix, message):
    (fault,) = refused(plan_of, {"relay": RELAY}, names=True, names_suffix=suffix)
    assert fault.startswith("relay: wireguard_names_suffix ") and message in fault


def test_hosts_disagree_about_the_suffix():
    hosts = {"relay": {**RELAY, "names_suffix": "a.example"}, "web": {"names_suffix": "b.example"}}
    assert refused(plan_of, hosts, names=True) == [
        "web: wireguard_names_suffix is b.example, but a.example on relay; "
        "a network has one names_suffix: set it for the group"
    ]


@pytest.mark.parametrize("name", ["a@b", "web:22", "fd44::7", "a..b", "büro", "a" * 64, "web_"])
def test_a_host_whose_name_dns_does_not_know(name):
    assert plan_of({"relay": RELAY, name: {}}).names() == {}
    assert refused(plan_of, {"relay": RELAY, name: {}}, names=True) == [
        f"{name}: wireguard_names makes it '{name.replace('_', '-')}.wg0', which is no DNS name; give the host another "
        "name in the inventory, of letters, digits and inner hyphens with dots between, and its address as ansible_host"
    ]


def test_a_name_is_given_once():
    assert refused(plan_of, {"relay": RELAY, "db_1": {}, "DB-1": {}}, names=True) == [
        "db_1: wireguard_names makes it db-1.wg0, which DB-1 is already; give one of them another name in the inventory"
    ]
    hosts = {"relay": RELAY, "laptop": {}}
    same = {"names_suffix": "vpn.example", "names": True}
    assert refused(of_two_networks, hosts, office=same, backup=same) == [
        "network office: wireguard_names_suffix is vpn.example, as of the network backup; "
        "give each its own, or leave it out"
    ]
    assert sorted(of_two_networks(hosts, office=same, backup={**same, "names": False}).names()) == ["office"]


def test_a_network_whose_name_is_no_suffix():
    hosts = {"relay": {**RELAY, "interface": "wg0", "cidr": "10.44.0.0/24"}}
    networks = {"head office": {"group": "wireguard"}}
    assert refused(plan_of, hosts, names=True, networks=networks) == [
        "network head office: wireguard_names_suffix is not set, and the network's name is no DNS name; "
        "write one such as vpn.example"
    ]
    networks["head office"]["names_suffix"] = "office.example"
    assert plan_of(hosts, names=True, networks=networks).names() == {"head office": "10.44.0.1 relay.office.example\n"}


@pytest.mark.parametrize("endpoint", ["Web.example.net:51820", "web.example.net.:443"])
def test_a_name_never_leads_an_endpoint_into_its_own_tunnel(endpoint):
    hosts = {"relay": RELAY, "web": {"endpoint": endpoint}}
    assert plan_of(hosts, names=True).names()
    assert plan_of(hosts, names_suffix="example.net").names() == {}
    assert refused(plan_of, hosts, names=True, names_suffix="example.net") == [
        "web: wireguard_names_suffix makes it web.example.net, the endpoint of web: "
        "the hosts would look for that inside the tunnel; write another suffix, such as vpn.example"
    ]


def test_a_key_that_is_not_known_yet_changes_no_name():
    before = plan_of(FULL, cidr="10.0.44.0/24", names=True, with_keys=False)
    assert before.names() == plan_of(FULL, cidr="10.0.44.0/24", names=True).names()
