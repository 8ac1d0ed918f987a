# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table of our own in nftables: how it says what an interface needs, and how it is loaded."""

from __future__ import annotations

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _conntrack
from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import Backend, FirewallError, State
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wish import Forward, Network, Wish

ANSWERS = "ct direction reply accept"


class Nftables(Backend):
    """A table of our own, which is replaced in one transaction."""

    name = "nftables"
    rules_file = "/etc/wireguard/{}.nft"
    unit_name = "wireguard-firewall-{}.service"
    loaders = ("nftables.service",)
    flushers = ("nftables.service",)
    drop_in = "wireguard-{}.conf"

    def __init__(self, run_command: RunCommand, interface: str, nft: str | None) -> None:
        super().__init__(run_command, interface)
        self._nft = nft
        self._title = f"table inet {table_name(interface)}"
        self.rules = (self._title,)
        self.load_command = f"{nft} --file {self.rules_path}"
        self.unload_command = f"{nft} delete {self._title}"

    def governs(self, family: str, table: str) -> bool:
        """Our table."""
        return f"table {family} {table}" == self._title

    def live(self) -> State:
        """The table, as nft prints it. Raises FirewallError."""
        if self._nft is None:
            return {self._title: None}
        argv = [self._nft, "--stateless", "list", *self._title.split()]
        code, out, err = self._run_command(argv)
        if code != 0 and "No such file or directory" not in err:
            raise FirewallError(f"'{' '.join(argv[2:])}' failed: {err.strip()}")
        return {self._title: out if code == 0 else None}

    def wanted_rules(self, wish: Wish) -> tuple[State, str]:
        """The table, and the transaction that puts it in place of another."""
        return {self._title: render(wish)}, transaction(wish)

    def load(self, before: State, after: State) -> None:
        """Replace or delete the table. Raises FirewallError."""
        table = after[self._title]
        if before[self._title] != table:
            if ANSWERS in (table or ""):
                _track_inbound()
            self.run([self._nft, "--file", "-"], data=_replacement(self._title, table or ""))


def _track_inbound() -> None:
    """Have connection tracking know the connections whose answers are to pass. Raises FirewallError."""
    try:
        _conntrack.track(_conntrack.inbound())
    except OSError as error:
        raise FirewallError(
            f"a kill switch would cut off the connections to this host that are open, since this kernel cannot be told "
            f"who opened them ({error}): load its module nf_conntrack_netlink"
        ) from None


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
    rules = [f"udp dport {wanted.listen_port} counter accept"] if wanted.listen_port else []
    return rules + [f"{ping} counter accept" for ping in pings(wanted).values()]


def pings(wanted: Wish) -> dict[int, str]:
    """By IP version, the part of a rule that picks the pings to let in."""
    kinds = {4: "icmp", 6: "icmpv6"} if wanted.ping else {}
    return {version: f'iifname "{wanted.name}" {kind} type echo-request' for version, kind in kinds.items()}


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
        ANSWERS,
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
    return _replacement(f"table inet {table_name(wanted.name)}", render(wanted))


def _replacement(title: str, table: str) -> str:
    """The transaction that puts a table, or nothing, in place of the one of that title, if there is any."""
    return f"{title}\ndelete {title}\n{table}"
