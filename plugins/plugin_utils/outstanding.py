# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host still needs of its part of the plan, as far as one look at it tells."""

from __future__ import annotations

import types
import typing as t

# These find out for themselves what there is to do, and mostly that is nothing.
_FOUND_OUT = ("auto", "none")


def outstanding(
    part: t.Mapping[str, t.Any],
    probe: t.Mapping[str, t.Any] = types.MappingProxyType({}),
    firewall: str = "auto",
) -> dict[str, t.Any]:
    """What is to be done on a host, of its ``part`` of the plan (`rendering.host_slice`).

    ``probe`` is the result of wg_info; without one all of the part is outstanding, but for ``tools``, of which nothing
    is known. ``firewall`` is the host's ``wireguard_firewall``.

    Returns ``tools`` [command] that are missing, ``private_keys`` [file] to be made, ``forwarding`` whether the
    kernel's parameters need a look, and of the part the ``firewall``, ``interfaces`` and ``names`` to be applied.
    """
    is_named = firewall not in _FOUND_OUT
    wishes = [{**wish, "ping": wish["ping"] or is_named} for wish in part["firewall"]]
    if "public_keys" not in probe:
        return {
            "tools": [],
            "private_keys": [interface["private_key_file"] for interface in part["interfaces"]],
            "forwarding": bool(part["interfaces"]),
            "firewall": wishes,
            "interfaces": part["interfaces"],
            "names": part["names"],
        }
    return {
        "tools": _missing_tools(part, probe),
        "private_keys": [
            interface["private_key_file"]
            for interface in part["interfaces"]
            if not probe["public_keys"].get(interface["private_key_file"])
        ],
        # Most hosts forward nothing and never did.
        "forwarding": bool(part["sysctl"])
        or any(interface["interface"] in probe["sysctl"]["persisted"] for interface in part["interfaces"]),
        # Most hosts need no rules and have none. Pings alone are nothing that is asked for.
        "firewall": [
            wish
            for wish in wishes
            if is_named
            or any(wish[what] for what in ("listen_port", "forward", "masquerade", "kill_switch"))
            or wish["name"] in probe["firewalls"]
        ],
        "interfaces": [
            interface
            for interface in part["interfaces"]
            if probe["as_wanted"].get(interface["interface"]) != interface["digest"]
        ],
        "names": [each for each in part["names"] if probe["names"].get(each["interface"]) != each["digest"]],
    }


def _missing_tools(part: t.Mapping[str, t.Any], probe: t.Mapping[str, t.Any]) -> list[str]:
    """The commands that the host needs and lacks: forwarding is set with sysctl, masquerading with nft."""
    missing = list(probe["missing_tools"])
    if part["sysctl"] and not probe["tools"]["sysctl"]:
        missing.append("sysctl")
    if any(wish["masquerade"] for wish in part["firewall"]) and not probe["tools"]["nft"]:
        missing.append("nft")
    return missing
