# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From inventory variables to networks and nodes: names, types, defaults and overrides, and nothing else.

Input is plain data: the groups, and of every host its ``wireguard_*`` variables. What only shows when nodes are looked
at together (duplicates, paths, overlaps) is not here but in :mod:`checks`.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ..module_utils._full_tunnel import FIRST_TABLE
from . import values
from .faults import Faults

DEFAULT_NETWORK = "wg0"
DEFAULT_GROUP = "wireguard"

Reader = t.Callable[[object], t.Any]

# Settings of a network as a whole: every node must see the same value.
_WHOLE_NETWORK: dict[str, tuple[Reader, t.Any]] = {
    "cidr": (values.several(values.prefix), ()),
    "topology": (values.topology, "auto"),
    "allow_unreachable": (values.boolean, False),
    "preshared_keys": (values.boolean, False),
    "names_suffix": (values.dns_name, None),
}
# Settings that a network sets for its nodes, and a flat variable or an override for one of them.
_PER_INTERFACE: dict[str, tuple[Reader, t.Any]] = {
    "interface": (values.interface, None),
    "port": (values.port, 51820),
    "keepalive": (values.keepalive, 25),
    "mtu": (values.mtu, None),
    "fwmark": (values.fwmark, None),
    "table": (values.table, "auto"),
    "dns": (values.several(values.dns), ()),
    "names": (values.boolean, False),
    "pre_up": (values.several(values.hook), ()),
    "post_up": (values.several(values.hook), ()),
    "pre_down": (values.several(values.hook), ()),
    "post_down": (values.several(values.hook), ()),
}
# Settings of one node.
_PER_NODE: dict[str, tuple[Reader, t.Any]] = {
    "address": (values.several(values.address), ()),
    "endpoint": (values.endpoint, None),
    "listen_port": (values.port, None),
    "relay": (values.boolean, False),
    "via": (values.node_name, None),
    "site": (values.label, None),
    "lan_endpoint": (values.endpoint, None),
    "behind_nat": (values.boolean, False),
    "hole_punching": (values.boolean, False),
    "subnets": (values.several(values.prefix), ()),
    "subnet_nat": (values.boolean, False),
    "proxy_arp": (values.several(values.interface), ()),
    "exit": (values.boolean, False),
    "exit_via": (values.node_name, None),
    "kill_switch": (values.boolean, False),
    "kill_switch_allowed": (values.several(values.prefix), ()),
    "public_key": (values.public_key, None),
    "private_key_file": (values.path, None),
    "netns": (values.netns, None),
    "external": (values.boolean, False),
    "state": (values.state, "present"),
}
_OF_NETWORK = {**_WHOLE_NETWORK, **_PER_INTERFACE}
_OVERRIDABLE = {**_PER_INTERFACE, **_PER_NODE}

# Variables that the playbooks and roles read themselves; here only so that misspellings of them are noticed.
_OF_THE_RUN = (
    "networks",
    "overrides",
    "registry_file",
    "plan_dir",
    "prune",
    "partial_inventory",
    "hosts",
    "rotate_hosts",
    "rotate_older_than",
    "rotate_force",
    "rotate_preshared_keys",
    "firewall",
    "firewall_amend",
    "confirm",
    "confirm_timeout",
    "install_packages",
    "verify_timeout",
    "verify_batches",
    "max_fail_percentage",
    "serial",
)
# What has one value for several hosts, so that no fact of one of them may have a part in it.
OF_ALL_NODES = frozenset((*_WHOLE_NETWORK, "networks"))
# What the playbooks register; nobody sets them.
_OF_THE_PLAYBOOKS = ("info", "keypairs", "plan", "node", "ping", "matrix")
_KNOWN = frozenset((*_OF_NETWORK, *_PER_NODE, *_OF_THE_RUN, *_OF_THE_PLAYBOOKS, "group"))


@dataclasses.dataclass(frozen=True)
class Network:
    """One WireGuard overlay.

    ``cidr`` are its prefixes in the order written, ``topology`` is auto, hub or mesh, ``preshared_keys`` whether
    each pair of peers has one, ``names_suffix`` what follows a node's name where hosts are told names.
    """

    name: str
    group: str
    cidr: tuple[values.Prefix, ...]
    topology: str = "auto"
    allow_unreachable: bool = False
    preshared_keys: bool = False
    names_suffix: str | None = None

    def cidr_of(self, address: values.Address) -> values.Prefix | None:
        """The prefix of the network that holds ``address``."""
        return next((prefix for prefix in self.cidr if prefix.version == address.version and address in prefix), None)


@dataclasses.dataclass
class Node:
    """An inventory host in one network.

    ``endpoint`` and ``lan_endpoint`` are complete, with their port. ``addresses`` are the explicit ones until
    :mod:`addresses` has added the allocated ones. ``settings`` is what only the node's own interface needs: netns,
    mtu, fwmark, table, dns and hooks. ``pinned`` says that the inventory states the key.
    ``from_registry`` marks a node that this inventory does not show.
    """

    name: str
    interface: str = DEFAULT_NETWORK
    private_key_file: str = ""
    addresses: tuple[values.Address, ...] = ()
    endpoint: values.Endpoint | None = None
    lan_endpoint: values.Endpoint | None = None
    listen_port: int | None = None
    keepalive: int = 25
    relay: bool = False
    via: str | None = None
    site: str | None = None
    behind_nat: bool = False
    hole_punching: bool = False
    subnets: tuple[values.Prefix, ...] = ()
    subnet_nat: bool = False
    proxy_arp: tuple[str, ...] = ()
    exit: bool = False
    exit_via: str | None = None
    kill_switch: bool = False
    kill_switch_allowed: tuple[values.Prefix, ...] = ()
    names: bool = False
    public_key: str | None = None
    pinned: bool = False
    external: bool = False
    absent: bool = False
    from_registry: bool = False
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    @property
    def kind(self) -> str:
        """relay, public (others can reach its endpoint) or nat (nobody can reach it first)."""
        return "relay" if self.relay else "public" if self.endpoint and not self.hole_punching else "nat"


class Inventory(t.NamedTuple):
    """What Ansible knows: ``groups`` {name: host names} and ``variables`` {host: {wireguard_*: raw value}}."""

    groups: t.Mapping[str, t.Sequence[str]]
    variables: t.Mapping[str, t.Mapping[str, object]]


def read_inventory(inventory: Inventory, faults: Faults, *, partial: bool = False) -> list[tuple[Network, list[Node]]]:
    """Every network of the inventory with its nodes sorted by name; what cannot be read is recorded in ``faults``.

    A null value means what a missing variable means. In a ``partial`` inventory a group may well be missing.
    """
    _check_spelling(inventory.variables, faults)
    networks = []
    for name, definition in sorted(_definitions(inventory, faults).items()):
        group = definition.get("group", DEFAULT_GROUP if name == DEFAULT_NETWORK else name)
        members = sorted(set(inventory.groups.get(group, ())))
        if not members:
            # An empty group is a network that is still to come; a group that is not there is a slip of the pen.
            if group not in inventory.groups and not partial:
                faults.add(
                    f"network {name}",
                    "wireguard_networks",
                    f"means the group {values.shown(group)}, which is not in the inventory; "
                    f"add the group, or name another one as group:",
                )
            continue
        reader = _NodeReader(name, definition, inventory.variables, faults)
        network = reader.network(group, members)
        nodes = [node for member in members if (node := reader.node(member)) is not None]
        networks.append((network, nodes))
    return networks


def _check_spelling(variables: t.Mapping[str, t.Mapping[str, object]], faults: Faults) -> None:
    """Records every unknown ``wireguard_*`` name that looks like a known one. Others are the users' own."""
    suggestion: dict[str, str | None] = {}
    for host, of_host in variables.items():
        for variable in of_host:
            if variable not in suggestion:
                word = variable.removeprefix("wireguard_")
                near = () if word in _KNOWN else difflib.get_close_matches(word, sorted(_KNOWN), n=1, cutoff=0.75)
                suggestion[variable] = near[0] if near else None
            if suggestion[variable]:
                faults.add(
                    host, variable, f"is no variable of this collection; did you mean wireguard_{suggestion[variable]}?"
                )


def _definitions(inventory: Inventory, faults: Faults) -> dict[str, dict[str, t.Any]]:
    """{network: its entry of wireguard_networks}, the same on every host that says something about the network."""
    found: dict[str, dict[str, t.Any]] = {}
    told_by: dict[str, str] = {}
    seen: dict[int, object] = {}
    for host, of_host in inventory.variables.items():
        raw = of_host.get("wireguard_networks")
        # Hosts of one group share the very object, so that 10,000 of them cost one comparison.
        if raw is None or id(raw) in seen:
            continue
        seen[id(raw)] = raw
        if not isinstance(raw, t.Mapping):
            faults.add(host, "wireguard_networks", f"is {values.shown(raw)}; write a dictionary of networks by name")
            continue
        for name, definition in raw.items():
            plain = _definition(host, name, definition, faults)
            if plain is None:
                continue
            if name in found and found[name] != plain:
                faults.add(
                    host,
                    "wireguard_networks",
                    f"describes {name} otherwise than on {told_by[name]}; "
                    "set it once, for a group that holds all of the network's hosts",
                )
            found.setdefault(str(name), plain)
            told_by.setdefault(str(name), host)
    if not seen and inventory.groups.get(DEFAULT_GROUP):
        return {DEFAULT_NETWORK: {"group": DEFAULT_GROUP}}
    return found


def _definition(host: str, name: object, definition: object, faults: Faults) -> dict[str, t.Any] | None:
    try:
        label = values.label(name)
    except ValueError as error:
        faults.value(host, "wireguard_networks", name, ValueError(f"as the name of a network {error}"))
        return None
    definition = {} if definition is None else definition
    if not isinstance(definition, t.Mapping):
        faults.add(
            host,
            "wireguard_networks",
            f"has {values.shown(definition)} for {label}; write a dictionary of its settings",
        )
        return None
    plain = {}
    for setting, value in definition.items():
        if setting not in _OF_NETWORK and setting != "group":
            near = difflib.get_close_matches(str(setting), [*_OF_NETWORK, "group"], n=1)
            hint = f"did you mean {near[0]}?" if near else f"a network has {', '.join(sorted([*_OF_NETWORK, 'group']))}"
            faults.add(
                host, "wireguard_networks", f"has the unknown setting {values.shown(setting)} for {label}; {hint}"
            )
        elif value is not None:
            plain[str(setting)] = value
    if "group" in plain:
        try:
            plain["group"] = values.label(plain["group"])
        except ValueError as error:
            faults.value(host, f"wireguard_networks: {label}: group", plain.pop("group"), error)
    return plain


class _NodeReader:
    """Reads the nodes of one network: each setting from the override, the network, the flat variable, the default."""

    def __init__(
        self, name: str, definition: dict[str, t.Any], variables: t.Mapping[str, t.Mapping[str, object]], faults: Faults
    ) -> None:
        self._name = name
        self._variables = variables
        self._faults = faults
        self._cache: dict[tuple | None, t.Any] = {}
        self._of_network = {
            setting: self._read(
                f"network {name}", f"wireguard_networks: {setting}", definition[setting], reader, default
            )
            for setting, (reader, default) in _OF_NETWORK.items()
            if setting in definition
        }

    def network(self, group: str, members: list[str]) -> Network:
        """The network itself: its own settings, else the flat variables, which must agree on all nodes."""
        found = {
            setting: self._agreed(setting, members, reader, default)
            for setting, (reader, default) in _WHOLE_NETWORK.items()
        }
        if not found["cidr"]:
            self._faults.add(
                f"network {self._name}",
                "wireguard_cidr",
                "is not set; write the network's prefix, such as 10.44.0.0/24",
            )
        return Network(name=self._name, group=group, **found)

    def _agreed(self, setting: str, members: list[str], reader: Reader, default: t.Any) -> t.Any:
        if setting in self._of_network:
            return self._of_network[setting]
        variable = f"wireguard_{setting}"
        told: dict[t.Any, str] = {}
        for host in members:
            raw = self._variables.get(host, {}).get(variable)
            if raw is not None:
                told.setdefault(self._read(host, variable, raw, reader, default), host)
        for value, host in list(told.items())[1:]:
            first = next(iter(told))
            self._faults.add(
                host,
                variable,
                f"is {_plain(value)}, but {_plain(first)} on {told[first]}; "
                f"a network has one {setting}: set it for the group",
            )
        return next(iter(told), default)

    def node(self, host: str) -> Node | None:
        """The node that ``host`` is in this network; None if its name cannot be one."""
        try:
            values.node_name(host)
        except ValueError as error:
            self._faults.value(values.shown(host), "the host's name", host, error)
            return None
        flat = self._variables.get(host, {})
        overrides = self._overrides(host, flat)

        def setting(name: str) -> t.Any:
            reader, default = _OVERRIDABLE[name]
            if name in overrides:
                return self._read(host, f"wireguard_overrides: {self._name}: {name}", overrides[name], reader, default)
            if name in self._of_network:
                return self._of_network[name]
            raw = flat.get(f"wireguard_{name}")
            return default if raw is None else self._read(host, f"wireguard_{name}", raw, reader, default)

        interface = setting("interface") or self._default_interface(host)
        endpoint, lan_endpoint, listen_port = setting("endpoint"), setting("lan_endpoint"), setting("listen_port")
        if listen_port is None and (endpoint or lan_endpoint):
            listen_port = setting("port")
        own_settings = {
            name: setting(name)
            for name in ("netns", "mtu", "fwmark", "table", "dns", "pre_up", "post_up", "pre_down", "post_down")
        }
        # A kill switch knows WireGuard's own packets by a mark that must be known beforehand: wg-quick's first choice.
        if setting("kill_switch"):
            own_settings["fwmark"] = own_settings["fwmark"] or FIRST_TABLE
        return Node(
            name=host,
            interface=interface,
            private_key_file=setting("private_key_file") or f"/etc/wireguard/{interface}.key",
            addresses=setting("address"),
            endpoint=_with_port(endpoint, listen_port),
            lan_endpoint=_with_port(lan_endpoint, listen_port),
            listen_port=listen_port,
            pinned=setting("public_key") is not None,
            absent=setting("state") == "absent",
            settings=own_settings,
            **{
                name: setting(name)
                for name in (
                    "keepalive",
                    "relay",
                    "via",
                    "site",
                    "behind_nat",
                    "hole_punching",
                    "subnets",
                    "subnet_nat",
                    "proxy_arp",
                    "exit",
                    "exit_via",
                    "kill_switch",
                    "kill_switch_allowed",
                    "names",
                    "public_key",
                    "external",
                )
            },
        )

    def _overrides(self, host: str, flat: t.Mapping[str, object]) -> dict[str, t.Any]:
        raw = flat.get("wireguard_overrides")
        mine = raw.get(self._name) if isinstance(raw, t.Mapping) else None
        if raw is None or (isinstance(raw, t.Mapping) and mine is None):
            return {}
        if not isinstance(mine, t.Mapping):
            self._faults.add(host, "wireguard_overrides", f"is {values.shown(raw)}; write NETWORK: {{SETTING: VALUE}}")
            return {}
        for name in mine:
            if name not in _OVERRIDABLE:
                near = difflib.get_close_matches(str(name), list(_OVERRIDABLE), n=1)
                hint = f"did you mean {near[0]}?" if near else "see the variables of a host"
                self._faults.add(
                    host,
                    "wireguard_overrides",
                    f"has the unknown setting {values.shown(name)} for {self._name}; {hint}",
                )
        return {str(name): value for name, value in mine.items() if name in _OVERRIDABLE and value is not None}

    def _default_interface(self, host: str) -> str:
        try:
            return values.interface(self._name)
        except ValueError as error:
            self._faults.value(host, "wireguard_interface", self._name, ValueError(f"as the network's name {error}"))
            return DEFAULT_NETWORK

    def _read(self, owner: str, variable: str, raw: object, reader: Reader, default: t.Any) -> t.Any:
        """The parsed value, or the default after a fault was recorded; equal texts are parsed once."""
        key = (variable, type(raw), raw) if isinstance(raw, (str, int)) else None
        if key in self._cache:
            return self._cache[key]
        try:
            parsed = reader(raw)
        except ValueError as error:
            self._faults.value(owner, variable, raw, error)
            return default
        if key is not None:
            self._cache[key] = parsed
        return parsed


def _with_port(endpoint: values.Endpoint | None, listen_port: int | None) -> values.Endpoint | None:
    """An endpoint without a port is at the port on which the node listens."""
    return endpoint._replace(port=listen_port) if endpoint and endpoint.port is None else endpoint


def _plain(value: t.Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
