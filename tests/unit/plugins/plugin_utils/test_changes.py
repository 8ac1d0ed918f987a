# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is run on a host, in which order, and whether it could cut off the controller."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.changes import changes, could_cut_off

KEY = "/etc/wireguard/wg0.key"
RULES = {"name": "wg0", "listen_port": None, "forward": [], "masquerade": [], "kill_switch": None, "ping": False}
KILL_SWITCH = {**RULES, "kill_switch": {"fwmark": 51820, "interfaces": [], "allowed": []}}
INTERFACE = {
    "network": "wg0",
    "interface": "wg0",
    "private_key_file": KEY,
    "pinned": False,
    "addresses": ["10.44.0.3/32"],
    "listen_port": None,
    "netns": None,
    "table": "auto",
    "mtu": 0,
    "keep_preshared_keys": True,
    "pre_up": [],
    "post_up": [],
    "pre_down": [],
    "post_down": [],
    "peers": [{"public_key": "x", "allowed_ips": ["10.44.0.0/24"]}, {"public_key": "y", "allowed_ips": []}],
    "digest": "as planned",
}
IP_FORWARD = {"interface": "wg0", "name": "net.ipv4.ip_forward", "value": "1"}
IPV6_FORWARD = {"interface": "wg0", "name": "net.ipv6.conf.all.forwarding", "value": "1"}
ELSEWHERE = {"client": "198.51.100.9", "server": "198.51.100.3", "interface": "eth0"}


def part(**changed):
    return {"interfaces": [INTERFACE], "sysctl": [], "firewall": [RULES], "names": [], "leaving": [], **changed}


def probe(**changed):
    """A host that has nothing of it."""
    return {
        "public_keys": {KEY: "z"},
        "as_wanted": {},
        "missing_tools": [],
        "tools": {"sysctl": True, "nft": "1.1.3"},
        "sysctl": {"live": {}, "persisted": {}},
        "firewalls": [],
        "names": {},
        "connection": ELSEWHERE,
        **changed,
    }


def modules(found):
    """The short names of the modules in their order, and what each is about."""
    return [
        (module.split(".")[-1], options.get("name") or options["path"])
        for change in found["changes"]
        for module, options in change.items()
    ]


def test_nothing_pending_arms_nothing():
    as_planned = probe(as_wanted={"wg0": "as planned"}, connection={**ELSEWHERE, "interface": "wg0"})
    nothing = {"changes": [], "interfaces": [], "sysctls": [], "files": [], "armed": False}
    assert changes(part(), as_planned) == nothing
    assert changes({}, {}) == nothing


def test_interface_takes_only_options_that_are_set():
    [change] = changes(part(), probe())["changes"]
    assert change == {
        "wirefleet.wireguard.wg_interface": {
            "name": "wg0",
            **{name: INTERFACE[name] for name in INTERFACE.keys()
               - {"network", "interface", "pinned", "listen_port", "netns", "mtu", "digest"}},
        }
    }  # fmt: skip


def test_kill_switch_follows_the_interface_and_the_rest_precedes_it():
    other = {**INTERFACE, "interface": "wg1"}
    open_port = {**RULES, "name": "wg1", "listen_port": 51821}
    found = changes(
        part(interfaces=[INTERFACE, other], sysctl=[IP_FORWARD], firewall=[KILL_SWITCH, open_port]), probe()
    )
    assert modules(found) == [
        ("sysctl", "net.ipv4.ip_forward"),
        ("wg_firewall", "wg1"),
        ("wg_interface", "wg0"),
        ("wg_interface", "wg1"),
        ("wg_firewall", "wg0"),
    ]
    assert found["interfaces"] == ["wg0", "wg1"]
    assert found["sysctls"] == ["net.ipv4.ip_forward"]
    assert found["files"] == ["/etc/sysctl.d/70-wireguard-wg0.conf"]


def test_firewall_gets_the_host_settings():
    [change] = changes({"firewall": [{**RULES, "listen_port": 51820}]}, probe(), "iptables", True)["changes"]
    assert change == {
        "wirefleet.wireguard.wg_firewall": {
            "name": "wg0",
            "listen_port": 51820,
            "forward": [],
            "masquerade": [],
            "ping": True,
            "backend": "iptables",
            "amend": True,
        }
    }


def test_sysctl_that_is_set_now_and_at_boot_is_left_out():
    live = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "0", "net.ipv6.conf.eth0.accept_ra": "1"}
    persisted = {"wg0": {"net.ipv4.ip_forward": "1"}}
    seen = probe(sysctl={"live": live, "persisted": persisted}, as_wanted={"wg0": "as planned"})
    found = changes(part(sysctl=[IP_FORWARD, IPV6_FORWARD]), seen)
    assert [(one["name"], one["value"]) for change in found["changes"] for one in change.values()] == [
        ("net.ipv6.conf.eth0.accept_ra", "2"),  # before the kernel would forget the route
        ("net.ipv6.conf.all.forwarding", "1"),
    ]
    assert found["sysctls"] == ["net.ipv6.conf.eth0.accept_ra", "net.ipv6.conf.all.forwarding"]


def test_settings_of_what_forwards_nothing_are_removed():
    seen = probe(sysctl={"live": {}, "persisted": {"wg0": {}}}, as_wanted={"wg0": "as planned"})
    found = changes(part(), seen)
    assert modules(found) == [("file", "/etc/sysctl.d/70-wireguard-wg0.conf")]
    assert found["files"] == ["/etc/sysctl.d/70-wireguard-wg0.conf"]


def test_interfaces_alone_leave_the_settings():
    """The role interface, and with it rotate, give no other part of the plan."""
    seen = probe(sysctl={"live": {}, "persisted": {"wg0": {"net.ipv4.ip_forward": "1"}}})
    found = changes({"interfaces": part()["interfaces"]}, seen)
    assert modules(found) == [("wg_interface", "wg0")]


def test_leaving_removes_all_of_an_interface():
    leaving = [{"network": "wg0", "interface": "wg0", "private_key_file": KEY, "netns": "vpn"}]
    found = changes({"leaving": leaving}, probe())
    assert modules(found) == [
        ("wg_interface", "wg0"),
        ("wg_firewall", "wg0"),
        ("file", "/etc/sysctl.d/70-wireguard-wg0.conf"),
        ("wg_keypair", KEY),
        ("wg_keypair", f"{KEY}.next"),
    ]
    assert found["changes"][0]["wirefleet.wireguard.wg_interface"]["netns"] == "vpn"
    assert found["files"] == ["/etc/sysctl.d/70-wireguard-wg0.conf", KEY, f"{KEY}.next"]
    assert changes({"leaving": leaving}, probe(connection={**ELSEWHERE, "interface": "wg0"}))["armed"]
    assert not found["armed"]


def test_without_a_look_all_of_it_is_pending_and_armed():
    found = changes(part(sysctl=[IP_FORWARD], firewall=[KILL_SWITCH]))
    assert [module for module, _what in modules(found)] == ["sysctl", "wg_interface", "wg_firewall"]
    assert found["armed"]


@pytest.mark.parametrize(
    "interface, armed",
    [
        ({}, False),
        ({"peers": [{"allowed_ips": ["10.44.0.0/24", "198.51.100.0/24"]}]}, True),  # the controller's LAN
        ({"peers": [{"allowed_ips": ["198.51.100.0/24"]}], "table": "off"}, False),
        ({"peers": [{"allowed_ips": ["198.51.100.0/24"]}], "netns": "vpn"}, False),
        ({"peers": [{"allowed_ips": ["0.0.0.0/0", "::/0"]}]}, True),
        ({"peers": [{"allowed_ips": ["::/0"]}]}, False),
        ({"addresses": ["198.51.100.200/24"]}, True),  # the kernel's own route
        ({"addresses": ["198.51.100.3/32"]}, True),  # the host's own end
        ({"post_down": ["true"]}, True),
    ],
)
def test_what_changes_decides_whether_it_is_armed(interface, armed):
    assert changes(part(interfaces=[{**INTERFACE, **interface}]), probe())["armed"] is armed
    as_planned = probe(as_wanted={"wg0": "as planned"})
    assert changes(part(interfaces=[{**INTERFACE, **interface}]), as_planned)["armed"] is False


def test_pending_kill_switch_is_armed():
    as_planned = probe(as_wanted={"wg0": "as planned"})
    assert changes(part(firewall=[KILL_SWITCH]), as_planned)["armed"]
    assert not changes(part(firewall=[{**RULES, "listen_port": 51820}]), as_planned)["armed"]


def connection(client="198.51.100.9", interface="eth0", server="198.51.100.3"):
    return {"client": client, "interface": interface, "server": server}


@pytest.mark.parametrize(
    "way, cut",
    [
        (None, True),  # not looked at
        ("nonsense", True),
        (connection(client=None, interface=None, server=None), False),  # no SSH
        (connection(), False),
        (connection(interface="wg0"), True),
        (connection(interface="wg1"), True),
        (connection(interface=None), True),
        (connection(client="10.9.0.7"), True),
        (connection(server="10.9.0.7"), True),
        (connection(client="::ffff:10.9.0.7"), True),
        (connection(client="2001:db8::7"), True),
        (connection(client="fe80::1%eth0", server="fe80::2%eth0"), False),
        (connection(client="no address"), True),
    ],
)
def test_connection_decides_whether_it_could_be_cut(way, cut):
    routed = ["10.9.0.0/24", "10.44.0.3/32", "2001:db8::/32"]
    assert could_cut_off(way, tunnels=["wg0", "wg1"], routed=routed, kill_switch=False) is cut


def test_kill_switch_and_hooks_could_always_cut():
    assert could_cut_off(connection(), tunnels=[], routed=[], kill_switch=True)
    assert could_cut_off(connection(), tunnels=[], routed=[], kill_switch=False, hooks=True)
    local = connection(client=None)
    assert not could_cut_off(local, tunnels=[], routed=[], kill_switch=True, hooks=True)
