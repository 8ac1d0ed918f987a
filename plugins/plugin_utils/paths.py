# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who peers with whom, and which relay serves whom: the paths of a network.

The rule of a pair is :meth:`Paths.is_direct`; everything else here only avoids asking it for pairs that cannot be.
"""

from __future__ import annotations

import collections
import hashlib
import typing as t

from . import values
from .inventory import Network, Node
from .registry import Record


class Paths:
    """The paths between the nodes of one network, all of them present.

    ``homes`` is {node: its home relay}, for exactly the nodes that need relaying and have a relay to do it.
    """

    def __init__(self, network: Network, nodes: t.Sequence[Node], records: t.Mapping[str, Record]) -> None:
        """``nodes`` are sorted by name; ``records`` is what the registry has of the network: {node: record}."""
        self.network = network
        self.nodes = {node.name: node for node in nodes}
        self.relays = [node for node in nodes if node.relay]
        self._relays_by_site: dict[str | None, list[str]] = {}
        for relay in self.relays:
            self._relays_by_site.setdefault(relay.site, []).append(relay.name)
        self._publics = [node for node in nodes if node.kind == "public"]
        self._nats = [node for node in nodes if node.kind == "nat"]
        self._nats_by_site: dict[str | None, list[Node]] = {}
        for node in self._nats:
            self._nats_by_site.setdefault(node.site, []).append(node)
        self._lan_endpoints = {
            site: sum(1 for node in mates if node.lan_endpoint) for site, mates in self._nats_by_site.items()
        }
        self._punching = [node for node in self._nats if node.hole_punching]
        self._punching_at = collections.Counter((node.site, bool(node.lan_endpoint)) for node in self._punching)
        self.relayed = {node.name: node for node in nodes if self._needs_relay(node)}
        self.homes = self._assign_homes(records) if self.relays else {}
        self._served: dict[str, list[Node]] = {relay.name: [] for relay in self.relays}
        for name, home in self.homes.items():
            self._served[home].append(self.nodes[name])
        self._with_every_relay = [node for node in nodes if node.name not in self.relayed]

    def served_by(self, relay: Node) -> list[Node]:
        """The nodes whose home relay this is, sorted by name."""
        return self._served[relay.name]

    def _needs_relay(self, node: Node) -> bool:
        """Whether some other node can have no direct tunnel to this one, so that a relay must serve it."""
        if node.relay or self.network.topology == "mesh":
            return False
        return self.network.topology == "hub" or self._is_cut_off(node)

    def _is_cut_off(self, node: Node) -> bool:
        """Whether this node and some other one cannot reach each other first: both NAT-ed, not both punching holes, and
        on no common LAN."""
        if node.kind != "nat":
            return False
        reachable = 0
        if node.site and node.lan_endpoint:
            reachable = len(self._nats_by_site[node.site]) - 1
        elif node.site:
            reachable = self._lan_endpoints[node.site]
        if node.hole_punching:
            mates = self._punching_at[node.site, True] + (
                self._punching_at[node.site, False] - 1 if node.lan_endpoint else 0
            )
            reachable += len(self._punching) - 1 - (mates if node.site else 0)
        return len(self._nats) - 1 > reachable

    def endpoint_from(self, node: Node, peer: Node) -> values.Endpoint | None:
        """Where ``node`` reaches ``peer`` first: at its LAN endpoint in one site, else at its endpoint, if any.

        The router of a peer that punches holes lets in only whom that peer has sent to, so whose endpoint it knows.
        """
        if peer.lan_endpoint and node.site and node.site == peer.site:
            return peer.lan_endpoint
        if peer.hole_punching and not node.endpoint:
            return None
        return peer.endpoint

    def is_direct(self, one: Node, other: Node) -> bool:
        """Whether the two have a tunnel of their own."""
        if one.relay and other.relay:
            return True
        for relay, node in ((one, other), (other, one)):
            if relay.relay and node.name in self.relayed:
                return self.homes.get(node.name) == relay.name
        if self.network.topology == "hub":
            return one.relay or other.relay
        return self.endpoint_from(one, other) is not None or self.endpoint_from(other, one) is not None

    def peers_of(self, node: Node) -> list[Node]:
        """The nodes with which ``node`` has a direct tunnel, sorted by name."""
        found = (other for other in self._candidates(node) if other is not node and self.is_direct(node, other))
        return sorted(found, key=lambda other: other.name)

    def _candidates(self, node: Node) -> t.Iterable[Node]:
        """A set that holds all direct peers, and few others, so that 10,000 leaves do not look at one another."""
        if self.network.topology == "mesh" or (self.network.topology == "auto" and node.kind == "public"):
            return self.nodes.values()
        if node.relay:
            return (*self._with_every_relay, *self._served[node.name])
        home = [self.nodes[self.homes[node.name]]] if node.name in self.homes else []
        if self.network.topology == "hub":
            return home
        mates = self._nats_by_site[node.site] if node.site else []
        if node.hole_punching:
            mates = [*mates, *(other for other in self._punching if not node.site or other.site != node.site)]
        return (*self._publics, *(home if node.name in self.relayed else self.relays), *mates)

    def hops(self, source: Node, target: Node) -> int | None:
        """How many relays lie between the two: 0 for a direct tunnel, None for no path."""
        if self.is_direct(source, target):
            return 0
        ways = {node.name if node.relay else self.homes.get(node.name) for node in (source, target)}
        return None if None in ways else len(ways - {source.name, target.name})

    def without_path(self) -> list[Node]:
        """The nodes that cannot reach some other node of the network, sorted by name."""
        if self.network.topology == "mesh":
            return [node for node in self._nats if self._is_cut_off(node)]
        if self.relays or len(self.nodes) == 1:
            return []
        return list(self.relayed.values())

    def _assign_homes(self, records: t.Mapping[str, Record]) -> dict[str, str]:
        """{node: home relay}: the one that is stated, else the one it has had, else spread evenly.

        A newcomer takes the first relay in its own order of preference (rendezvous hashing: Thaler and Ravishankar,
        1998) that has not its fair share yet. Nobody moves because a node came or went. A relay that the registry does
        not know gets its fair share from the fullest relays, and nobody else moves.
        """
        names = [relay.name for relay in self.relays]
        homes: dict[str, str] = {}
        movable: set[str] = set()
        newcomers: dict[str, list[str]] = {}
        for name, node in self.relayed.items():
            eligible = self._eligible_homes(node, names)
            recorded = records[name].relay if name in records else None
            if len(eligible) == 1:
                homes[name] = eligible[0]
            elif recorded in eligible:
                homes[name] = recorded
                movable.add(name)
            else:
                newcomers[name] = eligible
        load = collections.Counter(homes.values())
        fair = len(self.relayed) // len(names)
        for name, eligible in newcomers.items():
            enough = max(fair, min(load[relay] for relay in eligible) + 1)
            homes[name] = max(
                (relay for relay in eligible if load[relay] < enough), key=lambda relay: _preference(name, relay)
            )
            load[homes[name]] += 1
        known = {name for name, record in records.items() if record.kind == "relay"}
        for relay in names:
            if relay not in known and movable:
                self._give_share(relay, names, homes, load, movable)
        return dict(sorted(homes.items()))

    def _eligible_homes(self, node: Node, relays: list[str]) -> list[str]:
        """The relays that may serve a node: the stated one, the one that is its exit, those of its site, or all."""
        for stated in (node.via, node.exit_via):
            if stated in self.nodes and self.nodes[stated].relay:
                return [stated]
        return (self._relays_by_site.get(node.site) if node.site else None) or relays

    def _give_share(
        self, relay: str, relays: list[str], homes: dict[str, str], load: collections.Counter, movable: set[str]
    ) -> None:
        """Moves nodes to a new relay until it serves its fair share, each from the relay that is fullest then."""
        fair = len(self.relayed) // len(relays)
        by_home: dict[str, list[str]] = {}
        for name in sorted(movable, key=lambda name: _preference(name, relay)):
            if relay in self._eligible_homes(self.nodes[name], relays):
                by_home.setdefault(homes[name], []).append(name)
        while load[relay] < fair:
            donor = max((home for home in by_home if by_home[home]), key=lambda home: (load[home], home), default=None)
            if donor is None or load[donor] <= fair:
                return
            moved = by_home[donor].pop()
            movable.discard(moved)
            homes[moved] = relay
            load[donor] -= 1
            load[relay] += 1


def _preference(node: str, relay: str) -> bytes:
    """How much a node prefers a relay: a number that depends on the two names alone, on every machine alike."""
    return hashlib.blake2b(f"{node}\0{relay}".encode(), digest_size=8).digest()
