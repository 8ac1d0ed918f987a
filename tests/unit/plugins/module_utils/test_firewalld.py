# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _backend, _firewalld, _wish

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
PUBLIC = """\
<?xml version="1.0" encoding="utf-8"?>
<zone>
  <short>Public</short>
  <description>For use in public areas.</description>
  <interface name="eth0"/>
  <source address="192.0.2.0/24"/>
  <service name="ssh"/>
  <rule family="ipv4">
    <source address="198.51.100.80"/>
    <accept/>
  </rule>
  <masquerade/>
  <forward/>
</zone>
"""
RELAYED = {"from": "wg0", "to": "wg0"}


def test_the_zone_lets_in_what_the_default_zone_does():
    assert _firewalld.zone(_wish.wish("wg0", 51820, [RELAYED], [], ping=True), PUBLIC) == HEAD + (
        "<zone>\n"
        '  <service name="ssh" />\n'
        '  <rule family="ipv4">\n'
        '    <source address="198.51.100.80" />\n'
        "    <accept />\n"
        "  </rule>\n"
        "  <description>Made by wirefleet.wireguard.wg_firewall.</description>\n"
        '  <interface name="wg0" />\n'
        "  <forward />\n"
        "  <rule>\n"
        '    <icmp-type name="echo-request" />\n'
        "    <accept />\n"
        "  </rule>\n"
        "</zone>\n"
    )
    without = _firewalld.zone(_wish.wish("wg0", 51820, [], []), PUBLIC)
    assert "<forward" not in without and "icmp" not in without


def test_the_policies():
    forward = [RELAYED, {"from": "wg0", "destination": "192.168.1.0/24"}, {"to": "wg0", "source": "fd01::/64"}]
    found = _firewalld.policies(_wish.wish("wg0", 51820, forward, []))
    assert sorted(found) == ["-fw", "-in", "-to"]
    assert found["-in"] == HEAD + (
        '<policy target="CONTINUE">\n'
        "  <description>Made by wirefleet.wireguard.wg_firewall.</description>\n"
        '  <ingress-zone name="ANY" />\n'
        '  <egress-zone name="HOST" />\n'
        '  <port port="51820" protocol="udp" />\n'
        "</policy>\n"
    )
    assert (
        '  <ingress-zone name="wg0" />\n'
        '  <egress-zone name="ANY" />\n'
        '  <rule family="ipv4">\n'
        '    <destination address="192.168.1.0/24" />\n'
        "    <accept />\n"
        "  </rule>\n"
    ) in found["-fw"]
    assert (
        '  <ingress-zone name="ANY" />\n'
        '  <egress-zone name="wg0" />\n'
        '  <rule family="ipv6">\n'
        '    <source address="fd01::/64" />\n'
        "    <accept />\n"
        "  </rule>\n"
    ) in found["-to"]
    assert _firewalld.policies(_wish.wish("wg0", None, [RELAYED], [])) == {}


def test_what_firewalld_cannot_say():
    with pytest.raises(_backend.FirewallError, match="no single interface eth0"):
        _firewalld.policies(_wish.wish("wg0", None, [{"from": "wg0", "to": "eth0"}], []))


def test_what_a_reload_would_lose():
    now = "public (default, active)\n  interfaces: eth0 eth1\n  services: ssh\n  rich rules: \n\trule one\n\trule two\n"
    then = "public (default)\n  interfaces: \n  services: ssh\n  rich rules: \n\trule two\n\trule one\n"
    other = "\nwork\n  services: ssh\n"
    assert _firewalld.settings(now + other) == _firewalld.settings(then + other + "\n")
    assert _firewalld.settings(now + "  ports: 80/tcp\n" + other) != _firewalld.settings(then + other)
    assert _firewalld.settings(now + other + "  ports: 80/tcp\n") != _firewalld.settings(
        then + "  ports: 80/tcp\n" + other
    )
    assert _firewalld.settings("allow-host-ipv6 (active)\n") == [["allow-host-ipv6"]]
