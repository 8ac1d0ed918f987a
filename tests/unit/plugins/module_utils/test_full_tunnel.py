# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _full_tunnel
from ansible_collections.wirefleet.wireguard.plugins.module_utils._full_tunnel import Policy, Rules

T = 51820
NOTHING = Policy({"4": Rules({}, None), "6": Rules({}, None)}, {"4": None, "6": None}, False)
SET_UP = Policy(
    {"4": Rules({T: 32765}, 32764), "6": Rules({T: 32765}, 32764)},
    {"4": (T, frozenset({"10.44.0.2"})), "6": (T, frozenset({"fd44::2", "fe80::1"}))},
    True,
)
ADDRESSES = ("10.44.0.2/32", "fd44::2/128")


def steps(live, families="46", addresses=ADDRESSES, own=(T,)):
    new, old = _full_tunnel.steps("wg0", live, T, families, addresses, own)
    return [step.text for step in new + old]


def test_sets_up_both_families_the_rule_to_be_asked_first_last():
    """Trap: 0.0.0.0/0 without ::/0 leaks IPv6, and without src_valid_mark answers are dropped."""
    assert steps(NOTHING) == [
        "add IPv4 rule: not fwmark 51820 table 51820",
        "add IPv4 rule: table main suppress_prefixlength 0",
        "set firewall table ip wg-quick-wg0",
        "add IPv6 rule: not fwmark 51820 table 51820",
        "add IPv6 rule: table main suppress_prefixlength 0",
        "set firewall table ip6 wg-quick-wg0",
        "set net.ipv4.conf.all.src_valid_mark",
    ]


def test_nothing_to_do():
    assert steps(SET_UP) == []
    assert steps(NOTHING, families="") == []


def test_takes_off_without_residue():
    assert steps(SET_UP, families="") == [
        "remove firewall table ip wg-quick-wg0",
        "remove IPv4 rule: not fwmark 51820 table 51820",
        "remove IPv4 rule: table main suppress_prefixlength 0",
        "remove firewall table ip6 wg-quick-wg0",
        "remove IPv6 rule: not fwmark 51820 table 51820",
        "remove IPv6 rule: table main suppress_prefixlength 0",
    ]


def test_networkd_is_told_to_leave_the_rules_as_they_are():
    path = "/etc/systemd/networkd.conf.d/70-wireguard-wg0.conf"
    running = SET_UP._replace(networkd_runs=True)
    told = running._replace(networkd_file=_full_tunnel.NETWORKD_TEXT)
    assert steps(running) == steps(running._replace(networkd_file="# edited\n")) == [f"write {path}"]
    assert steps(told) == []
    assert steps(told, families="")[-1] == f"remove {path}"
    assert steps(NOTHING._replace(networkd_runs=True), families="") == []


def test_rules_of_another_tunnel_stay():
    other = Policy({**SET_UP.rules, "4": Rules({T: 32765, 99: 32763}, 32762)}, {"4": None, "6": None}, True)
    assert "remove IPv4 rule: table main suppress_prefixlength 0" not in steps(other, families="")
    assert steps(other, families="", own=()) == []


def rules_of(four):
    return Policy({"4": four, "6": Rules({}, None)}, SET_UP.guards, True)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules({T: 32765}, None), ["add IPv4 rule: table main suppress_prefixlength 0"]),
        # A rule without a priority would go before the other one, and the LAN into the tunnel.
        (Rules({}, 32764), ["add IPv4 rule: not fwmark 51820 table 51820 priority 32765"]),
        (
            Rules({T: 32763}, 32764),
            [
                "remove IPv4 rule: table main suppress_prefixlength 0",
                "add IPv4 rule: table main suppress_prefixlength 0",
            ],
        ),
    ],
)
def test_repairs_half_a_set_of_rules(rules, expected):
    live = Policy({"4": rules, "6": Rules({}, None)}, {**SET_UP.guards, "6": None}, True)
    assert steps(live, families="4") == expected


def test_guards_the_new_address():
    new, _old = _full_tunnel.steps("wg0", SET_UP, T, "46", ("10.44.0.3/32", "fd44::2/128"), (T,))
    assert [step.text for step in new] == ["set firewall table ip wg-quick-wg0"]
    assert new[0].data == (
        "add table ip wg-quick-wg0\n"
        "delete table ip wg-quick-wg0\n"
        "add table ip wg-quick-wg0\n"
        "add chain ip wg-quick-wg0 preraw { type filter hook prerouting priority -300; }\n"
        "add chain ip wg-quick-wg0 premangle { type filter hook prerouting priority -150; }\n"
        "add chain ip wg-quick-wg0 postmangle { type filter hook postrouting priority -150; }\n"
        'add rule ip wg-quick-wg0 preraw iifname != "wg0" ip daddr 10.44.0.3 fib saddr type != local drop\n'
        "add rule ip wg-quick-wg0 postmangle meta l4proto udp mark 51820 ct mark set mark\n"
        "add rule ip wg-quick-wg0 premangle meta l4proto udp meta mark set ct mark\n"
    )


# ip -json rule, iproute2 6.1
RULES = [
    {"priority": 0, "src": "all", "table": "255"},
    {"priority": 5, "src": "all", "fwmark": "0x1", "table": "1"},
    {"priority": 6, "not": None, "src": "all", "fwmark": "0x9", "table": "51820"},
    {"priority": 32764, "src": "all", "table": "254", "suppress_prefixlen": 0},
    {"priority": 32765, "not": None, "src": "all", "fwmark": "0xca6c", "table": "51820"},
    {"priority": 32766, "src": "all", "table": "254"},
]
# nft --json list table, nftables 1.0.6, of the rules that test_guards_the_new_address has
GUARD = [
    {"metainfo": {"version": "1.0.6"}},
    {"table": {"family": "ip", "name": "wg-quick-wg0"}},
    {"rule": {"chain": "preraw", "expr": [
        {"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "wg0"}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "10.44.0.2"}},
        {"match": {"op": "!=", "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": "local"}},
        {"drop": None},
    ]}},
    {"rule": {"chain": "premangle", "expr": [
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "udp"}},
        {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"ct": {"key": "mark"}}}},
    ]}},
    {"rule": {"chain": "postmangle", "expr": [
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "udp"}},
        {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 51820}},
        {"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"meta": {"key": "mark"}}}},
    ]}},
]  # fmt: skip


def test_reads_what_is_there(monkeypatch, tmp_path):
    def run(argv):
        if argv[-2:] == ["rule", "show"]:
            return (0, json.dumps(RULES), "") if "-4" in argv else (1, "", "no IPv6")
        assert argv[-1] == "wg-quick-wg0"
        return (0, json.dumps({"nftables": GUARD}), "") if "ip" in argv else (1, "", "No such file or directory")

    monkeypatch.setattr(_full_tunnel, "find", lambda command: command)
    for name, path in {"SRC_VALID_MARK": "mark", "NETWORKD": "state", "NETWORKD_FILE": "{}.conf"}.items():
        monkeypatch.setattr(_full_tunnel, name, str(tmp_path / path))
    (tmp_path / "mark").write_text("1\n")
    (tmp_path / "state").touch()
    (tmp_path / "wg0.conf").write_text("[Network]\n")
    assert _full_tunnel.read(run, "wg0") == Policy(
        {"4": Rules({T: 32765}, 32764), "6": Rules({}, None)},
        {"4": (T, frozenset({"10.44.0.2"})), "6": None},
        True,
        networkd_runs=True,
        networkd_file="[Network]\n",
    )


def test_a_host_without_tools_has_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(_full_tunnel, "find", lambda command: None)
    for name in ("SRC_VALID_MARK", "NETWORKD", "NETWORKD_FILE"):
        monkeypatch.setattr(_full_tunnel, name, str(tmp_path / "missing"))
    assert _full_tunnel.read(None, "wg0") == NOTHING
    with pytest.raises(_full_tunnel.DeviceError, match="install nftables"):
        _full_tunnel.check()


def test_the_first_free_table(monkeypatch):
    def run(argv):
        return 0, "default dev wg9" if argv[-1] == "51820" and argv[1] == "-6" else "", ""

    monkeypatch.setattr(_full_tunnel, "find", lambda command: command)
    assert _full_tunnel.free_table(run) == 51821


def test_when_it_is_wanted():
    assert _full_tunnel.is_wanted(["10.0.0.0/8", "::/0"], "auto")
    assert not _full_tunnel.is_wanted(["10.0.0.0/8", "::/0"], "77")
    assert not _full_tunnel.is_wanted(["10.0.0.0/8"], "auto")
    assert _full_tunnel.families_of(["10.0.0.0/8", "::/0"]) == {"6"}


def test_a_file_for_networkd_that_is_a_link_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(_full_tunnel, "find", lambda command: None)
    monkeypatch.setattr(_full_tunnel, "NETWORKD_FILE", f"{tmp_path}/{{}}.conf")
    (tmp_path / "wg0.conf").symlink_to("nowhere")
    with pytest.raises(OSError, match="wg0.conf is a symbolic link to nowhere, which does not exist: it is neither"):
        _full_tunnel.read(None, "wg0")
