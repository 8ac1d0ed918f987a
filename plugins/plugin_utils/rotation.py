# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose keys are rotated, in which order, and what their peers must know of it. Pure, from the hosts' parts of a plan.

A node is rotated only if all of its peers can follow: who is not told keeps the old key, and loses the node.
"""

from __future__ import annotations

import re
import typing as t

from .faults import named

# The next key lies beside the present one under this name, until it is taken.
NEXT_SUFFIX = ".next"
# One node first, of those with few peers; then all.
DEFAULT_SERIAL = (1, "100%")

Interface = t.Mapping[str, t.Any]
Owners = dict[tuple[str, t.Optional[str]], set[str]]
"""{(network, public key): the nodes whose key it is}"""
Interfaces = t.Callable[[str], t.Optional[t.Sequence[Interface]]]
"""What a managed host has of the plan (:func:`rendering.interface`); None for a host that this run does not manage."""


class Wish(t.NamedTuple):
    """What is asked for: these ``hosts``, on one ``network`` or (None) on all, with keys of ``older_than`` days only.

    ``force`` rotates nodes whose peers cannot all follow.
    """

    hosts: t.Collection[str]
    network: str | None = None
    older_than: float | None = None
    force: bool = False


class Seen(t.NamedTuple):
    """What the run knows of the hosts: those ``reached``, the age in days of each key file, and next public keys.

    ``ages`` is {host: {path: days}}, ``next_keys`` {host: {path of the next key's file: public key}}.
    """

    reached: t.Collection[str]
    ages: t.Mapping[str, t.Mapping[str, float]]
    next_keys: t.Mapping[str, t.Mapping[str, str]]


class Rotation(t.NamedTuple):
    """What is done: ``nodes`` {network: names, those with few peers first}, and ``hosts`` {host: options of wg_rotate}.

    And what is not: ``refused`` {node: why}, ``by_hand`` {external: nodes whose new keys its owner must put in}, and
    ``lost`` {host that cannot be told: nodes that it will lose}.
    """

    nodes: dict[str, list[str]]
    hosts: dict[str, dict[str, t.Any]]
    refused: dict[str, str]
    by_hand: dict[str, list[str]]
    lost: dict[str, list[str]]


def plan_rotation(wish: Wish, seen: Seen, interfaces: Interfaces, externals: t.Collection[str]) -> Rotation:
    """Who rotates, and for those whose next key is known, what they and their peers do."""
    rotation = Rotation({}, {}, {}, {}, {})
    owners = _owners(seen, interfaces)
    for host in sorted(wish.hosts):
        for interface in interfaces(host) or () if host in seen.reached else ():
            if wish.network in (None, interface["network"]):
                _rotate(host, interface, wish, seen, interfaces, externals, owners, rotation)
    count = {
        (host, interface["network"]): len(interface.get("peers", ()))
        for names in rotation.nodes.values()
        for host in names
        for interface in interfaces(host)
    }
    for network, names in rotation.nodes.items():
        names.sort(key=lambda name: (count[name, network], name))
    return rotation


def _rotate(
    host: str, interface: Interface, wish: Wish, seen: Seen, interfaces: Interfaces, externals: t.Collection[str],
    owners: Owners, rotation: Rotation,
) -> None:  # fmt: skip
    age = seen.ages.get(host, {}).get(interface["private_key_file"])
    if age is None or (wish.older_than is not None and age < wish.older_than):
        return  # a node without a key gets its first one from site
    if interface["pinned"]:
        rotation.refused[host] = (
            "wireguard_public_key says which key it has; remove the variable, or replace key and variable by hand"
        )
        return
    peers = [peer["name"] for peer in interface["peers"]]
    missing = [peer for peer in peers if peer not in externals and peer not in seen.reached]
    if missing and not wish.force:
        rotation.refused[host] = (
            f"{named(missing)} could not follow to the new key, being out of reach or not in this run; "
            "run again with all of its peers, or with wireguard_rotate_force: true, and site when they are back"
        )
        return
    next_file = interface["private_key_file"] + NEXT_SUFFIX
    next_key = seen.next_keys.get(host, {}).get(next_file)
    others = owners.get((interface["network"], next_key), set()) - {host}
    if others:
        rotation.refused[host] = (
            f"its next key, {next_key} in {next_file}, is that of {named(sorted(others))}; "
            "delete the file, and run again"
        )
        return
    rotation.nodes.setdefault(interface["network"], []).append(host)
    for peer in peers:
        if peer in externals or peer in missing:
            (rotation.by_hand if peer in externals else rotation.lost).setdefault(peer, []).append(host)
    if next_key:
        own = rotation.hosts.setdefault(host, {"interface": interface["interface"], "peers": []})
        own.update(private_key_file=interface["private_key_file"], next_private_key_file=next_file)
        for peer in peers:
            if peer in seen.reached and peer not in externals:
                _tell(peer, interface["network"], host, next_key, interfaces, rotation)


def _owners(seen: Seen, interfaces: Interfaces) -> Owners:
    """The keys that nodes have, or say that they will have; empty as long as there are no next ones."""
    owners: Owners = {}
    for host in sorted(seen.reached) if seen.next_keys else ():
        for part in interfaces(host) or ():
            for peer in part.get("peers", ()):
                owners.setdefault((part["network"], peer["public_key"]), set()).add(peer["name"])
            next_key = seen.next_keys.get(host, {}).get(part["private_key_file"] + NEXT_SUFFIX)
            if next_key:
                owners.setdefault((part["network"], next_key), set()).add(host)
    return owners


def _tell(peer: str, network: str, node: str, key: str, interfaces: Interfaces, rotation: Rotation) -> None:
    """Has ``peer`` announce the next key of ``node``, if it knows the present one."""
    for theirs in interfaces(peer) or ():
        if theirs["network"] == network:
            present = next((entry["public_key"] for entry in theirs["peers"] if entry["name"] == node), None)
            if present:
                part = rotation.hosts.setdefault(peer, {"interface": theirs["interface"], "peers": []})
                part["peers"].append({"name": node, "public_key": present, "next_public_key": key})


def batches(names: t.Sequence[str], serial: object) -> list[list[str]]:
    """The names in batches, as Ansible's ``serial`` cuts them.

    That is a number, a percentage, or a list of them whose last one repeats. Raises ValueError for anything else.
    """
    steps = list(serial) if isinstance(serial, (list, tuple)) else [serial]
    sizes = [_size(step, len(names)) for step in steps] or [len(names)]
    found, start = [], 0
    while start < len(names):
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append(list(names[start : start + size]))
        start += size
    return found


def _size(step: object, count: int) -> int:
    number = re.fullmatch(r"([1-9]\d*)(%?)", str(step))
    if not number:
        raise ValueError(f"is {step!r}; write a number of hosts, a percentage such as 10%, or a list of these")
    return max(1, count * int(number[1]) // 100) if number[2] else int(number[1])
