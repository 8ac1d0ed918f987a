# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as others take it: the slice of one host for the roles, and the tree of files for people."""

from __future__ import annotations

import json
import types
import typing as t

from ..module_utils import _names, _nftables, _secrets, _wg_quick, _wish
from ..module_utils._host import DOTS_AND_SLASHES
from ..module_utils._keys import key_to_come
from .inventory import Node
from .picture import mermaid
from .plan import NetworkPlan, Plan
from .registry import plain_record, record_of
from .values import is_address

_SYSCTL_OF_FAMILY = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def interface(planned: NetworkPlan, node: Node) -> dict[str, t.Any]:
    """What wg_interface is to make of a node: its options by name; and of its network and its keys what others ask.

    ``digest`` stands for all of it: a host that was as it says is as planned, see wg_info.
    """
    peers = planned.derivation.peers(node)
    part = {
        "network": planned.network.name,
        "interface": node.interface,
        "private_key_file": node.private_key_file,
        "pinned": node.pinned,
        "preshared_keys": planned.network.preshared_keys,
        "addresses": planned.derivation.addresses(node),
        "listen_port": node.listen_port,
        **_settings(node),
        "peers": [peer for peer in peers if peer["public_key"]],
        # What the controller does not know, a host may know still: a lost registry must not cost it a peer.
        "keep_peers": [peer["name"] for peer in peers if not peer["public_key"]],
        # They change only where both ends are there: see the role preshared.
        "keep_preshared_keys": True,
    }
    return {**part, "digest": _names.digest(json.dumps(part).encode())}


def _settings(node: Node) -> dict[str, t.Any]:
    """The node's own settings as wg_interface takes them: name servers and search domains apart."""
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in node.settings.items()}
    domains = [word for word in settings["dns"] if not is_address(word)]
    return {**settings, "dns": [word for word in settings["dns"] if word not in domains], "dns_search": domains}


def _wg_quick_text(planned: NetworkPlan, node: Node) -> str:
    """The node's file as the host will have it, but for the private key, and for keys in hooks."""
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in _settings(node).items()}
    netns = settings.pop("netns")
    place = f", in the network namespace {netns}" if netns else ""
    peers = [
        _wg_quick.PeerSection(
            public_key=peer["public_key"] or key_to_come(peer["name"]),
            name=peer["name"],
            endpoint=peer["endpoint"],
            allowed_ips=tuple(peer["allowed_ips"]),
            persistent_keepalive=peer["persistent_keepalive"],
        )
        for peer in planned.derivation.peers(node)
    ]
    config = _wg_quick.Config(
        private_key=_secrets.UNCHANGED_SECRET,
        addresses=tuple(planned.derivation.addresses(node)),
        listen_port=node.listen_port,
        peers=tuple(peers),
        **settings,
    )
    return _secrets.masked(_wg_quick.render(config, header=f"# {node.name} in {planned.network.name}{place}\n"))


def sysctl(planned: NetworkPlan, node: Node) -> dict[str, str]:
    """{kernel parameter: value} that a node needs for what it forwards; empty for everyone else."""
    links = [link.translate(DOTS_AND_SLASHES) for link in node.proxy_arp]
    return {
        **{_SYSCTL_OF_FAMILY[family]: "1" for family in planned.derivation.forwarded_families(node)},
        **{f"net.ipv4.conf.{link}.proxy_arp": "1" for link in links},
    }


def firewalls(parts: t.Sequence[tuple[NetworkPlan, Node]]) -> list[dict[str, t.Any]]:
    """`firewall` of a host in every network that it is in."""
    interfaces = [node.interface for _planned, node in parts]
    return [firewall(planned, node, interfaces) for planned, node in parts]


def firewall(planned: NetworkPlan, node: Node, interfaces: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """What wg_firewall is to allow: the listen port where others reach the node first, and what it forwards.

    ``interfaces`` are all of the host's in any network: no kill switch is to keep packets from the others.
    """
    wish: dict[str, t.Any] = {
        "name": node.interface,
        "listen_port": None,
        "forward": [],
        "masquerade": [],
        "kill_switch": None,
        "ping": False,
    }
    if node.endpoint or node.lan_endpoint:
        wish["listen_port"] = node.listen_port
    if planned.derivation.relays_for_others(node):
        wish["forward"].append({"from": node.interface, "to": node.interface})
    for subnet in map(str, node.subnets):
        wish["forward"] += [{"from": node.interface, "destination": subnet}, {"to": node.interface, "source": subnet}]
        if node.subnet_nat:
            wish["masquerade"].append({"from": node.interface, "destination": subnet})
    if node.exit:
        wish["forward"] += [{"from": node.interface, "source": str(prefix)} for prefix in planned.network.cidr]
        wish["masquerade"] += [{"source": str(prefix), "to": None} for prefix in planned.network.cidr]
    # Whoever is asked first, or forwards, is asked whether it is there. The others are left in peace.
    wish["ping"] = bool(wish["listen_port"] or wish["forward"])
    if node.kill_switch:
        wish["kill_switch"] = {
            "fwmark": node.settings["fwmark"],
            "interfaces": [interface for interface in interfaces if interface != node.interface],
            "allowed": list(map(str, node.kill_switch_allowed)),
        }
    return wish


def names_digests(names: t.Mapping[str, str]) -> dict[str, str]:
    """{network: what tells whether a host has these names}, of ``Plan.names()``."""
    return {network: _names.digest(text.encode()) for network, text in names.items()}


def host_slice(
    parts: t.Sequence[tuple[NetworkPlan, Node]], names: t.Mapping[str, str] = types.MappingProxyType({})
) -> dict[str, t.Any]:
    """All that the roles need to know of one host, in every network that it is in; ``names`` are `names_digests`.

    ``interfaces`` are options of wg_interface, ``sysctl`` [{interface, name, value}], ``firewall`` options of
    wg_firewall, ``names`` [{network, interface, digest}] with no digest where it is to have none, ``ping``
    [{network, interface, targets}], and ``leaving`` [{network, interface, private_key_file, netns}] of the networks in
    which it is absent.
    """
    present = [(planned, node) for planned, node in parts if not node.absent]
    return {
        "interfaces": [interface(planned, node) for planned, node in present],
        "sysctl": [
            {"interface": node.interface, "name": name, "value": value}
            for planned, node in present
            for name, value in sysctl(planned, node).items()
        ],
        "firewall": firewalls(present),
        "names": [
            {
                "interface": node.interface,
                "network": planned.network.name,
                "digest": names.get(planned.network.name) if node.names else None,
            }
            for planned, node in present
        ],
        "ping": [
            {"interface": node.interface, "network": planned.network.name, "targets": planned.derivation.pings(node)}
            for planned, node in present
        ],
        "leaving": [
            {
                "network": planned.network.name,
                "interface": node.interface,
                "private_key_file": node.private_key_file,
                "netns": node.settings["netns"],
            }
            for planned, node in parts
            if node.absent
        ],
    }


def plan_files(plan: Plan) -> dict[str, str]:
    """{relative path: text} of the plan's tree: for a host INTERFACE.conf, sysctl.conf and firewall.nft, NETWORK.hosts,
    and topology.*
    """
    files = {f"{network}.hosts": text for network, text in plan.names().items()}
    for host, parts in plan.hosts().items():
        parts = [(planned, node) for planned, node in parts if not node.absent]
        for planned, node in parts:
            files[f"{host}/{node.interface}.conf"] = _wg_quick_text(planned, node)
        sysctls = {name: value for planned, node in parts for name, value in sysctl(planned, node).items()}
        if sysctls:
            files[f"{host}/sysctl.conf"] = "".join(f"{name} = {value}\n" for name, value in sorted(sysctls.items()))
        wishes = [_wish.wish(**wish) for wish in firewalls(parts)]
        rules = [_nftables.render(wish) for wish in wishes if not wish.is_empty]
        if rules:
            files[f"{host}/firewall.nft"] = "\n".join(rules)
    files["topology.json"] = json.dumps(topology(plan), indent=2, sort_keys=True) + "\n"
    files["topology.mmd"] = mermaid(plan)
    return files


def topology(plan: Plan) -> dict[str, t.Any]:
    """The plan as data: of each network its nodes, and of each node the peers that come after it by name."""
    return {
        "networks": {
            planned.network.name: {
                "cidr": [str(prefix) for prefix in planned.network.cidr],
                "topology": planned.network.topology,
                "nodes": {name: _node(planned, node) for name, node in planned.paths.nodes.items()},
            }
            for planned in plan.networks
        }
    }


def _node(planned: NetworkPlan, node: Node) -> dict[str, t.Any]:
    return {
        **plain_record(record_of(node, planned.paths.homes.get(node.name))),
        "tunnels": [peer.name for peer in planned.paths.peers_of(node) if peer.name > node.name],
    }
