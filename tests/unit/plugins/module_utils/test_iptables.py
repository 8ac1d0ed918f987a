# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _iptables, _wish

GATEWAY = _wish.wish(
    "wg0",
    51820,
    [{"from": "wg0", "to": "wg0"}, {"from": "wg0", "source": "10.44.0.0/24"}, {"to": "wg0", "source": "fd01::/64"}],
    [{"source": "10.44.0.0/24"}, {"from": "wg0", "destination": "fd01::/64"}, {"source": "0.0.0.0/0", "to": "eth1"}],
    ping=True,
)
CLAMP = "-A wg-fwd-wg0 -o wg0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\n"
# As iptables-save and ip6tables-save of 1.8.9 and 1.8.11 print them, on nf_tables and legacy.
OVER_4 = (
    "*filter\n"
    ":wg-fwd-wg0 - [0:0]\n"
    ":wg-in-wg0 - [0:0]\n"
    "-A FORWARD -j wg-fwd-wg0\n"
    "-A INPUT -j wg-in-wg0\n" + CLAMP + "-A wg-fwd-wg0 -s 10.44.0.0/24 -i wg0 ! -o wg0 -j ACCEPT\n"
    "-A wg-fwd-wg0 -i wg0 -o wg0 -j ACCEPT\n"
    "-A wg-fwd-wg0 -d 10.44.0.0/24 ! -i wg0 -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "-A wg-in-wg0 -p udp -m udp --dport 51820 -j ACCEPT\n"
    "-A wg-in-wg0 -i wg0 -p icmp -m icmp --icmp-type 8 -j ACCEPT\n"
    "COMMIT\n"
    "*nat\n"
    ":wg-nat-wg0 - [0:0]\n"
    "-A POSTROUTING -j wg-nat-wg0\n"
    "-A wg-nat-wg0 -o eth1 -j MASQUERADE\n"
    "-A wg-nat-wg0 -s 10.44.0.0/24 ! -o wg0 -j MASQUERADE\n"
    "COMMIT\n"
)
OVER_6 = (
    "*filter\n"
    ":wg-fwd-wg0 - [0:0]\n"
    ":wg-in-wg0 - [0:0]\n"
    "-A FORWARD -j wg-fwd-wg0\n"
    "-A INPUT -j wg-in-wg0\n"
    + CLAMP
    + "-A wg-fwd-wg0 -d fd01::/64 -i wg0 ! -o wg0 -j MARK --set-xmark 0x20000000/0x20000000\n"
    "-A wg-fwd-wg0 -s fd01::/64 ! -i wg0 -o wg0 -j ACCEPT\n"
    "-A wg-fwd-wg0 -i wg0 -o wg0 -j ACCEPT\n"
    "-A wg-fwd-wg0 -d fd01::/64 -i wg0 ! -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "-A wg-in-wg0 -p udp -m udp --dport 51820 -j ACCEPT\n"
    "-A wg-in-wg0 -i wg0 -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT\n"
    "COMMIT\n"
    "*nat\n"
    ":wg-nat-wg0 - [0:0]\n"
    "-A POSTROUTING -j wg-nat-wg0\n"
    "-A wg-nat-wg0 -d fd01::/64 ! -o wg0 -m mark --mark 0x20000000/0x20000000 -j MASQUERADE\n"
    "COMMIT\n"
)
PORT = _iptables.render(_wish.Wish("wg0", 51820), 4)
USERS = "*filter\n:INPUT DROP [7:420]\n:OUTPUT ACCEPT [9:8]\n:mine - [0:0]\n{}-A INPUT -j mine\nCOMMIT\n"


def test_all_that_can_be_wished_for():
    assert _iptables.render(GATEWAY, 4) == OVER_4
    assert _iptables.render(GATEWAY, 6) == OVER_6


def test_nothing_but_what_is_wished_for():
    assert PORT == (
        "*filter\n:wg-in-wg0 - [0:0]\n-A INPUT -j wg-in-wg0\n"
        "-A wg-in-wg0 -p udp -m udp --dport 51820 -j ACCEPT\nCOMMIT\n"
    )
    only_4 = _wish.wish("wg0", None, [], [{"source": "10.44.0.0/24"}])
    assert _iptables.render(only_4, 6) is None
    assert "*filter" not in _iptables.render(only_4, 4)


def test_own_rules_are_found_among_those_of_others():
    saved = USERS.format(":wg-in-wg0 - [0:0]\n:wg-in-wg1 - [0:0]\n-A INPUT -j wg-in-wg1\n-A INPUT -j wg-in-wg0\n")
    saved = saved.replace(
        "COMMIT", "-A wg-in-wg1 -j ACCEPT\n-A wg-in-wg0 -p udp -m udp --dport 51820 -j ACCEPT\nCOMMIT"
    )
    assert _iptables.own_rules(saved, "wg0") == PORT
    assert _iptables.own_rules(saved, "wg2") is None
    # iptables-legacy prints its tables in another order.
    tables = OVER_4.split("COMMIT\n")
    assert _iptables.own_rules(f"{tables[1]}COMMIT\n{tables[0]}COMMIT\n", "wg0") == OVER_4


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (":INPUT DROP [0:0]", True),
        (":FORWARD DROP [0:0]", True),
        ("-A FORWARD -j DOCKER", True),
        ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", True),
        (":INPUT ACCEPT [0:0]", False),
        (":OUTPUT DROP [0:0]", False),
        ("-A INPUT -j wg-in-wg1", False),
        ("-A FORWARD -j wg-fwd-wg1", False),
    ],
)
def test_what_counts_as_a_firewall_of_others(line, expected):
    assert _iptables.has_rules_of_others(f"*filter\n{line}\nCOMMIT\n") is expected


def test_a_transaction_that_adds():
    assert _iptables.transaction("", PORT) == PORT.replace("-A INPUT", "-I INPUT")


def test_a_transaction_that_changes_leaves_the_jump_alone():
    other = PORT.replace("51820", "1")
    assert _iptables.transaction(PORT, other) == other.replace("-A INPUT -j wg-in-wg0\n", "")


def test_a_transaction_that_removes():
    assert _iptables.transaction(PORT, "") == (
        "*filter\n:wg-in-wg0 - [0:0]\n-D INPUT -j wg-in-wg0\n-X wg-in-wg0\nCOMMIT\n"
    )


def test_a_transaction_that_mends_a_jump_which_is_there_twice_or_never():
    jump = "-A INPUT -j wg-in-wg0\n"
    body = PORT.replace(jump, "")
    assert _iptables.transaction(PORT.replace(jump, 2 * jump), PORT) == body.replace(
        "[0:0]\n", "[0:0]\n-D INPUT -j wg-in-wg0\n"
    )
    assert _iptables.transaction(body, PORT) == PORT.replace("-A INPUT", "-I INPUT")


def test_the_script_adds_a_jump_only_where_there_is_none(tmp_path):
    """Run by a real shell; the commands are stand-ins, of which one finds a jump in FORWARD and none elsewhere."""
    fake = tmp_path / "iptables"
    fake.write_text('#!/bin/sh\n[ "$5" = FORWARD ]\n')
    (tmp_path / "iptables-restore").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/out\ncat >>{tmp_path}/out\n')
    for each in tmp_path.iterdir():
        each.chmod(0o755)
    text = _iptables.SCRIPT.format(interface="wg0") + _iptables.script(str(fake), OVER_4)
    subprocess.run(["sh"], input=text, text=True, check=True)
    loaded = (tmp_path / "out").read_text().splitlines()
    assert loaded[0] == "--wait --noflush"
    expected = OVER_4.replace("-A FORWARD -j wg-fwd-wg0\n", "").replace("-A INPUT", "-I INPUT")
    assert [line for line in loaded[1:] if line] == expected.replace("-A POSTROUTING", "-I POSTROUTING").splitlines()


NAT = "table ip nat {\n\tchain POSTROUTING {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t}\n}\n"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (NAT, True),
        ("table ip nat {\n}\n", True),
        (
            NAT.replace(
                "\t}\n}", "\t}\n\n\tchain INPUT {\n\t\ttype nat hook input priority 100; policy accept;\n\t}\n}"
            ),
            True,
        ),
        (NAT.replace("\t}\n}", "\t\tcounter packets 0 bytes 0 accept\n\t}\n}"), False),
        (NAT.replace("policy accept", "policy drop"), False),
        (NAT.replace("\t}\n}", "\t}\n\n\tchain mine {\n\t}\n}"), False),
    ],
)
def test_a_table_without_rules(listed, expected):
    assert bool(_iptables.EMPTY_TABLE.fullmatch(listed)) is expected
