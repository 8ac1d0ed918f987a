# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NODE.NETWORK: the names of a network's nodes, as its hosts have them in /etc/hosts.

They are the same on every host, so a network's text is rendered once, however many hosts take it.
"""

from __future__ import annotations

import typing as t

from . import values
from .faults import Faults
from .inventory import Network, Node

Members = t.Sequence[tuple[Network, t.Sequence[Node]]]


def are_wanted(nodes: t.Iterable[Node]) -> bool:
    """Whether any host takes the names of these nodes, its network's."""
    return any(node.names and not node.absent and not node.external for node in nodes)


def hosts_text(network: Network, nodes: t.Iterable[Node]) -> str:
    """The lines of hosts(5), one for each address of the nodes that are present, in the order of the nodes."""
    return "".join(
        f"{address} {_full_name(network, node)}\n" for node in nodes if not node.absent for address in node.addresses
    )


def check_names(members: Members, faults: Faults) -> None:
    """Records names that DNS does not know, that are given twice, or that lead an endpoint into its own tunnel."""
    wanted = [(network, nodes) for network, nodes in members if are_wanted(nodes)]
    if not wanted:
        return
    endpoints = {
        endpoint.host.lower().rstrip("."): node.name
        for _network, nodes in members
        for node in nodes
        for endpoint in (node.endpoint, node.lan_endpoint)
        if endpoint
    }
    networks_of: dict[str, str] = {}
    owner_of: dict[str, str] = {}
    for network, nodes in wanted:
        suffix = _suffix(network)
        other = networks_of.setdefault(suffix, network.name)
        if not _is_dns_name(suffix):
            _fault_of_suffix(
                faults, network, f"is not set, and the network's name is no DNS name; write one such as {_EXAMPLE}"
            )
        elif other != network.name:
            _fault_of_suffix(
                faults, network, f"is {suffix}, as of the network {other}; give each its own, or leave it out"
            )
        else:
            for node in nodes:
                if not node.absent:
                    _check_name(network, node, owner_of, endpoints, faults)


_EXAMPLE = "vpn.example"


def _fault_of_suffix(faults: Faults, network: Network, text: str) -> None:
    faults.add(f"network {network.name}", "wireguard_names_suffix", text)


def _check_name(
    network: Network, node: Node, owner_of: dict[str, str], endpoints: t.Mapping[str, str], faults: Faults
) -> None:
    name = _full_name(network, node)
    other = owner_of.setdefault(name, node.name)
    if not _is_dns_name(name):
        faults.add(
            node.name,
            "wireguard_names",
            f"makes it {values.shown(name)}, which is no DNS name; give the host another name in the inventory, of "
            "letters, digits and inner hyphens with dots between, and its address as ansible_host",
        )
    elif other != node.name:
        faults.add(
            node.name,
            "wireguard_names",
            f"makes it {name}, which {other} is already; give one of them another name in the inventory",
        )
    elif name in endpoints:
        faults.add(
            node.name,
            "wireguard_names_suffix",
            f"makes it {name}, the endpoint of {endpoints[name]}: the hosts would look for that inside the tunnel; "
            f"write another suffix, such as {_EXAMPLE}",
        )


def _suffix(network: Network) -> str:
    return network.names_suffix or _plain(network.name)


def _full_name(network: Network, node: Node) -> str:
    return f"{_plain(node.name)}.{_suffix(network)}"


def _plain(name: str) -> str:
    """DNS knows neither capitals nor the underscores that names of hosts often have in inventories."""
    return name.lower().replace("_", "-")


def _is_dns_name(text: str) -> bool:
    try:
        values.dns_name(text)
    except ValueError:
        return False
    return True
