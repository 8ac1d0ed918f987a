# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run on one host under one rollback, in which order, and whether it could cut off the controller. Pure."""

from __future__ import annotations

import ipaddress
import re
import types
import typing as t

from ..module_utils._wanted import HOOKS, argument_spec
from .outstanding import outstanding

SYSCTL_FILE = "/etc/sysctl.d/70-wireguard-{}.conf"
FORWARDS_IPV6 = "net.ipv6.conf.all.forwarding"
NOTHING: t.Mapping[str, list] = {"interfaces": [], "sysctl": [], "firewall": [], "names": [], "leaving": []}

_INTERFACE, _FIREWALL, _KEYPAIR = (
    f"wirefleet.wireguard.{module}" for module in ("wg_interface", "wg_firewall", "wg_keypair")
)


def changes(
    part: t.Mapping[str, t.Any],
    probe: t.Mapping[str, t.Any] = types.MappingProxyType({}),
    firewall: str = "auto",
    amend: bool = False,
) -> dict[str, t.Any]:
    """The options of wg_confirm for a host's ``part`` of the plan (`rendering.host_slice`), or for some of its keys.

    ``probe`` is the result of wg_info; ``firewall`` and ``amend`` are the host's ``wireguard_firewall`` and
    ``wireguard_firewall_amend``.
    """
    says_forwarding = "sysctl" in part
    part = {**NOTHING, **part}
    pending = outstanding(part, probe, firewall)
    sysctls = _sysctls(part, probe) if pending["forwarding"] else []
    # A part of which only the interfaces are given does not say that the host forwards nothing.
    obsolete = _obsolete_sysctl_files(part, probe) if says_forwarding and pending["forwarding"] else []
    rules = [{**_given(rule), "backend": firewall, "amend": amend} for rule in pending["firewall"]]
    leaving = part["leaving"]
    keys = [f"{one['private_key_file']}{suffix}" for one in leaving for suffix in ("", ".next")]
    files = [*obsolete, *(SYSCTL_FILE.format(one["interface"]) for one in leaving)]
    # What is let in before anything arrives; and nothing is rejected before the tunnel is there that replaces it.
    ordered = [
        *({"ansible.posix.sysctl": one} for one in sysctls),
        *({_FIREWALL: rule} for rule in rules if "kill_switch" not in rule),
        *({_INTERFACE: _options(one)} for one in pending["interfaces"]),
        *({_FIREWALL: rule} for rule in rules if "kill_switch" in rule),
        *({_INTERFACE: _removal(one)} for one in leaving),
        *({_FIREWALL: {"name": one["interface"], "state": "absent"}} for one in leaving),
        *({"ansible.builtin.file": {"path": path, "state": "absent"}} for path in files),
        *({_KEYPAIR: {"path": path, "state": "absent"}} for path in keys),
    ]
    changed = [*pending["interfaces"], *leaving]
    return {
        "changes": ordered,
        "interfaces": _distinct([*(one["interface"] for one in changed), *(rule["name"] for rule in rules)]),
        "sysctls": _distinct(one["name"] for one in sysctls),
        "files": _distinct([*(one["sysctl_file"] for one in sysctls), *files, *keys]),
        "armed": bool(ordered)
        and could_cut_off(
            probe.get("connection"),
            tunnels=[one["interface"] for one in (*part["interfaces"], *leaving)],
            routed=[network for one in pending["interfaces"] for network in _routed(one)],
            kill_switch=any("kill_switch" in rule for rule in rules),
            hooks=any(one.get(hook) for one in pending["interfaces"] for hook in HOOKS),
        ),
    }


def could_cut_off(
    connection: t.Mapping[str, t.Any] | None,
    tunnels: t.Collection[str],
    routed: t.Iterable[str],
    kill_switch: bool,
    hooks: bool = False,
) -> bool:
    """Whether what is pending on a host could cut off the controller.

    ``connection`` is what wg_info has found, None: unknown. ``tunnels`` are all interfaces of the host's networks,
    ``routed`` the networks that go into those that change, ``kill_switch`` and ``hooks`` whether such are among what
    is pending: a hook can do anything.
    """
    if not isinstance(connection, t.Mapping):
        return True
    client = connection.get("client")
    if client is None:
        return False  # no SSH connection, which could be cut
    interface = connection.get("interface")
    if kill_switch or hooks or interface is None or interface in tunnels:
        return True
    try:
        ends = [_address(one) for one in (client, connection.get("server")) if one is not None]
    except ValueError:
        return True
    networks = [ipaddress.ip_network(network, strict=False) for network in routed]
    return any(end in network for network in networks for end in ends)


def _address(text: t.Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address of SSH_CONNECTION (ssh(1)), which may have a zone (RFC 4007). Raises ValueError."""
    address = ipaddress.ip_address(str(text).partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _routed(interface: t.Mapping[str, t.Any]) -> list[str]:
    """The networks that go into an interface: of the host's own table only."""
    if interface.get("netns"):
        return []
    allowed_ips = [network for peer in interface["peers"] for network in peer["allowed_ips"]]
    return [*interface["addresses"], *(allowed_ips if interface.get("table") != "off" else [])]


def _sysctls(part: t.Mapping[str, t.Any], probe: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Options of ansible.posix.sysctl for what is not set, or not set at boot."""
    live, persisted = (probe.get("sysctl", {}).get(which, {}) for which in ("live", "persisted"))
    wanted = [(one["interface"], one["name"], one["value"]) for one in part["sysctl"]]
    for_ipv6 = [interface for interface, name, _value in wanted if name == FORWARDS_IPV6]
    # Once it forwards IPv6, the kernel forgets the default route that a router advertised, and hears no other, unless
    # told so.
    uplinks = [name for name, value in live.items() if re.fullmatch(r".*\.accept_ra", name) and value in ("1", "2")]
    wanted = [*((for_ipv6[0], name, "2") for name in (uplinks if for_ipv6 else ())), *wanted]
    return [
        {
            "name": name,
            "value": value,
            "sysctl_file": SYSCTL_FILE.format(interface),
            "sysctl_set": True,
            "reload": False,
        }
        for interface, name, value in wanted
        if live.get(name) != value or persisted.get(interface, {}).get(name) != value
    ]


def _obsolete_sysctl_files(part: t.Mapping[str, t.Any], probe: t.Mapping[str, t.Any]) -> list[str]:
    """The files of interfaces that forward nothing any more. The kernel's value stays: others may forward too."""
    persisted = probe.get("sysctl", {}).get("persisted", {})
    forwarding = {one["interface"] for one in part["sysctl"]}
    names = [one["interface"] for one in part["interfaces"]]
    return [SYSCTL_FILE.format(name) for name in names if name not in forwarding and name in persisted]


def _options(interface: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What wg_interface takes of an interface's part of the plan."""
    options = {name: interface[name] for name in argument_spec() if name in interface}
    return {"name": interface["interface"], **_given(options)}


def _removal(interface: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {"name": interface["interface"], "state": "absent", **_given({"netns": interface.get("netns")})}


def _given(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Without those that are unset: None, and 0 for a port or a mark."""
    return {
        name: value
        for name, value in options.items()
        if isinstance(value, bool) or (value is not None and value != "" and value != 0)
    }


def _distinct(values: t.Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
