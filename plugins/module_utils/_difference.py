# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be done to turn one live device into another: (live, desired) -> steps. Pure; see _apply for the doing.

The order never opens a gap: what is new comes before what is old goes, so that at no time a packet that both states
carry has no peer, no route or no source address.
"""

from __future__ import annotations

import socket
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import (
    MAIN_TABLE,
    Device,
    Peer,
    Route,
    normal_network,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import NO_KEY

# A single argument of a process may have 128 KiB (execve(2)); longer lists of networks go through a file.
LONGEST_ARGUMENT = 100_000


class Step(t.NamedTuple):
    """One change. Neighbours of one tool are carried out by one process (see _apply)."""

    tool: str  # "ip": a line of ip -batch; "wg": words of wg set; "peers": a section for wg addconf; others: see _apply
    words: tuple[str, ...]
    text: str  # for people; never a secret
    data: str | None = None  # what the tool reads from its standard input; may be secret


def routes_of(allowed_ips: t.Iterable[str], addresses: t.Sequence[str], table: str, fwmark: int) -> frozenset[Route]:
    """The routes that wg-quick(8) makes for AllowedIPs.

    ``Table = off``: none. A number: all, into that table. ``auto``: into the main table, but none for what a route that
    the kernel made for an address covers already, and a default route into the table that is numbered as the fwmark.
    """
    if table == "off":
        return frozenset()
    if table != "auto":
        return frozenset(Route(table, network) for network in allowed_ips)
    covered = _Cover(addresses)
    routes = set()
    for network in allowed_ips:
        if network.endswith("/0"):
            routes.add(Route(str(fwmark), network))
        elif not covered.has(network):
            routes.add(Route(MAIN_TABLE, network))
    return frozenset(routes)


class _Cover:
    """The networks to which the kernel itself makes routes: those of the addresses (for IPv6 also a /128)."""

    def __init__(self, addresses: t.Iterable[str]) -> None:
        self._networks: dict[tuple[int, int], set[int]] = {}  # family and prefix length -> those leading bits
        for address in addresses:
            family, bits, number, length = _number(address)
            if (bits, length) != (32, 32):
                self._networks.setdefault((family, length), set()).add(number >> (bits - length))

    def has(self, network: str) -> bool:
        family, bits, number, own_length = _number(network)
        for (covered_family, length), heads in self._networks.items():
            if covered_family == family and length <= own_length and number >> (bits - length) in heads:
                return True
        return False


def _number(text: str) -> tuple[int, int, int, int]:
    """Family, width in bits, the address as a number, and the prefix length, of a normal address or network."""
    host, _slash, length = text.partition("/")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    return family, len(packed) * 8, int.from_bytes(packed, "big"), int(length)


def difference(
    live: Device, desired: Device, removable_routes: t.AbstractSet[Route], labels: t.Mapping[str, str] | None = None
) -> tuple[list[Step], list[Step]]:
    """The steps from ``live`` to ``desired`` in their order: those that make what is new, then those that clear what is
    old. None if nothing differs.

    Of ``desired`` these mean "leave it as it is": a private key of None, a listen
    port of 0, an MTU of 0, an endpoint of None. So a peer's endpoint is pushed only if the caller asks for it.
    A route that is not desired goes only if it is in ``removable_routes``: others are hooks' or people's.
    ``labels`` (public key -> name) make texts readable. The device's name, kind and public key are not compared.
    """
    name = desired.name
    text = _Texts(labels or {})
    steps = _device_settings(live, desired)
    new_peers, gone_peers = _peers(live.peers, desired.peers, text)
    new_addresses, old_addresses = _addresses(name, live.addresses, desired.addresses)
    up = [("mtu", str(desired.mtu))] if desired.mtu not in (0, live.mtu) else []
    up += [("up",)] if desired.up and not live.up else []
    steps += new_peers + new_addresses
    steps += [Step("ip", ("link", "set", "dev", name, *words), f"set {' '.join(words)}") for words in up]
    steps += [_route(name, "add", route) for route in _longest_first(desired.routes - live.routes)]
    stale = (live.routes - desired.routes) & removable_routes
    clearing = [_route(name, "del", route) for route in _longest_first(stale)]
    return steps, clearing + old_addresses + gone_peers


def _device_settings(live: Device, desired: Device) -> list[Step]:
    steps = []
    if desired.private_key is not None and desired.private_key != live.private_key:
        words = ("private-key", "/dev/stdin")
        steps.append(Step("wg", words, "set the private key", desired.private_key + "\n"))
    if desired.listen_port not in (0, live.listen_port):
        steps.append(Step("wg", ("listen-port", str(desired.listen_port)), f"listen on port {desired.listen_port}"))
    if desired.fwmark != live.fwmark:
        mark = hex(desired.fwmark) if desired.fwmark else "off"
        steps.append(Step("wg", ("fwmark", mark), f"set fwmark {mark}"))
    return steps


class _Texts:
    def __init__(self, labels: t.Mapping[str, str]) -> None:
        self._labels = labels

    def peer(self, key: str) -> str:
        label = self._labels.get(key)
        return f"peer {key} ({label})" if label else f"peer {key}"


def _peers(live: t.Mapping[str, Peer], desired: t.Mapping[str, Peer], text: _Texts) -> tuple[list[Step], list[Step]]:
    """Steps for new and for changed peers, and steps for those that go.

    AllowedIPs are one map of the device from network to peer: giving a network to one takes it from the other, at once.
    So a network changes hands without a gap as long as its old owner keeps it until then, and who only loses something
    to others needs no step of his own.
    """
    new = [peer for key, peer in desired.items() if key not in live]
    steps = [Step("peers", (), f"add {text.peer(peer.public_key)}", section(peer)) for peer in new]
    gone_already = {network for peer in new for network in peer.allowed_ips}
    common = [(live[key], peer) for key, peer in desired.items() if key in live]
    still_to_go = {network for old, peer in common for network in set(peer.allowed_ips).difference(old.allowed_ips)}
    for old, peer in common:
        gains = set(peer.allowed_ips).difference(old.allowed_ips)
        still_to_go -= gains
        steps += _changed_peer(old, peer, gone_already, still_to_go, text)
        gone_already |= gains
    gone = [Step("wg", ("peer", key, "remove"), f"remove {text.peer(key)}") for key in live if key not in desired]
    return steps, gone


def section(peer: Peer) -> str:
    """A peer for ``wg addconf``. For a peer that exists, what is not stated would stay, except for its AllowedIPs; an
    empty list of these is refused by wg 1.0.20210914."""
    lines = ["[Peer]", f"PublicKey = {peer.public_key}", f"PresharedKey = {peer.preshared_key or NO_KEY}"]
    if peer.allowed_ips:
        lines.append(f"AllowedIPs = {', '.join(peer.allowed_ips)}")
    lines.append(f"PersistentKeepalive = {peer.persistent_keepalive or 'off'}")
    if peer.endpoint:
        lines.append(f"Endpoint = {peer.endpoint}")
    return "\n".join(lines) + "\n"


def _changed_peer(old: Peer, new: Peer, gone_already: set[str], still_to_go: set[str], text: _Texts) -> list[Step]:
    """``gone_already``: networks that earlier steps gave to others; ``still_to_go``: those that later steps will."""
    changes = []
    words: list[str] = []
    had, wants = set(old.allowed_ips), set(new.allowed_ips)
    if new.endpoint and new.endpoint != old.endpoint:
        words += ["endpoint", new.endpoint]
        changes.append(f"endpoint {new.endpoint}")
    if new.persistent_keepalive != old.persistent_keepalive:
        words += ["persistent-keepalive", str(new.persistent_keepalive or "off")]
        changes.append(f"keepalive {new.persistent_keepalive or 'off'}")
    if had != wants:
        changes.append(f"allowed IPs {_gained_and_lost(had, wants)}")
        has = had - gone_already
        new = new._replace(allowed_ips=new.allowed_ips + tuple(sorted(has & still_to_go)))
        if has != set(new.allowed_ips):
            words += ["allowed-ips", ",".join(new.allowed_ips)]
    if new.preshared_key != old.preshared_key:
        changes.append("preshared key" if new.preshared_key else "no preshared key")
        if not new.preshared_key:
            words += ["preshared-key", "/dev/null"]
    if not changes:
        return []
    what = f"change {text.peer(new.public_key)}: {', '.join(changes)}"
    secret = new.preshared_key and new.preshared_key != old.preshared_key
    if secret or any(len(word) > LONGEST_ARGUMENT for word in words):
        return [Step("peers", (), what, section(new))]
    # Nothing left to say if others' gain was the whole change; the step stays, for the report of what happens.
    return [Step("wg", ("peer", new.public_key, *words), what)]


def _gained_and_lost(had: set[str], wants: set[str]) -> str:
    signed = [f"+{network}" for network in sorted(wants - had)] + [f"-{network}" for network in sorted(had - wants)]
    return " ".join(signed[:4]) + (f" and {len(signed) - 4} more" if len(signed) > 4 else "")


def _addresses(name: str, live: t.Sequence[str], desired: t.Sequence[str]) -> tuple[list[Step], list[Step]]:
    """Steps for new addresses, and steps for those that go."""
    new = []
    gone = [address for address in live if address not in desired]
    for address in desired:
        if address in live:
            continue
        # The kernel takes an IPv4 address twice if the prefix length differs, an IPv6 one never: that one goes first.
        twin = next((one for one in gone if ":" in one and one.partition("/")[0] == address.partition("/")[0]), None)
        if twin:
            gone.remove(twin)
            new.append(_address(name, "del", twin))
        new.append(_address(name, "add", address))
    old = [_address(name, "del", address) for address in gone]
    # The first IPv4 address of a network takes the others of that network along when it goes, unless told not to. It
    # cannot be told where /proc/sys is read-only: then they come back within the same process.
    networks = {normal_network(one) for one in gone if ":" not in one}
    kept = [one for one in desired if normal_network(one) in networks]
    if kept:
        path = f"/proc/sys/net/ipv4/conf/{name}/promote_secondaries"
        old.insert(0, Step("try_write", (path, "1"), "keep the other addresses of a network when its first one goes"))
        old += [_address(name, "replace", address) for address in kept]
    return new, old


def _address(name: str, verb: str, address: str) -> Step:
    texts = {"add": "add", "del": "remove", "replace": "keep"}
    return Step("ip", ("address", verb, address, "dev", name), f"{texts[verb]} address {address}")


def _longest_first(routes: t.Iterable[Route]) -> list[Route]:
    """In the order of wg-quick(8), a more specific network first; then by text, to be the same every time."""
    return sorted(routes, key=lambda route: (-int(route.destination.rpartition("/")[2]), route))


def _route(name: str, verb: str, route: Route) -> Step:
    table = () if route.table == MAIN_TABLE else ("table", route.table)
    where = f" in table {route.table}" if table else ""
    text = f"{'add' if verb == 'add' else 'remove'} route {route.destination}{where}"
    return Step("ip", ("route", verb, route.destination, "dev", name, *table), text)
