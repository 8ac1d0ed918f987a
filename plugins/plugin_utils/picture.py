# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a plan, in Mermaid's flowchart language (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

import collections
import typing as t

from .inventory import Node
from .plan import NetworkPlan, Plan

# With more nodes than this a picture shows how many there are, not each of them.
_DRAWN = 50

_SHAPES = {"relay": ('{{"', '"}}'), "public": ('["', '"]'), "nat": ('("', '")')}
_LEGEND = "%% hexagon: relay, box: public, rounded: NAT-ed; thick line: to the home relay, thin line: direct tunnel"


def mermaid(plan: Plan) -> str:
    """All networks of a plan as one flowchart: a subgraph for each where there are several, and one for each site."""
    lines = ["flowchart LR", f"  {_LEGEND}"]
    for number, planned in enumerate(plan.networks):
        network = planned.network
        body = (
            _nodes_and_edges(planned, f"n{number}_")
            if len(planned.paths.nodes) <= _DRAWN
            else _summary(planned, f"n{number}_")
        )
        if len(plan.networks) > 1:
            body = [f'subgraph n{number}["{_text(network.name)}"]', *(f"  {line}" for line in body), "end"]
        lines += [f"  {line}" for line in body]
    return "\n".join(lines) + "\n"


def _nodes_and_edges(planned: NetworkPlan, prefix: str) -> list[str]:
    paths = planned.paths
    identifiers = {name: f"{prefix}{number}" for number, name in enumerate(paths.nodes)}
    sites: dict[str, list[str]] = collections.defaultdict(list)
    lines = []
    for name, node in paths.nodes.items():
        (sites[node.site] if node.site else lines).append(_node(identifiers[name], node))
    for number, (site, inside) in enumerate(sorted(sites.items())):
        lines += [f'subgraph {prefix}s{number}["{_text(site)}"]', *(f"  {line}" for line in inside), "end"]
    for name, node in paths.nodes.items():
        for peer in paths.peers_of(node):
            if paths.homes.get(name) == peer.name:
                lines.append(f"{identifiers[name]} === {identifiers[peer.name]}")
            elif name < peer.name and paths.homes.get(peer.name) != name:
                lines.append(f"{identifiers[name]} --- {identifiers[peer.name]}")
    return lines


def _summary(planned: NetworkPlan, prefix: str) -> list[str]:
    """Relays with the number of nodes that each serves, and the numbers of the other kinds."""
    paths = planned.paths
    served = collections.Counter(paths.homes.values())
    relays = {relay.name: f"{prefix}{number}" for number, relay in enumerate(paths.relays[:_DRAWN])}
    lines = []
    for name, identifier in relays.items():
        lines.append(_node(identifier, paths.nodes[name]))
        if served[name]:
            lines.append(f'{identifier}_served("{served[name]} nodes") === {identifier}')
    if len(paths.relays) > _DRAWN:
        lines.append(f'{prefix}relays{{{{"{len(paths.relays) - _DRAWN} more relays"}}}}')
    kinds = collections.Counter(node.kind for node in paths.nodes.values() if node.name not in paths.homes)
    for kind, word in (("public", "public"), ("nat", "NAT-ed")):
        if kinds[kind]:
            opening, closing = _SHAPES[kind]
            lines.append(f"{prefix}{kind}{opening}{kinds[kind]} {word} nodes with direct tunnels{closing}")
    return lines


def _node(identifier: str, node: Node) -> str:
    opening, closing = _SHAPES[node.kind]
    details: list[t.Any] = [node.name, *node.addresses, *node.subnets]
    if node.exit:
        details.append("exit")
    return f"{identifier}{opening}{'<br/>'.join(_text(str(detail)) for detail in details)}{closing}"


def _text(text: str) -> str:
    """A label's text: Mermaid ends one at a quote, and reads # as the start of an entity."""
    return text.replace("#", "#35;").replace('"', "#quot;")
