# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pairs of peers need a preshared key, and what the two do to get it. Pure, from the hosts' parts of a plan.

A pair changes only if both are there: with one preshared key at one end and another or none at the other, nothing goes
through. So a pair that is not complete in a run keeps what it has.
"""

from __future__ import annotations

import typing as t

Interface = t.Mapping[str, t.Any]
# In the place of a fingerprint: take the key off; and in check mode, a key that is still to be made.
NO_KEY = ""
TO_COME = "to come"

ByPeer = t.Mapping[str, t.Mapping[str, t.Mapping[str, t.Any]]]
"""{host: {its interface: {a peer's public key: something}}}"""


class Told(t.NamedTuple):
    """What hosts have told: fingerprints ``in_use``, {sealed, fingerprint} ``offered``, fingerprints ``accepted``."""

    in_use: ByPeer
    offered: ByPeer
    accepted: ByPeer


def plan_exchange(
    parts: t.Mapping[str, t.Sequence[Interface]], told: Told, renew: bool = False, foresee: bool = False
) -> dict[str, list[dict[str, t.Any]]]:
    """{host: options of wg_preshared, for each interface with a pair to change}, as far as what is told allows.

    ``parts`` are the hosts that are in the run and have told what they use. The one whose name comes first offers a
    key, the other one accepts it, and when its fingerprint is told by both, both use it. ``renew`` replaces keys that
    agree. ``foresee`` is check mode, in which nobody makes a key.
    """
    by_network = {(host, part["network"]): part for host, found in parts.items() for part in found if "peers" in part}
    keys = {place: {peer["name"]: peer["public_key"] for peer in part["peers"]} for place, part in by_network.items()}
    found: dict[tuple[str, str], dict[str, t.Any]] = {}

    def todo(place: tuple[str, str]) -> dict[str, t.Any]:
        part = by_network[place]
        empty = {"interface": part["interface"], "private_key_file": part["private_key_file"]}
        return found.setdefault(place, {**empty, "offer": [], "accept": [], "use": []})

    def of(told_by: ByPeer, place: tuple[str, str], key: str) -> t.Any:
        return told_by.get(place[0], {}).get(by_network[place]["interface"], {}).get(key)

    def both_use(one: tuple[str, str], other: tuple[str, str], keys_of: tuple[str, str], fingerprint: str) -> None:
        for place, key in zip((one, other), keys_of):
            todo(place)["use"].append({"public_key": key, "fingerprint": fingerprint})

    for one, part in by_network.items():
        for name, key in keys[one].items():
            other = (name, one[1])
            own_key = keys.get(other, {}).get(one[0])
            if one[0] > name or own_key is None:
                continue
            pair = (key, own_key)
            present = of(told.in_use, one, key)
            agree = present == of(told.in_use, other, own_key)
            if not part["preshared_keys"]:
                if present or not agree:
                    both_use(one, other, pair, NO_KEY)
                continue
            if present and agree and not renew:
                continue
            if foresee:
                both_use(one, other, pair, TO_COME)
                continue
            todo(one)["offer"].append(key)
            todo(other)
            offer = of(told.offered, one, key)
            if offer:
                todo(other)["accept"].append({"public_key": own_key, "sealed": offer["sealed"]})
                if of(told.accepted, other, own_key) == offer["fingerprint"]:
                    both_use(one, other, pair, offer["fingerprint"])
    plans: dict[str, list[dict[str, t.Any]]] = {}
    for (host, _network), part in sorted(found.items()):
        plans.setdefault(host, []).append(part)
    return plans
