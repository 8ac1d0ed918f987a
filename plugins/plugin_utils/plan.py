# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner: inventory, registry and the keys that this run has seen go in; plan and new registry come out.

Pure: no Ansible, no I/O, no clock, no randomness. The same input gives the same plan, byte for byte.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .addresses import assign_addresses
from .checks import check_hosts, check_nodes, check_paths
from .derivation import Derivation
from .faults import Faults, named
from .inventory import Inventory, Network, Node, read_inventory
from .names import are_wanted, check_names, hosts_text
from .paths import Paths
from .registry import Record, Registry, record_of

# Fewer lost at once than this share of a network, or only one node, is somebody tidying up; more is an accident.
_VANISHING_SHARE = 0.1

Keys = t.Mapping[str, t.Mapping[str, str]]
"""{host: {path of the private key file: public key}}, of the hosts that this run has reached."""

Members = list[tuple[Network, list[Node]]]


class Rekeyed(t.NamedTuple):
    """A node that came with another key than the registry knew, as after a reinstallation or a rotation."""

    network: str
    node: str
    previous: str
    public_key: str


class NetworkPlan(t.NamedTuple):
    """One network, planned: ``nodes`` are all of them, the absent ones included."""

    network: Network
    nodes: list[Node]
    derivation: Derivation

    @property
    def paths(self) -> Paths:
        """Who peers with whom."""
        return self.derivation.paths


@dataclasses.dataclass
class Plan:
    """All networks, the registry as it is to be written, and what a person wants to be told.

    ``keyless`` are nodes left out for want of a public key, ``departed`` those that left the registry, ``unreachable``
    those without a path to some other node; each as {network: sorted names}.
    ``left_out`` is {host: why what it said of its key is not believed}; it is planned as if it had said nothing.
    """

    networks: list[NetworkPlan]
    registry: Registry
    rekeyed: list[Rekeyed]
    keyless: dict[str, list[str]]
    departed: dict[str, list[str]]
    unreachable: dict[str, list[str]]
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)

    def hosts(self) -> dict[str, list[tuple[NetworkPlan, Node]]]:
        """{host: what it is in each of its networks}, of the hosts that this inventory shows, sorted by name."""
        found: dict[str, list[tuple[NetworkPlan, Node]]] = {}
        for planned in self.networks:
            for node in planned.nodes:
                if not node.from_registry:
                    found.setdefault(node.name, []).append((planned, node))
        return dict(sorted(found.items()))

    def names(self) -> dict[str, str]:
        """{network: the names of its nodes as hosts(5) has them}, of the networks that tell their hosts names."""
        return {
            planned.network.name: hosts_text(planned.network, planned.nodes)
            for planned in self.networks
            if are_wanted(planned.nodes)
        }

    def externals(self) -> list[str]:
        """The names of the nodes that are not managed, sorted."""
        return sorted({node.name for planned in self.networks for node in planned.nodes if node.external})

    def rollout(self) -> list[str]:
        """The names of the hosts that we manage, in the order of a rollout: relays last, before them who leaves."""
        late = {
            host: (any(node.relay for _planned, node in parts), any(node.absent for _planned, node in parts))
            for host, parts in self.hosts().items()
            if not any(node.external for _planned, node in parts)
        }
        return sorted(late, key=lambda host: (late[host], host))

    def leaving(self) -> list[str]:
        """The names of the hosts that we manage and that are absent in some network, sorted."""
        externals = set(self.externals())
        return [
            host
            for host, parts in self.hosts().items()
            if host not in externals and any(node.absent for _planned, node in parts)
        ]

    def revoking(self) -> list[str]:
        """The relays that we manage, in networks that lose a key, since a node departed or came with another one."""
        losing = {*self.departed, *(change.network for change in self.rekeyed)}
        return sorted(
            {
                node.name
                for planned in self.networks
                if planned.network.name in losing
                for node in planned.paths.relays
                if not (node.external or node.from_registry)
            }
        )


def make_plan(
    inventory: Inventory, registry: Registry, keys: Keys, *, partial: bool = False, prune: bool = False
) -> Plan:
    """Plans every network of the inventory.

    ``partial`` says that absence from the inventory means nothing (job slices, pull mode); ``prune`` that a network may
    shrink by any number of nodes. Raises :class:`faults.PlanRefusedError` with every fault at once.
    """
    faults = Faults()
    members = read_inventory(inventory, faults, partial=partial)
    departed = _departed(members, registry, partial, prune, faults)
    left_out: dict[str, str] = {}
    for network, nodes in members:
        left_out.update(_disputed_keys(nodes, registry.get(network.name, {}), keys, partial))
    keys = {host: found for host, found in keys.items() if host not in left_out}
    rekeyed = [change for network, nodes in members for change in _learn_keys(network, nodes, registry, keys)]
    networks = [
        _plan_network(network, nodes, registry.get(network.name, {}), partial, faults) for network, nodes in members
    ]
    check_hosts(members, faults)
    check_names([(planned.network, planned.nodes) for planned in networks], faults)
    faults.stop_if_any()
    kept = {name: records for name, records in registry.items() if partial}
    return Plan(
        networks=networks,
        registry={**kept, **{planned.network.name: _records(planned) for planned in networks}},
        rekeyed=rekeyed,
        keyless=_names(
            (planned, [node for node in planned.paths.nodes.values() if not node.public_key]) for planned in networks
        ),
        departed=departed,
        unreachable=_names((planned, planned.paths.without_path()) for planned in networks),
        left_out=left_out,
    )


def not_told(plan: Plan, registry: Registry, reached: t.Collection[str]) -> dict[str, list[str]]:
    """{host beyond ``reached``: those of its peers whose key is new or changed against ``registry``}.

    What an address that moved or an endpoint that changed would change on those hosts is not told.
    """
    waiting: dict[str, set[str]] = {}
    for planned in plan.networks:
        records = registry.get(planned.network.name, {})
        nodes = planned.paths.nodes.values()
        new = [node for node in nodes if node.public_key and node.public_key != _recorded_key(records, node)]
        if not new:
            continue
        # A relay knows the nodes at home elsewhere by their addresses only, all others know their peers by name.
        mark_of = {mark: node.name for node in new for mark in (node.name, *_host_prefixes(node))}
        for node in nodes:
            if node.name in reached or node.external or node.from_registry or not node.public_key:
                continue
            marks = (mark for peer in planned.derivation.peers(node) for mark in (peer["name"], *peer["allowed_ips"]))
            if found := {mark_of[mark] for mark in marks if mark in mark_of}:
                waiting.setdefault(node.name, set()).update(found)
    return {host: sorted(names) for host, names in sorted(waiting.items())}


def _recorded_key(records: t.Mapping[str, Record], node: Node) -> str | None:
    return records[node.name].public_key if node.name in records else None


def _host_prefixes(node: Node) -> list[str]:
    return [f"{address}/{address.max_prefixlen}" for address in node.addresses]


def _plan_network(
    network: Network, nodes: list[Node], records: t.Mapping[str, Record], partial: bool, faults: Faults
) -> NetworkPlan:
    if partial:
        shown = {node.name for node in nodes}
        nodes = sorted(
            (*nodes, *(record.node(name) for name, record in records.items() if name not in shown)),
            key=lambda node: node.name,
        )
    assign_addresses(network, nodes, records, faults)
    present = [node for node in nodes if not node.absent]
    check_nodes(network, present, faults)
    paths = Paths(network, present, records)
    # What a broken value makes of a path is no fault of its own.
    if not faults.owners():
        check_paths(paths, faults)
    return NetworkPlan(network, nodes, Derivation(paths))


def _disputed_keys(
    nodes: list[Node], records: t.Mapping[str, Record], keys: Keys, partial: bool
) -> t.Iterator[tuple[str, str]]:
    """(host, reason) of each host that says it has a key that is another node's.

    A key is the node's for which the inventory states it, else the node's whose key it is in the registry, else that of
    the one host that says it has it. So no host can take another's name in the network, or stop the plan.
    """
    present = {node.name for node in nodes}
    owners = {
        record.public_key: name
        for name, record in records.items()
        if record.public_key and (partial or name in present)
    }
    owners |= {node.public_key: node.name for node in nodes if node.public_key}
    claims: dict[str, list[str]] = {}
    found = {node.name: keys.get(node.name, {}).get(node.private_key_file) for node in nodes}
    for name, key in found.items():
        if key:
            claims.setdefault(key, []).append(name)
    for node in nodes:
        key = found[node.name]
        if not key:
            continue
        others = [owners[key]] if key in owners else claims[key]
        other = next((name for name in others if name != node.name), None)
        if node.public_key and node.public_key != key:
            yield (
                node.name,
                f"{node.name} is left out of this run: wireguard_public_key is {node.public_key}, but the host has the "
                f"key {key} in {node.private_key_file}; put the right key file back, or correct or remove the variable",
            )
        elif other and owners.get(key) != node.name:
            yield (
                node.name,
                f"{node.name} is left out of this run: it has the key {key} in {node.private_key_file}, which is "
                f"{other}'s, as after cloning a machine; delete the key file on {node.name} and run again",
            )


def _learn_keys(network: Network, nodes: list[Node], registry: Registry, keys: Keys) -> t.Iterator[Rekeyed]:
    """Gives each node its public key: as the host says, else as the inventory, else as the registry."""
    records = registry.get(network.name, {})
    for node in nodes:
        recorded = _recorded_key(records, node)
        found = keys.get(node.name, {}).get(node.private_key_file)
        node.public_key = found or node.public_key or recorded
        if recorded and node.public_key != recorded and not node.absent:
            yield Rekeyed(network.name, node.name, recorded, node.public_key)


def _departed(members: Members, registry: Registry, partial: bool, prune: bool, faults: Faults) -> dict[str, list[str]]:
    """{network: nodes that leave it}; a vanishing that looks like an accident is a fault."""
    if partial:
        return {}
    nodes_of = {network.name: {node.name: node for node in nodes} for network, nodes in members}
    departed = {}
    for network, records in registry.items():
        present = nodes_of.get(network, {})
        vanished = sorted(name for name in records if name not in present)
        removed = [name for name in records if name in present and present[name].absent]
        if len(vanished) > 1 and len(vanished) > _VANISHING_SHARE * len(records) and not prune:
            faults.add(
                f"network {network}",
                "inventory",
                f"no longer has {len(vanished)} of the {len(records)} nodes that the registry knows "
                f"({named(vanished)}); correct it, or write wireguard_prune: true to remove them from the network, or "
                "wireguard_partial_inventory: true if this is a part of the inventory only",
            )
        if vanished or removed:
            departed[network] = sorted((*vanished, *removed))
    return departed


def _records(planned: NetworkPlan) -> dict[str, Record]:
    return {name: record_of(node, planned.paths.homes.get(name)) for name, node in planned.paths.nodes.items()}


def _names(found: t.Iterable[tuple[NetworkPlan, list[Node]]]) -> dict[str, list[str]]:
    return {planned.network.name: [node.name for node in nodes] for planned, nodes in found if nodes}
