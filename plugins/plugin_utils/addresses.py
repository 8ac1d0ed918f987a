# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses a node has: the explicit ones, the ones it has had, else the lowest that are free."""

from __future__ import annotations

import itertools
import typing as t

from . import values
from .faults import Faults, named
from .inventory import Network, Node
from .registry import Record


def is_host_address(address: values.Address, prefix: values.Prefix) -> bool:
    """Whether a host may have this address of the prefix: not the network and not the broadcast address.

    IPv6 has no broadcast, but its first address is the subnet-router anycast (RFC 4291, 2.6.1), and the last is left
    out likewise. Prefixes of one or two addresses have hosts only (RFC 3021, RFC 6164).
    """
    if prefix.num_addresses <= 2:
        return True
    return address not in (prefix.network_address, prefix.broadcast_address)


def assign_addresses(
    network: Network, nodes: t.Sequence[Node], records: t.Mapping[str, Record], faults: Faults
) -> None:
    """Completes ``node.addresses`` of every node: one address at least in each family of the network's cidr.

    Newcomers get the lowest free addresses in the order of their names; nobody's address ever moves because another
    node came or went. Explicit addresses come first in a node's list, then IPv4 before IPv6 in the order of the cidr.
    An exhausted cidr is recorded in ``faults``. Absent nodes have no addresses any more.
    """
    nodes = [node for node in nodes if not node.absent]
    for node in nodes:
        if node.name in records and not node.from_registry:
            _keep_recorded(network, node, records[node.name])
    taken = {address for node in nodes for address in node.addresses}
    for version, prefixes in _by_family(network).items():
        newcomers = [node for node in nodes if not any(address.version == version for address in node.addresses)]
        free = list(itertools.islice(_free_addresses(prefixes, taken), len(newcomers)))
        for node, address in zip(newcomers, free, strict=False):
            node.addresses = (*node.addresses, address)
        if len(free) < len(newcomers):
            lacking = named([node.name for node in newcomers[len(free) :]])
            faults.add(
                f"network {network.name}",
                "wireguard_cidr",
                f"{', '.join(map(str, prefixes))} has no free address for {lacking}; "
                "use a larger prefix, or add a second one to the list",
            )


def _keep_recorded(network: Network, node: Node, record: Record) -> None:
    """Gives a node back the addresses that it has had, in the families in which it states none."""
    explicit = {address.version for address in node.addresses}
    kept = (address for address in record.addresses if address.version not in explicit and _usable(network, address))
    node.addresses = (*node.addresses, *kept)


def _usable(network: Network, address: values.Address) -> bool:
    prefix = network.cidr_of(address)
    return prefix is not None and is_host_address(address, prefix)


def _by_family(network: Network) -> dict[int, list[values.Prefix]]:
    families: dict[int, list[values.Prefix]] = {}
    for prefix in network.cidr:
        families.setdefault(prefix.version, []).append(prefix)
    return families


def _free_addresses(
    prefixes: t.Sequence[values.Prefix], taken: t.Collection[values.Address]
) -> t.Iterator[values.Address]:
    for prefix in prefixes:
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
        if prefix.num_addresses > 2:
            first, last = first + 1, last - 1
        make = type(prefix.network_address)
        for number in range(first, last + 1):
            address = make(number)
            if address not in taken:
                yield address
