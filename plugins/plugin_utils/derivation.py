# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the paths of a network to what each node needs: peers with AllowedIPs, forwarding, firewall, pings."""

from __future__ import annotations

import typing as t

from . import values
from .inventory import Node
from .paths import Paths

EVERYTHING = ("0.0.0.0/0", "::/0")

# A node pings all others of a network up to this size, and this many of them, evenly spread, in a larger one:
# 10,000 nodes that ping one another would be 100 million pings.
PING_ALL = 256
PING_SAMPLE = 32


class Derivation:
    """What each node of one network needs; every question costs about as much as its answer is long."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._addresses = {
            name: tuple(_host_prefix(address) for address in node.addresses) for name, node in paths.nodes.items()
        }
        self._own = {name: (*self._addresses[name], *map(str, node.subnets)) for name, node in paths.nodes.items()}
        self._cidr = tuple(str(prefix) for prefix in paths.network.cidr)
        self._owners = [node for node in paths.nodes.values() if node.subnets]
        self._order = list(paths.nodes.values())
        self._position = {node.name: position for position, node in enumerate(self._order)}
        self._shared: dict[tuple, dict[str, t.Any]] = {}

    def addresses(self, node: Node) -> list[str]:
        """The addresses of the interface: relays carry the prefix length of the cidr, all others /32 or /128."""
        if not node.relay:
            return list(self._addresses[node.name])
        return [f"{address}/{self.paths.network.cidr_of(address).prefixlen}" for address in node.addresses]

    def peers(self, node: Node) -> list[dict[str, t.Any]]:
        """The peers of a node, sorted by name: name, public_key, endpoint, allowed_ips and persistent_keepalive.

        Equal entries are one object, so that a mesh of 1000 does not hold a million of them.
        """
        peers = self.paths.peers_of(node)
        return [self._peer(node, peer, peers) for peer in peers]

    def _peer(self, node: Node, peer: Node, peers: t.Sequence[Node]) -> dict[str, t.Any]:
        endpoint = self.paths.endpoint_from(node, peer)
        keepalive = node.keepalive if self._holds_path_open(node, peer) else 0
        allowed = self._special_allowed_ips(node, peer, peers)
        key = (peer.name, endpoint, keepalive) if allowed is None else None
        if key in self._shared:
            return self._shared[key]
        entry = {
            "name": peer.name,
            "public_key": peer.public_key,
            "endpoint": str(endpoint) if endpoint else None,
            "allowed_ips": list(self._own[peer.name] if allowed is None else allowed),
            "persistent_keepalive": keepalive,
        }
        if key is not None:
            self._shared[key] = entry
        return entry

    def _holds_path_open(self, node: Node, peer: Node) -> bool:
        """Whether ``node`` sends keepalives: it is NAT-ed towards this peer, and knows where to send them."""
        towards = self.paths.endpoint_from(node, peer)
        back = self.paths.endpoint_from(peer, node)
        if towards is None:
            return False
        return back is None or ((node.behind_nat or node.hole_punching) and back == node.endpoint)

    def _special_allowed_ips(self, node: Node, peer: Node, peers: t.Sequence[Node]) -> tuple[str, ...] | None:
        """AllowedIPs beyond the peer's own addresses and subnets; None where there is nothing beyond.

        A node does not route the subnets of its own site into the tunnel: that is the LAN it stands in.
        """
        own = self._seen_from(node, peer)
        beyond: tuple[str, ...] = ()
        if self.paths.homes.get(node.name) == peer.name:
            direct = {other.name for other in peers}
            beyond = (
                *self._cidr,
                *(
                    str(subnet)
                    for owner in self._owners
                    if owner.name not in direct and owner is not node and not _same_site(node, owner)
                    for subnet in owner.subnets
                ),
            )
        elif node.relay and peer.relay:
            beyond = tuple(prefix for served in self.paths.served_by(peer) for prefix in self._seen_from(node, served))
        if node.exit_via == peer.name:
            beyond = (*beyond, *EVERYTHING)
        if not beyond and own is self._own[peer.name]:
            return None
        return tuple(dict.fromkeys((*own, *beyond)))

    def _seen_from(self, node: Node, other: Node) -> tuple[str, ...]:
        return self._addresses[other.name] if other.subnets and _same_site(node, other) else self._own[other.name]

    def relays_for_others(self, node: Node) -> bool:
        """Whether packets may come in from one peer of the network and go out to another."""
        return node.relay and self.paths.network.topology != "mesh"

    def forwarded_families(self, node: Node) -> list[int]:
        """The IP versions that a node forwards: inside the network, to its LANs, or to its uplink; usually none."""
        prefixes: list[values.Prefix] = list(node.subnets)
        if node.exit or self.relays_for_others(node):
            prefixes += self.paths.network.cidr
        if self.relays_for_others(node):
            prefixes += [subnet for owner in self._owners for subnet in owner.subnets]
        return sorted({prefix.version for prefix in prefixes})

    def pings(self, node: Node) -> list[dict[str, t.Any]]:
        """What a node pings to verify the network: name, address and hops (0 for a direct tunnel) of the others."""
        count = len(self._order)
        if count - 1 <= PING_ALL:
            others = [other for other in self._order if other is not node]
        else:
            start = self._position[node.name] + 1
            chosen = sorted((start + step * (count - 1) // PING_SAMPLE) % count for step in range(PING_SAMPLE))
            others = [self._order[position] for position in chosen]
        return [
            {"name": other.name, "address": str(address), "hops": hops}
            for other in others
            if other.public_key and not other.external and (hops := self.paths.hops(node, other)) is not None
            for address in other.addresses
        ]


def _host_prefix(address: values.Address) -> str:
    return f"{address}/{address.max_prefixlen}"


def _same_site(one: Node, other: Node) -> bool:
    return one.site is not None and one.site == other.site
