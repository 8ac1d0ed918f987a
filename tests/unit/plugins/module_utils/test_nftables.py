# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _nftables, _wish

EVERYTHING = """\
table inet wireguard_wg0 {
    chain input {
        type filter hook input priority filter; policy accept;
        udp dport 51820 counter accept
    }

    chain forward {
        type filter hook forward priority filter; policy accept;
        oifname "wg0" tcp flags syn tcp option maxseg size set rt mtu
        iifname "wg0" oifname "eth0" counter accept
        iifname "wg0" oifname "wg0" counter accept
        iifname "eth0" oifname "wg0" ct state established,related counter accept
    }

    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        meta nfproto ipv4 oifname "eth0" counter masquerade
        ip saddr 10.44.0.0/24 oifname != "wg0" counter masquerade
        ip saddr 10.44.0.7 oifname "eth0" counter masquerade
        ip6 saddr fd44::/64 oifname "eth0" counter masquerade
    }
}
""".replace(" " * 4, "\t")


def make(name="wg0", listen_port=None, forward=(), masquerade=()):
    return _wish.wish(name, listen_port, [{"from": a, "to": b} for a, b in forward], list(masquerade))


def test_everything():
    wish = make(
        listen_port=51820,
        forward=[("wg0", "wg0"), ("wg0", "eth0"), ("wg0", "wg0")],
        masquerade=[
            {"source": "FD44:0::/64", "to": "eth0"},
            {"source": "10.44.0.7/32", "to": "eth0"},
            {"source": "10.44.0.0/24", "to": None},
            {"source": "0.0.0.0/0", "to": "eth0"},
        ],
    )
    assert _nftables.render(wish) == EVERYTHING
    assert _nftables.transaction(wish) == ("table inet wireguard_wg0\ndelete table inet wireguard_wg0\n" + EVERYTHING)


def test_only_what_is_asked_for():
    assert _nftables.render(make(listen_port=1)).count("chain") == 1
    assert "chain input" not in _nftables.render(make(forward=[("wg0", "wg0")]))


def test_both_directions_need_no_rule_for_answers():
    text = _nftables.render(make(forward=[("wg0", "eth1"), ("eth1", "wg0")]))
    assert "ct state" not in text


def test_a_lan_and_an_uplink_that_are_known_by_their_networks():
    forward = [
        {"from": "wg0", "destination": "192.168.1.0/24"},
        {"to": "wg0", "source": "192.168.1.0/24"},
        {"from": "wg0", "source": "fd44::/64"},
    ]
    rules = [line.strip() for line in _nftables.render(_wish.wish("wg0", None, forward, [])).splitlines()]
    assert sorted(rules[4:8]) == [
        'iifname != "wg0" oifname "wg0" ip saddr 192.168.1.0/24 counter accept',
        'iifname != "wg0" oifname "wg0" ip6 daddr fd44::/64 ct state established,related counter accept',
        'iifname "wg0" oifname != "wg0" ip daddr 192.168.1.0/24 counter accept',
        'iifname "wg0" oifname != "wg0" ip6 saddr fd44::/64 counter accept',
    ]


def test_order_of_the_options_does_not_matter():
    one = make(forward=[("wg0", "eth1"), ("eth1", "wg0")])
    other = make(forward=[("eth1", "wg0"), ("wg0", "eth1")])
    assert _nftables.render(one) == _nftables.render(other)


def test_a_lan_that_knows_no_way_back():
    rules = _nftables.render(make(masquerade=[{"from": "wg0", "destination": "192.168.1.0/24"}])).splitlines()
    assert rules[3].strip() == 'iifname "wg0" oifname != "wg0" ip daddr 192.168.1.0/24 counter masquerade'


def test_a_kill_switch():
    options = {"fwmark": 51820, "interfaces": ["wg1"], "allowed": ["fd01::/64", "192.168.1.0/24"]}
    rules = [line.strip() for line in _nftables.render(_wish.wish("wg0", None, [], [], options)).splitlines()]
    assert rules[2:-2] == [
        "type filter hook output priority filter; policy accept;",
        "ct direction reply accept",
        "meta mark 0x0000ca6c accept",
        'oifname "lo" accept',
        'oifname "wg0" accept',
        'oifname "wg1" accept',
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        "ip6 daddr fe80::/10 accept",
        "ip6 daddr ff02::/16 accept",
        "ip daddr 192.168.1.0/24 accept",
        "ip6 daddr fd01::/64 accept",
        "counter reject with icmpx admin-prohibited",
    ]
    with pytest.raises(ValueError, match="kill_switch.fwmark is 0: write a number from 1"):
        _wish.wish("wg0", None, [], [], {"fwmark": 0})


def test_empty():
    assert make().is_empty
    assert not make(listen_port=51820).is_empty
    assert not make(masquerade=[{"source": "10.0.0.0/8", "to": None}]).is_empty


def test_table_names_are_safe_and_unique():
    names = ["wg0", "a=b", "a+b", "a.b", "a-b", "a_b", "a3db", "a2bb"]
    tables = [_nftables.table_name(name) for name in names]
    assert len(set(tables)) == len(names)
    assert tables[:3] == ["wireguard_wg0", "wireguard_a/3db", "wireguard_a/2bb"]
    assert [_nftables.interface_of(table) for table in tables] == names
    assert _nftables.interface_of("filter") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "wg 0"}, "name is 'wg 0': write at most 15 letters, digits and _=+.- such as wg0"),
        ({"name": 'x" accept'}, "name is 'x\" accept': write at most 15 letters, digits and _=+.- such as wg0"),
        ({"listen_port": 0}, "listen_port is 0: write a number from 1 to 65535"),
        ({"listen_port": 65536}, "listen_port is 65536: write a number from 1 to 65535"),
        (
            {"forward": [("wg0", "wg0"), ('eth0"; drop', "wg0")]},
            "forward[1].from is 'eth0\"; drop': write the name of an interface, such as eth0",
        ),
        ({"forward": [("wg0", "eth*")]}, "forward[0].to is 'eth*': write the name of an interface, such as eth0"),
        ({"forward": [("wg0", "")]}, "forward[0].to is '': write the name of an interface, such as eth0"),
        (
            {"masquerade": [{"source": "10.44.0.0/24", "to": "a\nb"}]},
            "masquerade[0].to is 'a\\nb': write the name of an interface, such as eth0",
        ),
        (
            {"masquerade": [{"source": "10.44.0.1/24", "to": None}]},
            "masquerade[0].source: 10.44.0.1/24 has host bits set; write a network such as 10.44.0.0/24",
        ),
        (
            {"masquerade": [{"source": "any", "to": None}]},
            "masquerade[0].source: 'any' does not appear to be an IPv4 or IPv6 network; "
            "write a network such as 10.44.0.0/24",
        ),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError) as error:
        make(**options)
    assert str(error.value) == message
