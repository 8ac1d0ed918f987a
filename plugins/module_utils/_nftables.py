# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an interface needs of the firewall, and how nftables says it: a table of its own. Pure."""

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
    """What an interface needs of the firewall."""

    name: str
    listen_port: int | None = None
    forwards: tuple[Forward, ...] = ()
    masquerades: tuple[Masquerade, ...] = ()
    kill_switch: KillSwitch | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is needed."""
        return not (self.listen_port or self.forwards or self.masquerades or self.kill_switch)

    def answers(self) -> list[Forward]:
        """The ways on which only answers may pass: the reverse of each forward that is no forward itself."""
        return [forward.back() for forward in self.forwards if forward.back() not in self.forwards]


def wish(
    name: str, listen_port: int | None, forward: list[dict], masquerade: list[dict], kill_switch: dict | None = None
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
        tuple(sorted(forwards, key=lambda each: passing(name, each))),
        tuple(sorted(masquerades, key=_masquerade_key)),
        _kill_switch(kill_switch),
    )


def _masquerade_key(one: Masquerade) -> tuple:
    networks = [(network.version, network) if network else (0,) for network in (one.sender, one.receiver)]
    return (*networks, one.source or "", one.target or "")


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
        tuple(sorted(networks, key=lambda network: (network.version, network))),
    )


def _check_interface(option: str, name: str | None) -> None:
    if name is not None and not ANY_INTERFACE.fullmatch(name):
        raise ValueError(f"{option} is {name!r}: write the name of an interface, such as eth0")


def _network(option: str, text: str | None) -> Network | None:
    try:
        return None if text is None else ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}; write a network such as 10.44.0.0/24") from None


def table_name(name: str) -> str:
    """The table of an interface. Names may hold = and +, nft's identifiers may not; / is in no interface name, so the
    escapes are unique.
    """
    return "wireguard_" + name.replace("=", "/3d").replace("+", "/2b")


def interface_of(table: str) -> str | None:
    """The interface of a table, None for a table of others."""
    prefix, _underscore, name = table.partition("_")
    return name.replace("/3d", "=").replace("/2b", "+") if prefix == "wireguard" else None


def render(wanted: Wish) -> str:
    """The table, exactly as ``nft --stateless list table`` prints it (compared: nftables 1.0.6 and 1.1.3)."""
    chains = [
        _chain("input", "filter", "filter", _input_rules(wanted)),
        _chain("forward", "filter", "filter", _forward_rules(wanted)),
        _chain("output", "filter", "filter", _output_rules(wanted)),
        _chain("postrouting", "nat", "srcnat", _postrouting_rules(wanted)),
    ]
    return f"table inet {table_name(wanted.name)} {{\n" + "\n".join(filter(None, chains)) + "}\n"


def _chain(hook: str, kind: str, priority: str, rules: list[str]) -> str:
    """A base chain; nothing if it has no rules."""
    if not rules:
        return ""
    lines = [f"type {kind} hook {hook} priority {priority}; policy accept;", *rules]
    return f"\tchain {hook} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def _input_rules(wanted: Wish) -> list[str]:
    return [f"udp dport {wanted.listen_port} counter accept"] if wanted.listen_port else []


def _forward_rules(wanted: Wish) -> list[str]:
    if not wanted.forwards:
        return []
    # Whoever opens a connection into the tunnel learns its smaller packets; the answers' segments are clamped by the
    # SYN of the other side. The kernel only ever lowers the value.
    clamp = f'oifname "{wanted.name}" tcp flags syn tcp option maxseg size set rt mtu'
    return [
        clamp,
        *(f"{passing(wanted.name, forward)} counter accept" for forward in wanted.forwards),
        *(
            f"{passing(wanted.name, forward)} ct state established,related counter accept"
            for forward in wanted.answers()
        ),
    ]


def passing(tunnel: str, forward: Forward) -> str:
    """The part of a rule that picks what passes from one interface to the other."""
    parts = [_leaving_or_entering("iifname", forward.source, tunnel)]
    parts.append(_leaving_or_entering("oifname", forward.target, tunnel))
    parts += [_address("saddr", forward.sender)] if forward.sender else []
    parts += [_address("daddr", forward.receiver)] if forward.receiver else []
    return " ".join(parts)


def _leaving_or_entering(what: str, interface: str | None, tunnel: str) -> str:
    return f'{what} "{interface}"' if interface else f'{what} != "{tunnel}"'


def _postrouting_rules(wanted: Wish) -> list[str]:
    rules = []
    for one in wanted.masquerades:
        parts = [_address("saddr", one.sender)] if one.sender else []
        parts += [f'iifname "{one.source}"'] if one.source else []
        parts.append(_leaving_or_entering("oifname", one.target, wanted.name))
        parts += [_address("daddr", one.receiver)] if one.receiver else []
        rules.append(f"{' '.join(parts)} counter masquerade")
    return rules


def _output_rules(wanted: Wish) -> list[str]:
    if wanted.kill_switch is None:
        return []
    mark, interfaces, allowed = wanted.kill_switch
    # Whoever reached the host gets his answers, the controller for one. Neighbours, routers and DHCPv6 are not beyond
    # the link. ARP and DHCP never come by here.
    return [
        "ct direction reply accept",
        f"meta mark 0x{mark:08x} accept",
        *(f'oifname "{interface}" accept' for interface in ("lo", wanted.name, *interfaces)),
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        "ip6 daddr fe80::/10 accept",
        "ip6 daddr ff02::/16 accept",
        *(f"{_address('daddr', network)} accept" for network in allowed),
        "counter reject with icmpx admin-prohibited",
    ]


def _address(field: str, network: Network) -> str:
    """The part of a rule that picks a sender or a receiver, in the one form in which nft prints it."""
    if network.prefixlen == 0:
        return f"meta nfproto ipv{network.version}"
    family = "ip" if network.version == 4 else "ip6"
    single = network.prefixlen == network.max_prefixlen
    return f"{family} {field} {network.network_address if single else network}"


def transaction(wanted: Wish) -> str:
    """The input of ``nft --file`` that puts the table in place of the one there is, if any, all or nothing."""
    table = f"table inet {table_name(wanted.name)}"
    return f"{table}\ndelete {table}\n{render(wanted)}"
