# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an interface needs of a firewall, whichever that is. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _values

# Other links than WireGuard's have freer names; this has nothing that nft would read as syntax.
ANY_INTERFACE = re.compile(r"[A-Za-z0-9_=+.:@-]{1,15}")

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Forward(t.NamedTuple):
    """Traffic that may pass from one interface to another, with its answers.

    ``source`` and ``target`` are interfaces, None: any but the tunnel. ``sender`` and ``receiver`` narrow it down.
    """

    source: str | None
    target: str | None
    sender: Network | None = None
    receiver: Network | None = None

    def back(self) -> Forward:
        """The way of the answers."""
        return Forward(self.target, self.source, self.receiver, self.sender)


class Masquerade(t.NamedTuple):
    """What leaves with the address of the interface it leaves by: ``sender`` and ``receiver`` are networks, None any.

    ``source`` is the interface it came in by, None: any; ``target`` the one it leaves by, None: any but the tunnel.
    """

    sender: Network | None = None
    source: str | None = None
    target: str | None = None
    receiver: Network | None = None


class KillSwitch(t.NamedTuple):
    """Nothing that the host sends leaves it past the tunnel, but for packets with WireGuard's own mark.

    ``interfaces`` are other ones by which it may leave, ``allowed`` networks that stay reachable past the tunnel.
    """

    fwmark: int
    interfaces: tuple[str, ...] = ()
    allowed: tuple[Network, ...] = ()


class Wish(t.NamedTuple):
    """What an interface needs of the firewall: ``ping`` are those that come by it and are for the host itself."""

    name: str
    listen_port: int | None = None
    forwards: tuple[Forward, ...] = ()
    masquerades: tuple[Masquerade, ...] = ()
    kill_switch: KillSwitch | None = None
    ping: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is needed."""
        return not (self.listen_port or self.forwards or self.masquerades or self.kill_switch or self.ping)

    def answers(self) -> list[Forward]:
        """The ways on which only answers may pass: the reverse of each forward that is no forward itself."""
        return [forward.back() for forward in self.forwards if forward.back() not in self.forwards]


def wish(
    name: str,
    listen_port: int | None,
    forward: list[dict],
    masquerade: list[dict],
    kill_switch: dict | None = None,
    ping: bool = False,
) -> Wish:
    """The wish in the module's options, sorted and without repetition. Raises ValueError naming the option."""
    _values.interface(name)
    if listen_port is not None:
        _values.number("listen_port", listen_port, 1, 65535)
    forwards = set()
    for number, entry in enumerate(forward):
        option = f"forward[{number}]"
        for end in ("from", "to"):
            _check_interface(f"{option}.{end}", entry.get(end))
        networks = [_network(f"{option}.{end}", entry.get(end)) for end in ("source", "destination")]
        forwards.add(Forward(entry.get("from"), entry.get("to"), *networks))
    masquerades = set()
    for number, entry in enumerate(masquerade):
        option = f"masquerade[{number}]"
        for end in ("from", "to"):
            _check_interface(f"{option}.{end}", entry.get(end))
        sender, receiver = (_network(f"{option}.{end}", entry.get(end)) for end in ("source", "destination"))
        masquerades.add(Masquerade(sender, entry.get("from"), entry.get("to"), receiver))
    return Wish(
        name,
        listen_port,
        tuple(sorted(forwards, key=_forward_key)),
        tuple(sorted(masquerades, key=_masquerade_key)),
        _kill_switch(kill_switch),
        ping,
    )


def _forward_key(one: Forward) -> tuple:
    return (one.source or "", one.target or "", *map(_network_key, (one.sender, one.receiver)))


def _masquerade_key(one: Masquerade) -> tuple:
    return (*map(_network_key, (one.sender, one.receiver)), one.source or "", one.target or "")


def _network_key(network: Network | None) -> tuple:
    return (network.version, network) if network else (0,)


def _kill_switch(options: dict | None) -> KillSwitch | None:
    if not options:
        return None
    _values.number("kill_switch.fwmark", options["fwmark"], 1, 2**32 - 1)
    interfaces, allowed = options.get("interfaces") or [], options.get("allowed") or []
    for number, interface in enumerate(interfaces):
        _check_interface(f"kill_switch.interfaces[{number}]", interface)
    networks = {_network(f"kill_switch.allowed[{number}]", text) for number, text in enumerate(allowed)}
    return KillSwitch(
        options["fwmark"],
        tuple(sorted(set(interfaces))),
        tuple(sorted(networks, key=_network_key)),
    )


def _check_interface(option: str, name: str | None) -> None:
    if name is not None and not ANY_INTERFACE.fullmatch(name):
        raise ValueError(f"{option} is {name!r}: write the name of an interface, such as eth0")


def _network(option: str, text: str | None) -> Network | None:
    try:
        return None if text is None else ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}; write a network such as 10.44.0.0/24") from None
