# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways whose own firewalls drop by default, told in order: nothing passes, all of it passes, and nothing is left.

Each is a relay, an exit and the owner of a LAN that knows no way back, with a client at home there. So the pings of
`verify` between clients are traffic from peer to peer on two of them, what a desk hears of a desk in another LAN went
from LAN to network and from network to LAN, and the server on the internet hears clients by the address of their exit.
The users' rules are compared as their own firewall prints them, order included.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator

import pytest
from fleet import Fleet
from packets import NOBODY, WITHOUT_VERIFY, Story

# The gateways by the kind of their firewall, each with its desk and its client.
NFTABLES, IPTABLES, UFW, FIREWALLD = "alder", "birch", "cedar", "dogwood"
GATEWAYS = (NFTABLES, IPTABLES, UFW, FIREWALLD)
CLIENTS = dict(zip(GATEWAYS, ("ann", "bob", "cat", "dan")))
DESKS = dict(zip(GATEWAYS, ("desk1", "desk2", "desk3", "desk4")))
UPLINK = {host: (f"198.51.100.{number}", f"2001:db8::{number}") for number, host in enumerate(GATEWAYS, 1)}
LAN = {host: (f"192.168.{number}.1", f"fd0{number}::1") for number, host in enumerate(GATEWAYS, 1)}
ADDRESSES = {
    "server": ("198.51.100.80", "2001:db8::80"),
    **{desk: (f"192.168.{number}.10", f"fd0{number}::10") for number, desk in enumerate(DESKS.values(), 1)},
}

NFTABLES_RULES = """
cat >/etc/nftables.conf <<'END'
flush ruleset
table inet filter {
    set admins { type ipv4_addr; elements = { 198.51.100.80 }; }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname "lo" accept
        meta l4proto ipv6-icmp icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        ip saddr @admins tcp dport 22 counter accept
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ip daddr 203.0.113.7 drop
    }
}
END
systemctl enable --quiet nftables
systemctl restart nftables
"""
IPTABLES_RULES = """
cat >/etc/iptables/rules.v4 <<'END'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:admins - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j admins
-A FORWARD -d 203.0.113.7/32 -j DROP
-A admins -s 198.51.100.80/32 -j ACCEPT
COMMIT
*nat
-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80
COMMIT
END
sed 's/203.0.113.7.32/2001:db8:1::7/; s/198.51.100.80.32/2001:db8::80/; s/-i lo/-p ipv6-icmp -j ACCEPT\\n-A INPUT &/' \\
    /etc/iptables/rules.v4 >/etc/iptables/rules.v6
systemctl restart netfilter-persistent
"""
UFW_RULES = """
ufw default deny incoming
ufw default deny routed
ufw allow proto tcp from 198.51.100.80 to any port 22
ufw deny 23/tcp
ufw --force enable
"""
FIREWALLD_RULES = """
firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=198.51.100.80 service name=http accept'
firewall-cmd --permanent --new-zone=printers
firewall-cmd --reload
"""
# What a host has of rules, in the words of its own tools, and of files in which something of ours could be left. The
# rules of firewalld have no order, and are told in any.
RULES = r"""
nft list tables inet | sort | grep -v firewalld | while read -r each; do nft --stateless list $each; done
for each in iptables ip6tables; do ! type $each-save >/dev/null || $each-save | sed 's/ \[[0-9:]*\]$//; /^#/d'; done
! type ufw >/dev/null || ufw status numbered
! type firewall-cmd >/dev/null || { firewall-cmd --list-all-zones; firewall-cmd --list-all-policies; } | sort
"""
FILES = r"""
cd /etc
places=$(ls -d iptables firewalld nftables.conf systemd/system ufw wireguard /usr/share/netfilter-persistent || :)
find $places -printf '%M %p %l\n' | sort
find $places -type f -exec md5sum {} + | sort
"""
RELOAD = {
    NFTABLES: "systemctl reload nftables; systemctl restart nftables",
    IPTABLES: "netfilter-persistent reload; systemctl restart netfilter-persistent",
    UFW: "ufw reload; systemctl restart ufw",
    FIREWALLD: "firewall-cmd --reload; systemctl restart firewalld",
}


class Firewalls(Story):
    """The fleet; ``before`` is what its gateways had when nobody had run anything yet."""

    def __init__(self) -> None:
        super().__init__(Fleet(), ADDRESSES)
        for host, script in zip(GATEWAYS, (NFTABLES_RULES, IPTABLES_RULES, UFW_RULES, FIREWALLD_RULES)):
            self.fleet.ssh(host, f"set -e; {script}")
        self.before, self.rules_before = self.look(), self.look(RULES)

    def look(self, script: str = RULES + FILES) -> dict[str, str]:
        """What each gateway has of rules and files."""
        return {host: self.fleet.ssh(host, script) for host in GATEWAYS}

    def adhoc(self, module: str, arguments: str) -> None:
        """Run a module on all gateways."""
        hosts = ",".join(GATEWAYS)
        subprocess.run(["ansible", "-i", self.fleet.project, hosts, "-b", "-m", module, "-a", arguments], check=True)

    def assert_all_passes(self) -> None:
        """What the plan wants to pass does, in IPv4 and IPv6."""
        for gateway, client in CLIENTS.items():
            assert self.seen_from(client, "server") == UPLINK[gateway]
        for gateway, other in itertools.permutations(GATEWAYS, 2):
            assert self.seen_from(DESKS[gateway], DESKS[other]) == LAN[other], (gateway, other)


@pytest.fixture(scope="module")
def story() -> Iterator[Firewalls]:
    story = Firewalls()
    with story.answering():
        yield story


def test_without_permission_the_run_says_which_rules_are_missing(story: Firewalls) -> None:
    story.write(NFTABLES, firewall_amend=False)
    run = story.fleet.run("--limit", NFTABLES, *WITHOUT_VERIFY)
    said = " ".join(run.output.split())
    for rule in (
        "insert rule inet filter input udp dport 51820 accept",
        'insert rule inet filter input iifname "wg0" icmp type echo-request accept',
        'insert rule inet filter forward iifname "wg0" oifname "wg0" accept',
        'insert rule inet filter forward iifname "wg0" oifname != "wg0" ip6 daddr fd01::/64 accept',
        'insert rule inet filter forward iifname "wg0" oifname != "wg0" ip saddr 10.0.44.0/24 accept',
    ):
        assert f"nft '{rule}'" in said
    chains = story.fleet.ssh(NFTABLES, "nft --stateless list table inet filter")
    assert chains in story.before[NFTABLES]


def test_all_passes_and_the_network_is_verified(story: Firewalls) -> None:
    story.write(NFTABLES, firewall_amend=True)
    run = story.fleet.run()
    assert (run.code, run.hosts("changed")) == (0, {*GATEWAYS, *CLIENTS.values()})
    assert story.fleet.run(*WITHOUT_VERIFY).hosts("changed") == set()
    story.assert_all_passes()


def test_each_is_asked_in_its_own_words(story: Firewalls) -> None:
    for host, tables in zip(GATEWAYS, (True, False, False, True)):
        assert ("table inet wireguard_wg0" in story.fleet.ssh(host, "nft list tables")) == tables, host
    for host in (IPTABLES, UFW):
        assert "-A INPUT -j wg-in-wg0" in story.fleet.ssh(host, "iptables-save")
    assert "wg0-in" in story.fleet.ssh(FIREWALLD, "firewall-cmd --get-policies")


def test_what_firewalld_has_only_until_a_reload_is_not_lost(story: Firewalls) -> None:
    story.fleet.ssh(FIREWALLD, "firewall-cmd --zone=public --add-service=https")
    run = story.fleet.run("--limit", FIREWALLD, "-e", "wireguard_firewall=nftables", *WITHOUT_VERIFY)
    assert run.hosts("failed") == {FIREWALLD}
    assert "keep them with 'firewall-cmd --runtime-to-permanent'" in " ".join(run.output.split())
    story.fleet.ssh(FIREWALLD, "firewall-cmd --zone=public --query-service=https; firewall-cmd --reload")


def test_the_rules_of_the_users_stand_in_their_order(story: Firewalls) -> None:
    for host, now in story.look(RULES).items():
        lines = iter(now.splitlines())
        assert [line for line in story.rules_before[host].splitlines() if line not in lines] == [], host


def test_it_survives_a_reload_of_the_firewall(story: Firewalls) -> None:
    now = story.look()
    for host in GATEWAYS:
        story.fleet.ssh(host, f"set -e; {RELOAD[host]}")
    assert story.look() == now
    story.assert_all_passes()


def test_rules_are_rolled_back(story: Firewalls) -> None:
    now = story.look()
    story.adhoc("wirefleet.wireguard.wg_confirm", "state=armed interfaces=wg0 timeout=120")
    story.adhoc("wirefleet.wireguard.wg_firewall", "name=wg0 state=absent")
    for host, without in story.look().items():
        assert "wg-in-wg0" not in without and "51820" not in without, host
    story.adhoc("wirefleet.wireguard.wg_confirm", "state=rolled_back")
    assert story.look() == now
    story.assert_all_passes()


def test_another_back_end_leaves_nothing_of_the_first(story: Firewalls) -> None:
    now = story.look()[IPTABLES]
    limited = ("--limit", IPTABLES, *WITHOUT_VERIFY)
    assert story.fleet.run(*limited, "-e", "wireguard_firewall=nftables").hosts("changed") == {IPTABLES}
    then = story.look()[IPTABLES]
    assert "table inet wireguard_wg0" in then
    assert not re.search(r"wg-(in|fwd|nat)-|wg0.iptables|60-wireguard", then)
    assert story.fleet.run(*limited).hosts("changed") == {IPTABLES}
    assert story.look()[IPTABLES] == now


def test_it_survives_a_reboot(story: Firewalls) -> None:
    now = story.look()
    story.adhoc("ansible.builtin.reboot", "reboot_timeout=120")
    assert story.look() == now
    # The clients need some seconds to notice.
    assert story.fleet.run("-e", "wireguard_verify_timeout=40", playbook="verify").code == 0
    story.assert_all_passes()


def test_nothing_is_left(story: Firewalls) -> None:
    assert story.fleet.run(playbook="remove").hosts("changed") == {*GATEWAYS, *CLIENTS.values()}
    assert story.look() == story.before
    assert story.seen_from("desk1", "desk2") == NOBODY
