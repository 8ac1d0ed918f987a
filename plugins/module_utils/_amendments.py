# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains of nftables that belong to others: which of them drop what shall pass, and rules of ours in them.

An ``accept`` in a table of our own does not help against them. Rules are added there by permission only, at the head,
and known again by their comment.
"""

from __future__ import annotations

import json
import os
import shlex
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _filtering
from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import Backend, FirewallError, State
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._files import text_of
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._nftables import passing, pings
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wish import Wish

COMMENT = "wireguard {}"
TITLE = "rules in the chains of others"
SCRIPT = """\
# Made by wirefleet.wireguard.wg_firewall: adds what the host's own chains lack for {interface}, where it is missing.
insert() {{ {nft} --stateless list chain $1 | grep -qF -- "$2" || {nft} "insert rule $1 $2"; }}
"""


class Amendments(Backend):
    """Rules at the head of base chains of others, which let pass what these would drop."""

    name = "amendments"
    rules = (TITLE,)
    rules_file = "/etc/wireguard/{}.amendments"
    unit_name = "wireguard-amendments-{}.service"
    loaders = ("nftables.service",)
    flushers = ("nftables.service",)
    drop_in = "amendments-wireguard-{}.conf"

    def __init__(
        self, run_command: RunCommand, interface: str, nft: str, missing: t.Sequence[_filtering.Obstacle] = ()
    ) -> None:
        super().__init__(run_command, interface)
        self._nft = nft
        self._missing = missing
        self._comment = f'comment "{COMMENT.format(interface)}"'
        self.load_command = f"{find('sh')} {self.rules_path}"

    def live(self) -> State:
        """Our rules, each after its chain. Raises FirewallError."""
        rules = [f"{chain} {rule}\n" for chain, rule, _handle in self._added()]
        return {TITLE: "".join(sorted(rules)) or None}

    def _added(self) -> list[tuple[str, str, str]]:
        listing = self.run([self._nft, "--stateless", "--terse", "--handle", "list", "ruleset"])
        return added(listing, self._comment)

    def wanted_rules(self, wish: Wish) -> tuple[State, str]:
        """The rules that are missing, and a shell script that adds them."""
        rules = sorted({(each.where, f"{each.traffic} accept {self._comment}") for each in self._missing})
        lines = [f"insert {shlex.quote(chain)} {shlex.quote(rule)}\n" for chain, rule in rules]
        text = SCRIPT.format(interface=self.interface, nft=self._nft) + "".join(lines)
        return {TITLE: "".join(f"{chain} {rule}\n" for chain, rule in rules)}, text

    def load(self, before: State, after: State) -> None:
        """Add and delete in one transaction. Raises FirewallError."""
        had, shall = ((state[TITLE] or "").splitlines() for state in (before, after))
        lines = [f"insert rule {rule}" for rule in shall if rule not in had]
        if had:
            lines += [
                f"delete rule {chain} handle {handle}"
                for chain, rule, handle in self._added()
                if f"{chain} {rule}" not in shall
            ]
        if lines:
            self.run([self._nft, "--file", "-"], data="".join(f"{line}\n" for line in lines))


def added(listing: str, comment: str) -> list[tuple[str, str, str]]:
    """Chain, text and handle of each rule with a comment, in what ``nft --handle list ruleset`` prints."""
    found, table, chain = [], "", ""
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("table "):
            table = " ".join(words[1:3])
        elif line.startswith("\tchain "):
            chain = words[1]
        elif f"{comment} # handle " in line:
            rule, _hash, handle = line.strip().rpartition(" # handle ")
            found.append((f"{table} {chain}", rule, handle))
    return found


def obstacles(
    run_command: RunCommand, nft: str, wish: Wish, governs: t.Callable[[str, str], bool]
) -> list[_filtering.Obstacle]:
    """The chains of others that drop what a wish lets pass; our rules in them are left aside. Raises FirewallError.

    ``governs`` tells of a table, by its family and name, whether a back end sees to its chains.
    """

    def say(*arguments: str) -> dict:
        code, out, err = run_command([nft, "--json", *arguments])
        if code != 0:
            raise FirewallError(f"'{nft} --json {' '.join(arguments)}' failed: {err.strip()}")
        return json.loads(out)

    def elements(kind: str, family: str, table: str, name: str) -> list:
        """The elements of a named set or map."""
        listed = say("list", kind, family, table, name)["nftables"]
        return next((entry[kind].get("elem", []) for entry in listed if kind in entry), [])

    if wish.is_empty:
        return []
    ruleset = say("--terse", "list", "ruleset")["nftables"]
    others = [each for each in ruleset if each.get("rule", {}).get("comment") != COMMENT.format(wish.name)]
    return _filtering.obstacles({"nftables": others}, governs, traffic(wish, default_route_interfaces()), elements)


def traffic(wish: Wish, uplinks: set[str]) -> list[_filtering.Traffic]:
    """What must pass the chains of others for a wish: WireGuard's packets, pings, what is forwarded, the answers."""
    kinds = []
    if wish.listen_port:
        facts: dict[str, set] = {"l4proto": {"udp"}, "dport": {wish.listen_port}, "ct state": {"new"}}
        # Not the tunnel itself, which is the default route of a full-tunnel client.
        if uplinks - {wish.name}:
            facts["iifname"] = uplinks - {wish.name}
        versions = (4, 6) if _has_global_ipv6(lambda name: name not in ("lo", wish.name)) else (4,)
        kinds.append(_filtering.Traffic("input", f"udp dport {wish.listen_port}", facts, versions, "dport"))
    for version, ping in pings(wish).items():
        l4proto = {"icmp" if version == 4 else "ipv6-icmp"}
        facts = {"l4proto": l4proto, "type": {"echo-request"}, "iifname": {wish.name}, "ct state": {"new"}}
        kinds.append(_filtering.Traffic("input", ping, facts, (version,), "type"))
    # Of an interface that is not there yet it is not known.
    is_there = os.path.exists(f"/sys/class/net/{wish.name}")
    versions = (4, 6) if not is_there or _has_global_ipv6(lambda name: name == wish.name) else (4,)
    others = set(os.listdir("/sys/class/net")) - {"lo", wish.name}
    for forwards, state, suffix in (
        (wish.forwards, "new", ""),
        (wish.answers(), "established", " ct state established,related"),
    ):
        for forward in forwards:
            facts = {"ct state": {state}}
            for fact, interface in (("iifname", forward.source), ("oifname", forward.target)):
                facts[fact] = {interface} if interface else others
            network = forward.sender or forward.receiver
            rule = passing(wish.name, forward) + suffix
            kinds.append(_filtering.Traffic("forward", rule, facts, (network.version,) if network else versions))
    return kinds


def default_route_interfaces() -> set[str]:
    """The interfaces that default routes of either family leave by, from proc(5)."""
    found = set()
    for line in (text_of("/proc/net/route") or "").splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[7] == "00000000":
            found.add(fields[0])
    for line in (text_of("/proc/net/ipv6_route") or "").splitlines():
        fields = line.split()
        # The kernel has an unreachable default route on lo.
        if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            found.add(fields[9])
    return found


def _has_global_ipv6(chosen: t.Callable[[str], bool]) -> bool:
    """Whether a chosen interface has an IPv6 address that is not link-local."""
    lines = [line.split() for line in (text_of("/proc/net/if_inet6") or "").splitlines()]
    return any(scope != "20" and chosen(name) for _address, _index, _length, scope, _flags, name in lines)
