# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of derivation on the networks that show them: the published ones, relays, sites, subnets, exits, several networks."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import (
    firewall,
    host_slice,
    interface,
    sysctl,
)
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import (
    FULL,
    PUBLIC,
    RELAY,
    key_of,
    peers_of,
    plan_of,
)


def allowed(plan, name):
    return {peer: entry["allowed_ips"] for peer, entry in peers_of(plan, name).items()}


def planned_node(plan, name):
    planned = plan.networks[0]
    return planned, next(node for node in planned.nodes if node.name == name)


@pytest.mark.parametrize("name", ["home-server", "laptop", "phone"])
def test_full_auto_as_its_prose(name):
    plan = plan_of(FULL, cidr="10.0.44.0/24")
    assert allowed(plan, name) == {
        "public-server1": ["10.0.44.1/32", "10.0.44.0/24"],
        "public-server2": ["10.0.44.2/32"],
    }
    for entry in peers_of(plan, name).values():
        assert entry["persistent_keepalive"] == 25
    assert peers_of(plan, name)["public-server1"]["endpoint"] == "198.51.100.1:51820"


@pytest.mark.parametrize("name", ["home-server", "laptop", "phone", "public-server2"])
def test_full_hub_as_its_files(name):
    plan = plan_of(FULL, cidr="10.0.44.0/24", topology="hub")
    assert allowed(plan, name) == {"public-server1": ["10.0.44.1/32", "10.0.44.0/24"]}
    assert allowed(plan, "public-server1")[name] == [f"{FULL[name]['address']}/32"]
    assert interface(*planned_node(plan, "public-server1"))["addresses"] == ["10.0.44.1/24"]
    assert interface(*planned_node(plan, name))["addresses"] == [f"{FULL[name]['address']}/32"]


def test_only_the_relay_forwards_and_only_nodes_with_an_endpoint_listen():
    plan = plan_of(FULL, cidr="10.0.44.0/24")
    assert {name: sysctl(*planned_node(plan, name)) for name in FULL if sysctl(*planned_node(plan, name))} == {
        "public-server1": {"net.ipv4.ip_forward": "1"}
    }
    wishes = {name: firewall(*planned_node(plan, name)) for name in FULL}
    assert wishes["public-server1"] == {
        "name": "wg0",
        "listen_port": 51820,
        "forward": [{"from": "wg0", "to": "wg0"}],
        "masquerade": [],
        "kill_switch": None,
        "ping": True,
    }
    nothing = {"name": "wg0", "listen_port": None, "forward": [], "masquerade": [], "kill_switch": None, "ping": False}
    assert wishes["public-server2"] == {**nothing, "listen_port": 51820, "ping": True}
    assert wishes["laptop"] == nothing


def test_internet_browsing():
    plan = plan_of(
        {
            "server": {"endpoint": "vpn.example.net", "relay": True, "exit": True, "address": "10.0.44.1"},
            "laptop": {"exit_via": "server"},
            "phone": {"exit_via": "server"},
        },
        cidr="10.0.44.0/24",
    )
    assert allowed(plan, "phone") == {"server": ["10.0.44.1/32", "10.0.44.0/24", "0.0.0.0/0", "::/0"]}
    assert allowed(plan, "server") == {"laptop": ["10.0.44.2/32"], "phone": ["10.0.44.3/32"]}
    assert firewall(*planned_node(plan, "server"))["masquerade"] == [{"source": "10.0.44.0/24", "to": None}]


def test_the_firewall_of_an_exit_and_of_the_owner_of_a_lan():
    plan = plan_of({"gate": {"endpoint": "gate", "exit": True, "subnets": "192.168.1.0/24"}})
    assert firewall(*planned_node(plan, "gate")) == {
        "name": "wg0",
        "listen_port": 51820,
        "forward": [
            {"from": "wg0", "destination": "192.168.1.0/24"},
            {"to": "wg0", "source": "192.168.1.0/24"},
            {"from": "wg0", "source": "10.44.0.0/24"},
        ],
        "masquerade": [{"source": "10.44.0.0/24", "to": None}],
        "kill_switch": None,
        "ping": True,
    }


def test_what_enters_a_lan_that_knows_no_way_back_has_the_address_of_its_owner():
    owner = {**PUBLIC, "subnets": ["192.168.1.0/24", "fd01::/64"], "subnet_nat": True}
    wish = firewall(*planned_node(plan_of({"gate": owner}, cidr=["10.44.0.0/24", "fd44::/64"]), "gate"))
    assert wish["masquerade"] == [
        {"from": "wg0", "destination": "192.168.1.0/24"},
        {"from": "wg0", "destination": "fd01::/64"},
    ]


def test_links_answer_for_what_is_in_the_tunnel():
    owner = {"subnets": "192.168.1.0/24", "proxy_arp": ["eth1", "eth1.7"]}
    planned, gate = planned_node(plan_of({"gate": owner, "relay1": RELAY}), "gate")
    assert sysctl(planned, gate) == {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.eth1.proxy_arp": "1",
        "net.ipv4.conf.eth1/7.proxy_arp": "1",
    }


def test_a_kill_switch_knows_the_mark_the_lan_and_the_other_networks():
    client = {"exit_via": "server", "kill_switch": True, "kill_switch_allowed": "192.168.7.0/24"}
    plan = plan_of({"server": {**RELAY, "exit": True}, "laptop": client, "phone": {**client, "fwmark": "0x7"}})
    planned, laptop = planned_node(plan, "laptop")
    assert interface(planned, laptop)["fwmark"] == 51820
    assert firewall(planned, laptop, ["wg0", "wg1"])["kill_switch"] == {
        "fwmark": 51820,
        "interfaces": ["wg1"],
        "allowed": ["192.168.7.0/24"],
    }
    assert firewall(*planned_node(plan, "phone"))["kill_switch"]["fwmark"] == 7


def test_lan_bridging():
    cities = ("montreal", "newyork", "vancouver")
    plan = plan_of(
        {
            city: {
                "endpoint": f"{city}.example.net",
                "address": f"10.0.44.{number}",
                "subnets": f"192.168.{number}.0/24",
            }
            for number, city in enumerate(cities, 1)
        },
        cidr="10.0.44.0/24",
    )
    for number, city in enumerate(cities, 1):
        expected = {
            other: [f"10.0.44.{position}/32", f"192.168.{position}.0/24"]
            for position, other in enumerate(cities, 1)
            if position != number
        }
        assert allowed(plan, city) == expected
        assert {entry["persistent_keepalive"] for entry in peers_of(plan, city).values()} == {0}
        assert sysctl(*planned_node(plan, city)) == {"net.ipv4.ip_forward": "1"}


def test_client_to_server():
    plan = plan_of(
        {"server": {"endpoint": "vpn.example.net", "relay": True, "address": "10.0.44.1"}, "client": {}},
        cidr="10.0.44.0/24",
        topology="hub",
    )
    assert allowed(plan, "server") == {"client": ["10.0.44.2/32"]}
    assert peers_of(plan, "client")["server"] == {
        "name": "server",
        "public_key": key_of("server"),
        "endpoint": "vpn.example.net:51820",
        "allowed_ips": ["10.0.44.1/32", "10.0.44.0/24"],
        "persistent_keepalive": 25,
    }


def test_server_to_server():
    plan = plan_of({"server1": {"endpoint": "198.51.100.1"}, "server2": {"endpoint": "198.51.100.2"}})
    assert peers_of(plan, "server1")["server2"]["endpoint"] == "198.51.100.2:51820"
    assert peers_of(plan, "server2")["server1"]["persistent_keepalive"] == 0


TWO_RELAYS = {
    "relay1": {"endpoint": "198.51.100.1", "relay": True, "address": "10.44.0.1"},
    "relay2": {"endpoint": "198.51.100.2", "relay": True, "address": "10.44.0.2"},
    "a": {"via": "relay1", "address": "10.44.0.11"},
    "b": {"via": "relay2", "address": "10.44.0.12", "subnets": "192.168.12.0/24"},
    "web": {"endpoint": "198.51.100.9", "address": "10.44.0.9", "subnets": "192.168.9.0/24"},
}


def test_two_relays():
    plan = plan_of(TWO_RELAYS)
    assert allowed(plan, "a") == {
        "relay1": ["10.44.0.1/32", "10.44.0.0/24", "192.168.12.0/24"],
        "web": ["10.44.0.9/32", "192.168.9.0/24"],
    }
    assert allowed(plan, "relay1")["relay2"] == ["10.44.0.2/32", "10.44.0.12/32", "192.168.12.0/24"]
    assert allowed(plan, "relay2")["relay1"] == ["10.44.0.1/32", "10.44.0.11/32"]
    paths = plan.networks[0].paths
    assert [paths.hops(paths.nodes["a"], paths.nodes[name]) for name in ("relay1", "relay2", "b", "web")] == [
        0,
        1,
        2,
        0,
    ]


def test_who_punches_holes_is_reached_by_those_whose_endpoint_it_knows():
    behind = {"site": "home", "lan_endpoint": "192.168.1.2"}
    hosts = {
        "relay": RELAY,
        "alice": {"endpoint": "198.51.100.7:7", "hole_punching": True},
        "bob": {"endpoint": "198.51.100.8:8", "hole_punching": True},
        "forwarded": {"endpoint": "198.51.100.9:9", "behind_nat": True},
        "laptop": {},
        "twin1": {"endpoint": "198.51.100.10:1", "hole_punching": True, **behind},
        "twin2": {"endpoint": "198.51.100.10:2", "hole_punching": True, **behind, "lan_endpoint": "192.168.1.3"},
    }
    plan = plan_of(hosts)
    paths = plan.networks[0].paths
    alice, laptop = peers_of(plan, "alice"), peers_of(plan, "laptop")
    assert list(alice) == ["bob", "forwarded", "relay", "twin1", "twin2"]
    assert list(laptop) == ["forwarded", "relay"]
    assert paths.homes == dict.fromkeys(["alice", "bob", "laptop", "twin1", "twin2"], "relay")
    assert [paths.hops(paths.nodes["alice"], paths.nodes[other]) for other in ("bob", "laptop")] == [0, 1]
    # Each end sends first, for it is that which opens its router for the other one.
    assert alice["bob"]["endpoint"] == "198.51.100.8:8"
    assert {peer["persistent_keepalive"] for peer in alice.values()} == {25}
    assert peers_of(plan, "bob")["alice"]["persistent_keepalive"] == 25
    assert peers_of(plan, "forwarded")["alice"]["persistent_keepalive"] == 25
    assert peers_of(plan, "relay")["alice"]["persistent_keepalive"] == 0
    assert peers_of(plan, "twin1")["twin2"]["endpoint"] == "192.168.1.3:51820"
    # Among themselves they need no relay.
    del hosts["laptop"]
    assert plan_of(hosts).networks[0].paths.homes == {}
    assert len(peers_of(plan_of({name: hosts[name] for name in ("alice", "bob")}, topology="mesh"), "alice")) == 1


def test_nodes_of_one_site_peer_at_the_lan_endpoint():
    plan = plan_of(
        {
            "relay": {"endpoint": "198.51.100.1", "relay": True},
            "nas": {"site": "home", "lan_endpoint": "192.168.1.2"},
            "tv": {"site": "home"},
            "server": {
                "site": "home",
                "lan_endpoint": "192.168.1.4:6000",
                "endpoint": "home.example.net:7000",
                "behind_nat": True,
            },
            "laptop": {},
        }
    )
    tv, nas, server = peers_of(plan, "tv"), peers_of(plan, "nas"), peers_of(plan, "server")
    assert (tv["nas"]["endpoint"], tv["server"]["endpoint"]) == ("192.168.1.2:51820", "192.168.1.4:6000")
    # The one that cannot be reached first holds the path open; where both can, nobody needs to.
    assert (
        tv["nas"]["persistent_keepalive"],
        nas["tv"]["persistent_keepalive"],
        nas["server"]["persistent_keepalive"],
    ) == (25, 0, 0)
    assert peers_of(plan, "laptop")["server"]["endpoint"] == "home.example.net:7000"
    # Behind a forwarded port of a NAT router, keepalives go out to those that can be reached.
    assert (
        server["relay"]["persistent_keepalive"],
        server["laptop"]["persistent_keepalive"],
        server["nas"]["persistent_keepalive"],
    ) == (25, 0, 0)
    assert "laptop" not in nas


def test_several_hosts_behind_one_address():
    plan = plan_of(
        {
            "a": {"endpoint": "office.example.net:5001", "listen_port": 51820},
            "b": {"endpoint": "office.example.net:5002"},
        }
    )
    assert peers_of(plan, "a")["b"]["endpoint"] == "office.example.net:5002"
    assert planned_node(plan, "b")[1].listen_port == 51820


def test_ipv6_inside_and_underneath():
    plan = plan_of(
        {"relay": {"endpoint": "[2001:db8::1]", "relay": True}, "a": {}, "b": {"address": "fd44::b"}},
        cidr=["10.44.0.0/24", "fd44::/64"],
    )
    assert allowed(plan, "a") == {"relay": ["10.44.0.3/32", "fd44::2/128", "10.44.0.0/24", "fd44::/64"]}
    assert allowed(plan, "relay")["b"] == ["fd44::b/128", "10.44.0.2/32"]
    assert peers_of(plan, "a")["relay"]["endpoint"] == "[2001:db8::1]:51820"
    assert interface(*planned_node(plan, "relay"))["addresses"] == ["10.44.0.3/24", "fd44::2/64"]
    assert sysctl(*planned_node(plan, "relay")) == {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}


def test_an_external_node_is_planned_like_others_and_an_absent_one_leaves():
    plan = plan_of({**TWO_RELAYS, "phone": {"external": True, "via": "relay1"}, "old": {"state": "absent"}})
    gone = plan_of({**TWO_RELAYS, "phone": {"external": True, "state": "absent"}})
    assert (gone.leaving(), "phone" in gone.registry["wg0"]) == ([], False)
    assert "phone" in peers_of(plan, "relay1") and "old" not in peers_of(plan, "relay1")
    assert "old" not in plan.registry["wg0"]
    parts = {name: host_slice(part) for name, part in plan.hosts().items()}
    assert parts["old"]["leaving"] == [
        {"network": "wg0", "interface": "wg0", "private_key_file": "/etc/wireguard/wg0.key", "netns": None}
    ]
    assert [parts["old"][what] for what in ("interfaces", "sysctl", "firewall", "ping")] == [[], [], [], []]
    assert parts["web"]["leaving"] == []
    assert plan.rollout() == ["a", "b", "web", "old", "relay1", "relay2"]
    assert plan.leaving() == ["old"]


def test_hosts_without_a_key_are_left_out_and_told():
    plan = plan_of({**TWO_RELAYS, "new": {"via": "relay1", "public_key": None}})
    assert plan.keyless == {"wg0": ["new"]}
    assert [peer["name"] for peer in interface(*planned_node(plan, "relay1"))["peers"]] == ["a", "relay2", "web"]
    assert interface(*planned_node(plan, "relay1"))["keep_peers"] == ["new"]
    assert interface(*planned_node(plan, "new"))["keep_peers"] == []
    assert [peer["name"] for peer in interface(*planned_node(plan, "new"))["peers"]] == ["relay1", "web"]
    assert plan.registry["wg0"]["new"].addresses and plan.registry["wg0"]["new"].public_key is None


def two_networks(**overrides):
    networks = {
        "office": {"group": "all", "cidr": "10.1.0.0/24", "interface": "wg0", "mtu": 1380},
        "backup": {"cidr": "10.2.0.0/24", "port": 51821, "topology": "hub"},
    }
    common = {"wireguard_networks": networks, "wireguard_mtu": 1300, "wireguard_keepalive": 15}
    variables = {
        "hub": {**common, "wireguard_endpoint": "hub.example.net", "wireguard_relay": True},
        "a": {**common, "wireguard_overrides": overrides},
    }
    return make_plan(
        Inventory({"all": ["hub", "a"], "backup": ["a", "hub"]}, variables),
        {},
        {"a": {"/etc/wireguard/backup.key": key_of("a2")}},
    )


def test_several_networks_on_one_host():
    plan = two_networks(backup={"mtu": 1280, "address": "10.2.0.99"})
    parts = plan.hosts()["a"]
    made = {planned.network.name: interface(planned, node) for planned, node in parts}
    assert (made["office"]["interface"], made["backup"]["interface"]) == ("wg0", "backup")
    assert (made["office"]["private_key_file"], made["backup"]["private_key_file"]) == (
        "/etc/wireguard/wg0.key",
        "/etc/wireguard/backup.key",
    )
    # The override of one network, else the network's own setting, else the flat variable, else the default.
    assert (made["office"]["mtu"], made["backup"]["mtu"]) == (1380, 1280)
    assert made["backup"]["addresses"] == ["10.2.0.99/32"]
    hubs = {planned.network.name: planned.derivation.peers(node) for planned, node in plan.hosts()["hub"]}
    assert [peer["public_key"] for peer in hubs["backup"]] == [key_of("a2")]
    assert [peer["public_key"] for peer in hubs["office"]] == [None]
    endpoints = [planned.paths.nodes["hub"].endpoint.port for planned, _node in parts]
    assert sorted(endpoints) == [51820, 51821]
