# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only shows when nodes are looked at together: duplicates, overlaps, missing relays, pairs without a path."""

from __future__ import annotations

import ipaddress
import typing as t

from . import values
from .addresses import is_host_address
from .faults import Faults, named
from .inventory import Network, Node
from .paths import Paths


def check_nodes(network: Network, nodes: t.Sequence[Node], faults: Faults) -> None:
    """Records what is wrong with the nodes that are present, before anything is derived from them."""
    for one, other in _overlaps([(prefix, "") for prefix in network.cidr]):
        faults.add(
            f"network {network.name}", "wireguard_cidr", f"has {one[0]} and {other[0]}, which overlap; keep one of them"
        )
    _check_addresses(network, nodes, faults)
    _check_unique(nodes, faults)
    _check_roles(nodes, faults)
    _check_namespaces(nodes, faults)
    _check_subnets(network, nodes, faults)


def check_paths(paths: Paths, faults: Faults) -> None:
    """Records pairs without a path, and exits that a node cannot use, unless the network allows the former."""
    owner = f"network {paths.network.name}"
    stranded = paths.without_path()
    if stranded and not paths.network.allow_unreachable:
        reason = {
            "auto": "all NAT-ed, and no relay serves them: give one public node wireguard_relay: true",
            "hub": "and a hub has no other path than its relays: give one public node wireguard_relay: true",
            "mesh": "NAT-ed, so that they cannot be peers of each other: "
            "give them endpoints, or use topology auto and a relay",
        }[paths.network.topology]
        faults.add(
            owner,
            "wireguard_topology",
            f"leaves nodes without a path to each other ({named([node.name for node in stranded])}), {reason}; "
            "or set allow_unreachable: true to have them reported only",
        )
    for node in paths.nodes.values():
        if node.exit_via and node.exit_via in paths.nodes and node.exit_via != node.name:
            exit_node = paths.nodes[node.exit_via]
            if exit_node.exit and not paths.is_direct(node, exit_node):
                home = paths.homes.get(node.name)
                remedy = (
                    f"write wireguard_exit_via: {home}, its home relay"
                    if home
                    else "use an exit with which it has a tunnel"
                )
                faults.add(
                    node.name,
                    "wireguard_exit_via",
                    f"is {values.shown(node.exit_via)}, with which it has no tunnel of its own, and "
                    f"WireGuard cannot tell two default routes apart on a relay; {remedy}, and make that an exit",
                )


def check_hosts(networks: t.Sequence[tuple[Network, t.Sequence[Node]]], faults: Faults) -> None:
    """Records two networks that want the same interface, port or key file of one host."""
    told: dict[tuple[str, str, object], str] = {}
    for network, nodes in networks:
        for node in nodes:
            wants = (
                ("wireguard_interface", node.interface),
                ("wireguard_private_key_file", node.private_key_file),
                ("wireguard_listen_port", None if node.absent else node.listen_port),
            )
            for variable, value in wants:
                if value is None:
                    continue
                other = told.setdefault((node.name, variable, value), network.name)
                if other != network.name:
                    faults.add(
                        node.name,
                        variable,
                        f"is {values.shown(value)} for the networks {other} and {network.name}; give each its own, "
                        f"as {variable.removeprefix('wireguard_')}: in wireguard_networks or wireguard_overrides",
                    )


def _check_addresses(network: Network, nodes: t.Sequence[Node], faults: Faults) -> None:
    owner_of: dict[values.Address, str] = {}
    cidr = ", ".join(map(str, network.cidr))
    for node in nodes:
        for address in node.addresses:
            prefix = network.cidr_of(address)
            if prefix is None:
                faults.add(
                    node.name,
                    "wireguard_address",
                    f"is {address}, which is outside of the cidr of {network.name}; write an address in {cidr}",
                )
            elif not is_host_address(address, prefix):
                faults.add(
                    node.name,
                    "wireguard_address",
                    f"is {address}, the network or broadcast address of {prefix}; write another one in it",
                )
            other = owner_of.setdefault(address, node.name)
            if other != node.name:
                faults.add(
                    node.name,
                    "wireguard_address",
                    f"is {address}, which {other} has already; write another one, or leave it out",
                )


def _check_unique(nodes: t.Sequence[Node], faults: Faults) -> None:
    keys: dict[str, str] = {}
    endpoints: dict[tuple[str | None, values.Endpoint], str] = {}
    for node in nodes:
        if node.public_key:
            other = keys.setdefault(node.public_key, node.name)
            if other != node.name:
                faults.add(
                    node.name,
                    "wireguard_public_key",
                    f"is {node.public_key}, the same as of {other}, as after cloning a machine; "
                    "delete the key file on one of them and run again",
                )
        # A LAN endpoint is unique on its LAN only: two sites may well use the same private prefix.
        for variable, where, endpoint in (
            ("wireguard_endpoint", None, node.endpoint),
            ("wireguard_lan_endpoint", node.site, node.lan_endpoint),
        ):
            if endpoint:
                other = endpoints.setdefault((where, endpoint), node.name)
                if other != node.name:
                    faults.add(
                        node.name,
                        variable,
                        f"is {endpoint}, the same as of {other}; "
                        "hosts behind one address need a forwarded port each: write HOST:PORT",
                    )


def _check_roles(nodes: t.Sequence[Node], faults: Faults) -> None:
    unreadable = faults.owners()
    names = {node.name for node in nodes}
    relays = {node.name: node for node in nodes if node.relay}
    exits = {node.name: node for node in nodes if node.exit}
    for node in nodes:
        for variable, wanted in (
            ("wireguard_relay", node.relay),
            ("wireguard_exit", node.exit),
            ("wireguard_behind_nat", node.behind_nat),
            ("wireguard_hole_punching", node.hole_punching),
        ):
            if wanted and not node.endpoint and node.name not in unreadable:
                faults.add(
                    node.name,
                    variable,
                    "is true, but others cannot reach it; write its wireguard_endpoint, such as vpn.example.net:51820",
                )
            elif wanted and node.hole_punching and variable != "wireguard_hole_punching":
                faults.add(
                    node.name,
                    "wireguard_hole_punching",
                    f"is true, so that not everybody can reach it, but so is {variable}; forward the port on its "
                    "router and write wireguard_behind_nat instead",
                )
        if node.kill_switch and not node.exit_via:
            faults.add(
                node.name,
                "wireguard_kill_switch",
                "is true, but the node does not send everything through the tunnel; write its wireguard_exit_via too",
            )
        endpoint = exits[node.exit_via].endpoint if node.exit_via in exits else None
        if node.kill_switch and endpoint and not endpoint.address and not node.kill_switch_allowed:
            faults.add(
                node.name,
                "wireguard_kill_switch",
                f"is true, so the host cannot ask for the address of its exit, {endpoint}, while the tunnel is down; "
                "give the exit an address as wireguard_endpoint, or write the network of a name server in "
                "wireguard_kill_switch_allowed",
            )
        if node.subnet_nat and not node.subnets:
            faults.add(
                node.name,
                "wireguard_subnet_nat",
                "is true, but no LAN is behind the node; write its wireguard_subnets, such as 192.168.1.0/24",
            )
        if node.proxy_arp and not any(subnet.version == 4 for subnet in node.subnets):
            faults.add(
                node.name,
                "wireguard_proxy_arp",
                f"is {', '.join(node.proxy_arp)}, but no IPv4 LAN is behind the node; write its wireguard_subnets, "
                "such as 192.168.1.0/24",
            )
        if node.lan_endpoint and not node.site:
            faults.add(
                node.name,
                "wireguard_lan_endpoint",
                f"is {node.lan_endpoint}, but its site is not known; write wireguard_site too",
            )
        for variable, name, what, able in (
            ("wireguard_via", node.via, "relay", relays),
            ("wireguard_exit_via", node.exit_via, "exit", exits),
        ):
            if name is not None and (name == node.name or name not in able):
                reason = f"which is no {what}" if name in names else "which is no node of the network"
                faults.add(node.name, variable, f"is {values.shown(name)}, {reason}; {_choice(f'{what}s', able, node)}")
        if node.via and node.exit_via in relays and node.exit_via != node.via:
            faults.add(
                node.name,
                "wireguard_via",
                f"is {values.shown(node.via)}, but its exit is the relay {node.exit_via}, and a node has one home "
                f"relay; write wireguard_via: {node.exit_via}, or leave it out",
            )


def _check_namespaces(nodes: t.Sequence[Node], faults: Faults) -> None:
    """Forwarding and name servers are of the host's own namespace, where such a node has no interface."""
    for node in nodes:
        netns = node.settings.get("netns")
        if not netns:
            continue
        for variable, value, instead in (
            ("wireguard_relay", node.relay, "make another node the relay"),
            ("wireguard_exit", node.exit, "make another node the exit"),
            ("wireguard_subnets", node.subnets, "let another node of that LAN route it"),
            (
                "wireguard_kill_switch",
                node.kill_switch,
                "leave it out: what is in the namespace has no other way than the tunnel",
            ),
            (
                "wireguard_dns",
                node.settings.get("dns"),
                f"write 'nameserver ADDRESS' into /etc/netns/{netns}/resolv.conf on the host, and set it to []",
            ),
        ):
            if value:
                faults.add(
                    node.name,
                    "wireguard_netns",
                    f"is {netns}, but {variable} is set, which needs the interface in the host's own namespace; "
                    f"{instead}, or leave wireguard_netns out",
                )


def _choice(what: str, able: t.Iterable[str], but: Node) -> str:
    others = [name for name in able if name != but.name]
    return f"the {what} are {named(others)}" if others else f"there are no {what} in the network"


def _check_subnets(network: Network, nodes: t.Sequence[Node], faults: Faults) -> None:
    owned = [(subnet, node.name) for node in nodes for subnet in node.subnets]
    for (one, first), (other, second) in _overlaps([*owned, *((prefix, "") for prefix in network.cidr)]):
        if first and second:
            faults.add(
                second,
                "wireguard_subnets",
                f"has {other}, which overlaps {one} of {first}; "
                "a packet can go to one of them only: split or remove one",
            )
        elif first or second:
            subnet, name, cidr = (one, first, other) if first else (other, second, one)
            faults.add(
                name,
                "wireguard_subnets",
                f"has {subnet}, which overlaps the network's own cidr {cidr}; use another prefix for one of them",
            )
    _check_endpoints_outside(nodes, owned, faults)
    relays_of_site: dict[str, list[str]] = {}
    for node in nodes:
        if node.relay and node.site:
            relays_of_site.setdefault(node.site, []).append(node.name)
    for node in nodes:
        relay = next((name for name in relays_of_site.get(node.site or "", ()) if name != node.name), None)
        if node.subnets and relay:
            faults.add(
                node.name,
                "wireguard_subnets",
                f"is {', '.join(map(str, node.subnets))}, a LAN of the site {node.site}, where the relay {relay} "
                "stands too: it cannot route its own LAN into the tunnel; move the variable to the relay",
            )


def _check_endpoints_outside(
    nodes: t.Sequence[Node], owned: t.Sequence[tuple[values.Prefix, str]], faults: Faults
) -> None:
    """An endpoint inside a routed subnet would be looked for through the tunnel that needs it."""
    owner_of = dict(owned)
    lengths = {(subnet.version, subnet.prefixlen) for subnet in owner_of}
    for node in nodes:
        address = node.endpoint.address if node.endpoint else None
        for version, length in lengths if address else ():
            subnet = ipaddress.ip_network(f"{address}/{length}", strict=False) if address.version == version else None
            if subnet in owner_of:
                faults.add(
                    owner_of[subnet],
                    "wireguard_subnets",
                    f"has {subnet}, which holds the endpoint {address} of {node.name}: the others would "
                    "look for it inside the tunnel; write a smaller subnet without it",
                )


_Owned = tuple[values.Prefix, str]


def _overlaps(owned: t.Sequence[_Owned]) -> list[tuple[_Owned, _Owned]]:
    """Every prefix that overlaps an earlier and wider one, with that one; in sorted order one look back is enough."""
    found = []
    widest: _Owned | None = None
    for entry in sorted(
        owned, key=lambda entry: (entry[0].version, int(entry[0].network_address), entry[0].prefixlen, entry[1])
    ):
        if widest is not None and widest[0].version == entry[0].version and widest[0].overlaps(entry[0]):
            found.append((widest, entry))
        else:
            widest = entry
    return found
