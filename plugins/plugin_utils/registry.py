# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry: what a network must know of every node, whether or not a run reaches it. Text in, text out.

It holds nothing secret and is meant for version control. Reading and writing the file itself, under a lock, is the
shell's part (:mod:`registry_file`).
"""

from __future__ import annotations

import typing as t

import yaml

from . import values
from .inventory import Node

VERSION = 1
_HEADER = """\
# Written by wirefleet.wireguard: what its WireGuard networks know of every node. Nothing in it is secret.
# Keep it in version control; it is what makes --limit, serial and unreachable hosts safe. Do not edit it by hand.
"""

# libyaml where PyYAML has it: a registry of 10,000 nodes is read in a second instead of twelve.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_KINDS = ("relay", "public", "nat")


class Record(t.NamedTuple):
    """A node as the registry has it; ``relay`` is its home relay, the other fields are those of a node."""

    kind: str
    addresses: tuple[values.Address, ...]
    public_key: str | None = None
    endpoint: values.Endpoint | None = None
    lan_endpoint: values.Endpoint | None = None
    site: str | None = None
    subnets: tuple[values.Prefix, ...] = ()
    relay: str | None = None
    via: str | None = None
    exit: bool = False
    exit_via: str | None = None

    def node(self, name: str) -> Node:
        """The node of a name that this inventory does not show: known to all, managed elsewhere."""
        return Node(
            name=name,
            addresses=self.addresses,
            endpoint=self.endpoint,
            lan_endpoint=self.lan_endpoint,
            relay=self.kind == "relay",
            hole_punching=self.kind == "nat" and self.endpoint is not None,
            via=self.via,
            site=self.site,
            subnets=self.subnets,
            exit=self.exit,
            exit_via=self.exit_via,
            public_key=self.public_key,
            from_registry=True,
        )


Registry = dict[str, dict[str, Record]]
"""{network: {node: record}}"""


def _kind(value: object) -> str:
    if value not in _KINDS:
        raise ValueError(f"is no kind of node; write {', '.join(_KINDS)}")
    return str(value)


_READERS: dict[str, t.Callable[[object], t.Any]] = {
    "kind": _kind,
    "addresses": values.several(values.address),
    "public_key": values.public_key,
    "endpoint": values.endpoint,
    "lan_endpoint": values.endpoint,
    "site": values.label,
    "subnets": values.several(values.prefix),
    "relay": values.node_name,
    "via": values.node_name,
    "exit": values.boolean,
    "exit_via": values.node_name,
}


class RegistryError(Exception):
    """The registry's text cannot be read; the message names the line, and what to do."""


def record_of(node: Node, home_relay: str | None) -> Record:
    """What the registry keeps of a node."""
    return Record(
        kind=node.kind,
        addresses=node.addresses,
        public_key=node.public_key,
        endpoint=node.endpoint,
        lan_endpoint=node.lan_endpoint,
        site=node.site,
        subnets=node.subnets,
        relay=home_relay,
        via=node.via,
        exit=node.exit,
        exit_via=node.exit_via,
    )


def parse_registry(text: str, source: str) -> Registry:
    """Reads the registry's text; ``source`` is the file's name, for messages.

    Raises :class:`RegistryError` for text that is no YAML, of a later format, or edited into something else.
    """
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        raise RegistryError(_broken(source, where, getattr(error, "problem", None) or "is no YAML")) from None
    if data is None:
        return {}
    if not isinstance(data, dict) or "version" not in data:
        raise RegistryError(_broken(source, "line 1", "there is no version: field at the top"))
    if data["version"] != VERSION:
        raise RegistryError(
            f"{source} has format {values.shown(data['version'])}, "
            f"and this release of wirefleet.wireguard knows format {VERSION} only; "
            "use the release that wrote it, or a newer one"
        )
    try:
        return {
            str(values.label(network)): _nodes(nodes, (network,))
            for network, nodes in _mapping(data.get("networks") or {}, ()).items()
        }
    except _BrokenAt as broken:
        raise RegistryError(_broken(source, f"line {_line(text, broken.path)}", str(broken))) from None
    except ValueError as error:
        raise RegistryError(_broken(source, "the name of a network", str(error))) from None


def render_registry(registry: Registry) -> str:
    """The registry's text: sorted, one form for one content, so that version control shows what changed."""
    networks = {
        network: {name: plain_record(record) for name, record in nodes.items()}
        for network, nodes in registry.items()
        if nodes
    }
    return _HEADER + yaml.dump(
        {"version": VERSION, "networks": networks},
        Dumper=_Dumper,
        sort_keys=True,
        default_flow_style=False,
        allow_unicode=True,
        width=1000,
    )


def plain_record(record: Record) -> dict[str, t.Any]:
    """A record as strings, lists and booleans, without the fields that say nothing."""
    plain: dict[str, t.Any] = {"kind": record.kind, "addresses": [str(address) for address in record.addresses]}
    for field in ("public_key", "endpoint", "lan_endpoint", "site", "relay", "via", "exit_via"):
        if (value := getattr(record, field)) is not None:
            plain[field] = str(value)
    if record.subnets:
        plain["subnets"] = [str(subnet) for subnet in record.subnets]
    if record.exit:
        plain["exit"] = True
    return plain


class _BrokenAt(Exception):
    def __init__(self, path: tuple, text: str) -> None:
        super().__init__(text)
        self.path = path


def _mapping(value: object, path: tuple) -> dict:
    if not isinstance(value, dict):
        raise _BrokenAt(path, f"{values.shown(value)} stands where a dictionary belongs")
    return value


def _nodes(nodes: object, path: tuple) -> dict[str, Record]:
    return {str(name): _record(name, entry, (*path, name)) for name, entry in _mapping(nodes, path).items()}


def _record(name: object, entry: object, path: tuple) -> Record:
    fields = {}
    try:
        values.node_name(name)
    except ValueError as error:
        raise _BrokenAt(path, f"the node's name {values.shown(name)} {error}") from None
    for field, raw in _mapping(entry, path).items():
        if field not in _READERS:
            raise _BrokenAt((*path, field), f"{values.shown(field)} is no field of a node")
        try:
            fields[field] = _READERS[field](raw)
        except ValueError as error:
            raise _BrokenAt((*path, field), f"{field} is {values.shown(raw)}, which {error}") from None
    for field in ("kind", "addresses"):
        if field not in fields:
            raise _BrokenAt(path, f"the node {name} has no {field}")
    return Record(**fields)


def _broken(source: str, where: str, what: str) -> str:
    return f"{source}, {where}: {what}. The registry was edited or damaged: restore it from version control"


def _line(text: str, path: tuple) -> int:
    """The line, from 1, on which the entry at ``path`` below ``networks`` begins; only needed to tell of a fault."""
    node = yaml.compose(text, Loader=_Loader)
    line = 1
    for key in ("networks", *path):
        for key_node, value_node in node.value:
            if key_node.value == str(key):
                line, node = key_node.start_mark.line + 1, value_node
                break
    return line
