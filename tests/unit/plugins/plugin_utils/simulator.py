# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks packets through the rendered files of a plan, as WireGuard and the kernel would.

It shares no code with the planner: it reads the files' text, and knows of the underlay only where each host stands.
Cryptokey routing is that of the WireGuard paper: a packet goes to the peer with the longest matching AllowedIPs, and is
taken only if its source, looked up the same way by the receiver, belongs to the peer that delivered it.
"""

from __future__ import annotations

import functools

from netaddr import IPNetwork


class Peer:
    def __init__(self):
        self.key = self.endpoint = None
        self.allowed = []
        self.keepalive = 0


class Host:
    """A host as its files make it; ``forwards`` are the IP versions for which forwarding is on."""

    def __init__(self, name, conf, sysctl):
        self.name = name
        self.addresses, self.peers = [], {}
        self.forwards = {
            version
            for version, name in ((4, "net.ipv4.ip_forward"), (6, "net.ipv6.conf.all.forwarding"))
            if f"{name} = 1" in sysctl.splitlines()
        }
        self.listen_port = None
        peer = None
        for line in conf.splitlines():
            if line == "[Peer]":
                peer = Peer()
            setting, equals, value = line.partition(" = ")
            if line.startswith("#") or not equals:
                continue
            if setting == "Address":
                self.addresses.append(IPNetwork(value))
            elif setting == "ListenPort":
                self.listen_port = int(value)
            elif setting == "PublicKey":
                assert value not in self.peers, f"{name} has a peer twice"
                self.peers[value] = peer
                peer.key = value
            elif setting == "AllowedIPs":
                peer.allowed = [IPNetwork(prefix) for prefix in value.split(", ")]
            elif setting == "Endpoint":
                peer.endpoint = value
            elif setting == "PersistentKeepalive":
                peer.keepalive = int(value)
        prefixes = [prefix for peer in self.peers.values() for prefix in peer.allowed]
        assert len(prefixes) == len(set(prefixes)), f"{name} has a prefix on two peers"
        self._tries = {}
        for peer in self.peers.values():
            for prefix in peer.allowed:
                by_value = self._tries.setdefault(prefix.version, {}).setdefault(prefix.prefixlen, {})
                by_value[prefix.first >> (prefix._module.width - prefix.prefixlen)] = peer
        self.owns = functools.cache(self._owns)

    def route(self, address):
        """The peer with the longest prefix that holds the address."""
        for length, by_value in sorted(self._tries.get(address.version, {}).items(), reverse=True):
            width = 32 if address.version == 4 else 128
            peer = by_value.get(int(address) >> (width - length))
            if peer:
                return peer
        return None

    def _owns(self, address):
        return any(address == own.ip for own in self.addresses)


class Underlay:
    """Who reaches which endpoint: ``public`` {endpoint: host} from everywhere, ``lan`` {(site, endpoint): host} on one site."""

    def __init__(self, public, lan, site_of):
        self._public, self._lan, self._site_of = public, lan, site_of

    def host_at(self, endpoint, seen_from):
        """The host that answers at an endpoint, or None."""
        return self._lan.get((self._site_of.get(seen_from), endpoint)) or self._public.get(endpoint)


class Simulator:
    def __init__(self, hosts, key_of, underlay):
        self.hosts = {host.name: host for host in hosts}
        self._host_of_key = {key_of(host.name): host for host in hosts}
        self._key_of = key_of
        self._underlay = underlay
        self._usable = {}

    def check_peerings(self):
        """Every peering is mutual, of known keys, not with oneself, and one side can begin it."""
        for host in self.hosts.values():
            assert self._key_of(host.name) not in host.peers, f"{host.name} is its own peer"
            for key, peer in host.peers.items():
                other = self._host_of_key[key]
                assert self._key_of(host.name) in other.peers, (
                    f"{host.name} has {other.name} as peer, but not the other way round"
                )
                if peer.endpoint:
                    assert self._underlay.host_at(peer.endpoint, host.name) == other.name, (
                        f"{host.name} looks for {other.name} at {peer.endpoint}"
                    )

    def _tunnel_is_up(self, one, other):
        """Whether packets can pass from one to the other at any time: it can begin, or the other one holds the path open."""
        pair = (one.name, other.name)
        if pair not in self._usable:
            towards = one.peers[self._key_of(other.name)]
            back = other.peers[self._key_of(one.name)]
            self._usable[pair] = bool(towards.endpoint) or bool(back.endpoint and back.keepalive)
        return self._usable[pair]

    def walk(self, start, source, target, owner_of_subnet=None):
        """The hosts that a packet passes, the first and the last included; an AssertionError says where it is lost.

        ``source`` and ``target`` are addresses; the packet has arrived on the host that owns the target, or, if
        ``owner_of_subnet`` is given, on that host, if it forwards.
        """
        host, passed = self.hosts[start], [start]
        while True:
            if owner_of_subnet is None and host.owns(target):
                return passed
            if host.name == owner_of_subnet:
                assert target.version in host.forwards, f"{host.name} does not forward to its LAN"
                return passed
            if len(passed) > 1:
                assert target.version in host.forwards, f"{host.name} does not forward {source} to {target}"
            assert len(passed) < 5, f"{source} to {target} loops: {passed}"
            peer = host.route(target)
            assert peer, f"{host.name} has no peer for {target}"
            following = self._host_of_key[peer.key]
            assert following.name not in passed, f"{source} to {target} loops: {passed} {following.name}"
            assert self._tunnel_is_up(host, following), f"nobody opens the tunnel from {host.name} to {following.name}"
            back = following.route(source)
            assert back and back.key == self._key_of(host.name), f"{following.name} drops {source} from {host.name}"
            host = following
            passed.append(host.name)
