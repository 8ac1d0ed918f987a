# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways that packets take where nodes have different home relays, and where two of them share a LAN."""

from __future__ import annotations

from fleet import Fleet

HOME = {"laptop": "relay-east", "nas": "relay-east", "phone": "relay-west", "printer": "relay-west"}
ADDRESSES = {
    name: f"10.0.44.{number}"
    for number, name in enumerate(("relay-east", "relay-west", "web", "laptop", "phone", "printer", "nas"), start=1)
}
NAMES = """
198.51.100.1 relay-east.example.net
198.51.100.2 relay-west.example.net
198.51.100.3 web.example.net
"""
PING = "ping -c 1 -W 5 {} | sed -n 's/.* ttl=\\([0-9]*\\) .*/\\1/p'"


def relays_between(host: str, other: str) -> int:
    """How many relays a packet passes, by hand. A node has a tunnel to its home relay, and to no other."""
    if "web" in (host, other) or {host, other} == {"printer", "nas"}:
        return 0
    return len({HOME.get(host, host), HOME.get(other, other)} - {host, other})


def test_all_reach_all_as_planned() -> None:
    fleet = Fleet()
    for host in ADDRESSES:
        fleet.ssh(host, f"echo '{NAMES}' >>/etc/hosts")
    assert fleet.run().code == 0
    again = fleet.run()
    assert (again.code, again.hosts("changed")) == (0, set())
    for host in ADDRESSES:
        others = [other for other in ADDRESSES if other != host]
        ttls = fleet.ssh(host, "\n".join(PING.format(ADDRESSES[other]) for other in others)).split()
        assert ttls == [str(64 - relays_between(host, other)) for other in others], host
    # The office's router has nothing to do with what its hosts send to each other.
    assert "192.168.1.7:51820" in fleet.ssh("printer", "wg show wg0 endpoints")
    assert "192.168.1.6:" in fleet.ssh("nas", "wg show wg0 endpoints")


def test_nothing_is_left() -> None:
    fleet = Fleet()
    assert fleet.run(playbook="remove").hosts("changed") == ADDRESSES.keys()
    for host in ADDRESSES:
        left = fleet.ssh(host, "ls -A /etc/wireguard /etc/sysctl.d; ls /sys/class/net; nft list tables")
        assert "wg0" not in left, left
