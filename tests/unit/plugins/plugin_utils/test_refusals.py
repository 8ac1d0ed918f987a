# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is refused, with the message that a person gets: host, variable, value and what to write instead."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.faults import PlanRefusedError
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import (
    PUBLIC,
    RELAY,
    inventory_of,
    key_of,
    plan_of,
)


def faults_of(hosts, **network):
    with pytest.raises(PlanRefusedError) as refused:
        plan_of(hosts, **network)
    return [f"{fault.owner}: {fault.variable} {fault.text}" for fault in refused.value.faults]


def faults_of_variables(variables, group="wireguard"):
    with pytest.raises(PlanRefusedError) as refused:
        make_plan(Inventory({"all": list(variables), group: list(variables)}, variables), {}, {})
    return [f"{fault.owner}: {fault.variable} {fault.text}" for fault in refused.value.faults]


# (settings of the node "web", the one message about it)
ONE_NODE = [
    (
        {"address": "10.45.0.1"},
        "web: wireguard_address is 10.45.0.1, which is outside of the cidr of wg0; write an address in 10.44.0.0/24",
    ),
    (
        {"address": "10.44.0.0"},
        "web: wireguard_address is 10.44.0.0, the network or broadcast address of 10.44.0.0/24; write another one in it",
    ),
    (
        {"address": "10.44.0.255"},
        "web: wireguard_address is 10.44.0.255, the network or broadcast address of 10.44.0.0/24; write another one in it",
    ),
    (
        {"address": "10.44.0.7/24"},
        "web: wireguard_address is '10.44.0.7/24', which has a prefix length, which is derived; write '10.44.0.7'",
    ),
    (
        {"address": "fe80::1%eth0"},
        "web: wireguard_address is 'fe80::1%eth0', which has a zone; write the address without %ZONE",
    ),
    ({"address": 7}, "web: wireguard_address is 7, which is no text; write an IP address such as 10.44.0.7"),
    (
        {"relay": True},
        "web: wireguard_relay is true, but others cannot reach it; write its wireguard_endpoint, such as vpn.example.net:51820",
    ),
    (
        {"exit": True},
        "web: wireguard_exit is true, but others cannot reach it; write its wireguard_endpoint, such as vpn.example.net:51820",
    ),
    (
        {"behind_nat": True},
        "web: wireguard_behind_nat is true, but others cannot reach it; write its wireguard_endpoint, such as vpn.example.net:51820",
    ),
    (
        {"hole_punching": True},
        "web: wireguard_hole_punching is true, but others cannot reach it; write its wireguard_endpoint, such as vpn.example.net:51820",
    ),
    (
        {"hole_punching": True, "endpoint": "web", "exit": True},
        "web: wireguard_hole_punching is true, so that not everybody can reach it, but so is wireguard_exit; forward the port on "
        "its router and write wireguard_behind_nat instead",
    ),
    ({"relay": "perhaps"}, "web: wireguard_relay is 'perhaps', which is neither true nor false; write true or false"),
    ({"via": "nobody"}, "web: wireguard_via is 'nobody', which is no node of the network; the relays are relay1"),
    ({"via": "db"}, "web: wireguard_via is 'db', which is no relay; the relays are relay1"),
    (
        {"exit_via": "nobody"},
        "web: wireguard_exit_via is 'nobody', which is no node of the network; there are no exits in the network",
    ),
    (
        {"exit_via": "relay1"},
        "web: wireguard_exit_via is 'relay1', which is no exit; there are no exits in the network",
    ),
    (
        {"kill_switch": True},
        "web: wireguard_kill_switch is true, but the node does not send everything through the tunnel; "
        "write its wireguard_exit_via too",
    ),
    (
        {"subnet_nat": True},
        "web: wireguard_subnet_nat is true, but no LAN is behind the node; "
        "write its wireguard_subnets, such as 192.168.1.0/24",
    ),
    (
        {"proxy_arp": "eth1", "subnets": "fd01::/64"},
        "web: wireguard_proxy_arp is eth1, but no IPv4 LAN is behind the node; "
        "write its wireguard_subnets, such as 192.168.1.0/24",
    ),
    (
        {"subnets": ["192.168.1.7/24"]},
        "web: wireguard_subnets is ['192.168.1.7/24'], which has host bits set; write 192.168.1.0/24",
    ),
    (
        {"subnets": ["192.168.1.0/24", "x"]},
        "web: wireguard_subnets is ['192.168.1.0/24', 'x'], which has the entry 'x', which is no prefix; write one such as 10.44.0.0/24 or fd44::/64",
    ),
    (
        {"subnets": "0.0.0.0/0"},
        "web: wireguard_subnets is '0.0.0.0/0', which is the whole internet; for that there are wireguard_exit and wireguard_exit_via",
    ),
    (
        {"subnets": "10.44.0.128/25"},
        "web: wireguard_subnets has 10.44.0.128/25, which overlaps the network's own cidr 10.44.0.0/24; use another prefix for one of them",
    ),
    (
        {"subnets": "10.0.0.0/8"},
        "web: wireguard_subnets has 10.0.0.0/8, which overlaps the network's own cidr 10.44.0.0/24; use another prefix for one of them",
    ),
    (
        {"subnets": "198.51.100.0/24"},
        "web: wireguard_subnets has 198.51.100.0/24, which holds the endpoint 198.51.100.1 of relay1: the others would "
        "look for it inside the tunnel; write a smaller subnet without it",
    ),
    (
        {"endpoint": "a b"},
        "web: wireguard_endpoint is 'a b', which is no endpoint; write HOST, HOST:PORT or [IPV6]:PORT such as relay1.example.net:51820",
    ),
    (
        {"endpoint": "2001:db8::1:51820"},
        "web: wireguard_endpoint is '2001:db8::1:51820', which is no endpoint; an IPv6 address stands in brackets: "
        "write HOST, HOST:PORT or [IPV6]:PORT such as relay1.example.net:51820",
    ),
    (
        {"endpoint": "web:70000"},
        "web: wireguard_endpoint is 'web:70000', which is no UDP port; write a whole number from 1 to 65535",
    ),
    (
        {"endpoint": "1.2.3.400"},
        "web: wireguard_endpoint is '1.2.3.400', which holds no host where a name or an address belongs; "
        "write HOST, HOST:PORT or [IPV6]:PORT such as relay1.example.net:51820",
    ),
    (
        {"endpoint": "198.51.100.1"},
        "web: wireguard_endpoint is 198.51.100.1:51820, the same as of relay1; hosts behind one address need a forwarded port each: write HOST:PORT",
    ),
    (
        {"lan_endpoint": "192.168.1.2"},
        "web: wireguard_lan_endpoint is 192.168.1.2:51820, but its site is not known; write wireguard_site too",
    ),
    (
        {"listen_port": True},
        "web: wireguard_listen_port is True, which is no UDP port; write a whole number from 1 to 65535",
    ),
    (
        {"interface": "../../etc/passwd"},
        "web: wireguard_interface is '../../etc/passwd', which is no interface name; write at most 15 letters, digits and _=+.- such as wg0",
    ),
    (
        {"interface": "a" * 16},
        "web: wireguard_interface is 'aaaaaaaaaaaaaaaa', which is no interface name; write at most 15 letters, digits and _=+.- such as wg0",
    ),
    (
        {"public_key": "short"},
        "web: wireguard_public_key is 'short', which is no WireGuard key; write the 44 characters that wg pubkey prints",
    ),
    (
        {"private_key_file": "wg0.key"},
        "web: wireguard_private_key_file is 'wg0.key', which is no absolute path; write one such as /etc/wireguard/wg0.key",
    ),
    (
        {"keepalive": -1},
        "web: wireguard_keepalive is -1, which is no keepalive in seconds; write a whole number from 0 to 65535",
    ),
    ({"mtu": 100}, "web: wireguard_mtu is 100, which is no MTU; write a whole number from 576 to 65535"),
    (
        {"table": "main"},
        "web: wireguard_table is 'main', which is no routing table; write auto, off or the number of a table",
    ),
    (
        {"fwmark": "0xfffffffff"},
        "web: wireguard_fwmark is '0xfffffffff', which is no firewall mark; write off, a number below 4294967296 or 0x with up to 8 hexadecimal digits",
    ),
    (
        {"post_up": "true\nfalse"},
        "web: wireguard_post_up is 'true\\nfalse', which is no single line; write one command on one line, several as a list",
    ),
    (
        {"private_key_file": key_of("secret")},
        "web: wireguard_private_key_file is '(looks like a key)', which is no absolute path; write one such as /etc/wireguard/wg0.key",
    ),
    (
        {"post_up": ["true", f"wg set %i private-key <(echo {key_of('secret')}) #"]},
        "web: wireguard_post_up is ['true', 'wg set %i private-key <(echo (looks like a key)) #'], which has the entry "
        "'wg set %i private-key <(echo (looks like a key)) #', which has a '#', where wg-quick ends the line everywhere; put the "
        "command into a script",
    ),
    (
        {"post_up": "true # yes"},
        "web: wireguard_post_up is 'true # yes', which has a '#', where wg-quick ends the line everywhere; put the command into a script",
    ),
    (
        {"dns": "10.44.0.300"},
        "web: wireguard_dns is '10.44.0.300', which is no DNS server's address and no search domain; write one such as 10.44.0.1",
    ),
    (
        {"netns": "../host"},
        "web: wireguard_netns is '../host', which is no name of a network namespace; write at most 64 letters, digits and _.- such as vpn",
    ),
    (
        {"netns": "vpn", "subnets": "192.168.1.0/24"},
        "web: wireguard_netns is vpn, but wireguard_subnets is set, which needs the interface in the host's own namespace; "
        "let another node of that LAN route it, or leave wireguard_netns out",
    ),
    (
        {"netns": "vpn", "dns": "10.44.0.1"},
        "web: wireguard_netns is vpn, but wireguard_dns is set, which needs the interface in the host's own namespace; "
        "write 'nameserver ADDRESS' into /etc/netns/vpn/resolv.conf on the host, and set it to [], or leave wireguard_netns out",
    ),
    ({"state": "gone"}, "web: wireguard_state is 'gone', which is no state; write present or absent"),
    (
        {"adress": "10.44.0.9"},
        "web: wireguard_adress is no variable of this collection; did you mean wireguard_address?",
    ),
    (
        {"end_point": "web"},
        "web: wireguard_end_point is no variable of this collection; did you mean wireguard_endpoint?",
    ),
    (
        {"overrides": {"wg0": {"adress": 1}}},
        "web: wireguard_overrides has the unknown setting 'adress' for wg0; did you mean address?",
    ),
    ({"overrides": {"wg0": "x"}}, "web: wireguard_overrides is {'wg0': 'x'}; write NETWORK: {SETTING: VALUE}"),
    (
        {"topology": "hub"},
        "web: wireguard_topology is hub, but auto on db; a network has one topology: set it for the group",
    ),
]


@pytest.mark.parametrize(("settings", "message"), ONE_NODE, ids=[str(settings)[:60] for settings, _message in ONE_NODE])
def test_one_fault(settings, message):
    hosts = {
        "relay1": {**RELAY, "topology": "auto"},
        "web": {"topology": "auto", **settings},
        "db": {"topology": "auto"},
    }
    assert faults_of(hosts) == [message]


def test_duplicates_name_both():
    assert faults_of({"a": {**RELAY, "address": "10.44.0.9"}, "b": {"address": "10.44.0.9"}}) == [
        "b: wireguard_address is 10.44.0.9, which a has already; write another one, or leave it out"
    ]
    assert faults_of({"a": RELAY, "b": {"public_key": key_of("a")}}) == [
        f"b: wireguard_public_key is {key_of('a')}, the same as of a, as after cloning a machine; delete the key file on one of them and run again"
    ]
    assert faults_of({"a": RELAY, "b": {"subnets": "192.168.0.0/16"}, "c": {"subnets": "192.168.1.0/24"}}) == [
        "c: wireguard_subnets has 192.168.1.0/24, which overlaps 192.168.0.0/16 of b; a packet can go to one of them only: split or remove one"
    ]


def test_a_relay_cannot_route_its_own_lan_through_another_node():
    assert faults_of({"a": {**RELAY, "site": "x"}, "b": {"site": "x", "subnets": "192.168.1.0/24"}}) == [
        "b: wireguard_subnets is 192.168.1.0/24, a LAN of the site x, where the relay a stands too: "
        "it cannot route its own LAN into the tunnel; move the variable to the relay"
    ]


def test_an_exhausted_cidr_is_told_once():
    hosts = {"relay": RELAY, **{f"n{number}": {} for number in range(20)}}
    assert faults_of(hosts, cidr="10.44.0.0/29") == [
        "network wg0: wireguard_cidr 10.44.0.0/29 has no free address for n14, n15, n16, n17, n18, n19, n2, n3, n4, n5 and 5 more; "
        "use a larger prefix, or add a second one to the list"
    ]


@pytest.mark.parametrize(
    ("topology", "reason"),
    [
        ("auto", "all NAT-ed, and no relay serves them: give one public node wireguard_relay: true"),
        ("hub", "and a hub has no other path than its relays: give one public node wireguard_relay: true"),
        (
            "mesh",
            "NAT-ed, so that they cannot be peers of each other: give them endpoints, or use topology auto and a relay",
        ),
    ],
)
def test_a_pair_without_a_path(topology, reason):
    named = "a, b, c" if topology == "hub" else "a, b"
    assert faults_of({"a": {}, "b": {}, "c": PUBLIC}, topology=topology) == [
        f"network wg0: wireguard_topology leaves nodes without a path to each other ({named}), {reason}; "
        "or set allow_unreachable: true to have them reported only"
    ]
    plan = plan_of({"a": {}, "b": {}, "c": PUBLIC}, topology=topology, allow_unreachable=True)
    assert plan.unreachable == {"wg0": named.split(", ")}


def test_a_kill_switch_that_the_tunnel_cannot_come_up_behind():
    server = {"endpoint": "vpn.example.net", "relay": True, "exit": True}
    client = {"exit_via": "server", "kill_switch": True}
    assert faults_of({"server": server, "a": client}) == [
        "a: wireguard_kill_switch is true, so the host cannot ask for the address of its exit, vpn.example.net:51820, "
        "while the tunnel is down; give the exit an address as wireguard_endpoint, or write the network of a name server "
        "in wireguard_kill_switch_allowed"
    ]
    assert plan_of({"server": server, "a": {**client, "kill_switch_allowed": "192.168.1.1/32"}})
    assert plan_of({"server": {**server, "endpoint": "198.51.100.1"}, "a": client})


def test_what_forwards_or_guards_a_host_is_not_in_a_namespace():
    hosts = {
        "relay": {**RELAY, "exit": True, "netns": "vpn"},
        "a": {"exit_via": "relay", "kill_switch": True, "overrides": {"wg0": {"netns": "vpn"}}},
    }
    own = "which needs the interface in the host's own namespace"
    assert faults_of(hosts) == [
        f"a: wireguard_netns is vpn, but wireguard_kill_switch is set, {own}; leave it out: what is in the namespace has "
        "no other way than the tunnel, or leave wireguard_netns out",
        f"relay: wireguard_netns is vpn, but wireguard_exit is set, {own}; make another node the exit, "
        "or leave wireguard_netns out",
        f"relay: wireguard_netns is vpn, but wireguard_relay is set, {own}; make another node the relay, "
        "or leave wireguard_netns out",
    ]


def test_an_exit_that_cannot_be_the_nodes_own():
    relays = {"r1": {**RELAY, "exit": True}, "r2": {"endpoint": "198.51.100.9", "relay": True}}
    assert faults_of({**relays, "a": {"via": "r2", "exit_via": "r1"}, "b": {}}) == [
        "a: wireguard_via is 'r2', but its exit is the relay r1, and a node has one home relay; write wireguard_via: r1, or leave it out"
    ]
    hub = {"relay": RELAY, "web": {**PUBLIC, "exit": True}, "a": {"exit_via": "web"}}
    assert faults_of(hub, topology="hub") == [
        "a: wireguard_exit_via is 'web', with which it has no tunnel of its own, and WireGuard cannot tell two default routes apart on a relay; "
        "write wireguard_exit_via: relay, its home relay, and make that an exit"
    ]


def test_a_missing_cidr_and_overlapping_ones():
    assert faults_of({"a": RELAY}, cidr=None) == [
        "network wg0: wireguard_cidr is not set; write the network's prefix, such as 10.44.0.0/24"
    ]
    assert faults_of({"a": RELAY}, cidr=["10.0.0.0/8", "10.44.0.0/16"]) == [
        "network wg0: wireguard_cidr has 10.0.0.0/8 and 10.44.0.0/16, which overlap; keep one of them"
    ]


def test_all_faults_stand_in_one_message():
    with pytest.raises(PlanRefusedError) as refused:
        plan_of({"a": {"endpoint": "!"}, "b": {"subnets": "?"}, "c": {"via": "d"}})
    text = str(refused.value)
    assert text.startswith("The WireGuard plan is refused and no host was changed, for 3 faults:\n  a: ")
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["a:", "b:", "c:"]


def test_a_flood_of_faults_is_counted():
    with pytest.raises(PlanRefusedError) as refused:
        plan_of({f"n{number}": {"endpoint": "!"} for number in range(200)})
    assert str(refused.value).endswith("... and 150 more")


def test_networks_of_one_host_need_their_own_interface_port_and_key():
    networks = {
        name: {"group": "all", "cidr": cidr, "interface": "wg0"}
        for name, cidr in (("a", "10.1.0.0/24"), ("b", "10.2.0.0/24"))
    }
    variables = {"relay": {"wireguard_networks": networks, "wireguard_endpoint": "relay", "wireguard_relay": True}}
    assert faults_of_variables(variables, "all") == [
        "relay: wireguard_interface is 'wg0' for the networks a and b; give each its own, as interface: in wireguard_networks or wireguard_overrides",
        "relay: wireguard_listen_port is 51820 for the networks a and b; give each its own, as listen_port: in wireguard_networks or wireguard_overrides",
        "relay: wireguard_private_key_file is '/etc/wireguard/wg0.key' for the networks a and b; "
        "give each its own, as private_key_file: in wireguard_networks or wireguard_overrides",
    ]


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ("office", "a: wireguard_networks is 'office'; write a dictionary of networks by name"),
        (
            {"office": "10.1.0.0/24"},
            "a: wireguard_networks has '10.1.0.0/24' for office; write a dictionary of its settings",
        ),
        (
            {"office": {"cird": "10.1.0.0/24"}},
            "a: wireguard_networks has the unknown setting 'cird' for office; did you mean cidr?",
        ),
        (
            {"of\nfice": {}},
            "a: wireguard_networks is 'of\\nfice', which as the name of a network is no plain name; "
            "write at most 63 letters, digits, spaces and .:@+-_",
        ),
        (
            {"office": {"cidr": "10.1.0.0/24"}},
            "network office: wireguard_networks means the group 'office', which is not in the inventory; add the group, or name another one as group:",
        ),
    ],
)
def test_networks_that_cannot_be_read(networks, message):
    assert message in faults_of_variables({"a": {"wireguard_networks": networks}})


def test_two_hosts_that_describe_a_network_differently():
    variables = {
        host: {"wireguard_networks": {"wg0": {"group": "wireguard", "cidr": cidr}}}
        for host, cidr in (("a", "10.1.0.0/24"), ("b", "10.2.0.0/24"))
    }
    assert faults_of_variables(variables) == [
        "b: wireguard_networks describes wg0 otherwise than on a; set it once, for a group that holds all of the network's hosts"
    ]


HOSTILE = [
    "x\n[Peer]",
    "a'b",
    'a"b',
    "$(reboot)",
    "`id`",
    "a;b",
    "A" * 10_000,
    "\x00",
    "\u2028",
    "..",
    "../..",
    "-e",
    "",
    " ",
    None,
    True,
    False,
    0,
    -1,
    1.5,
    float("nan"),
    [],
    {},
    [None],
    [["x"]],
    {"a": "b"},
    b"bytes",
    object(),
    "０",
    "10.44.0.²",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "setting",
    [
        "address",
        "endpoint",
        "listen_port",
        "relay",
        "via",
        "site",
        "lan_endpoint",
        "behind_nat",
        "hole_punching",
        "subnets",
        "exit",
        "exit_via",
        "subnet_nat",
        "proxy_arp",
        "kill_switch",
        "kill_switch_allowed",
        "public_key",
        "private_key_file",
        "external",
        "state",
        "interface",
        "port",
        "keepalive",
        "mtu",
        "fwmark",
        "table",
        "dns",
        "names",
        "names_suffix",
        "cidr",
        "topology",
        "allow_unreachable",
        "overrides",
        "networks",
    ],
)
def test_no_value_reaches_a_file_as_syntax_or_ends_in_a_traceback(setting, value):
    """A value is refused, naming the host or the network, or it is harmless: nothing of it breaks a line or a path."""
    try:
        plan = plan_of({"relay1": RELAY, "web": {setting: value}})
    except PlanRefusedError as refused:
        assert all(fault.owner in ("web", "relay1", "network wg0") for fault in refused.faults)
        assert all(len(fault.text) < 500 and "\n" not in fault.text for fault in refused.faults)
        return
    for planned in plan.networks:
        for node in planned.nodes:
            for text in (
                node.interface,
                node.private_key_file,
                node.site or "",
                str(node.endpoint or ""),
                str(node.lan_endpoint or ""),
            ):
                assert text.isprintable() and ".." not in text and not set(text) & set("'\"$`;")


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\nb", "-rf", "a'b", ".hidden", "x" * 300])
def test_a_hosts_name_that_is_no_file_name_is_refused(name):
    messages = faults_of({"relay1": RELAY, name: {}})
    assert len(messages) == 1 and "cannot be a file name or a comment" in messages[0] and "\n" not in messages[0]


def test_values_as_ini_inventories_give_them():
    plan = plan_of(
        {
            "a": {
                "endpoint": "a.example",
                "relay": "yes",
                "listen_port": "5000",
                "keepalive": "off",
                "table": "OFF",
                "fwmark": "0x10",
                "exit": "True",
            }
        }
    )
    node = plan.networks[0].nodes[0]
    assert (node.relay, node.listen_port, str(node.endpoint), node.keepalive, node.exit) == (
        True,
        5000,
        "a.example:5000",
        0,
        True,
    )
    assert (node.settings["table"], node.settings["fwmark"]) == ("off", 16)


def test_the_inventory_of_the_helper_is_sound():
    assert make_plan(inventory_of({"a": RELAY}), {}, {}).keyless == {}
