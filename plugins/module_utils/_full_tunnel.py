# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policy routing for a default route in AllowedIPs, just as wg-quick(8) makes it, so that its ``down`` takes it off.

Packets that carry the device's fwmark are WireGuard's own and go out as ever. All others look into the main table,
but past its default route (``suppress_prefixlength 0``), and then into the table that is numbered as the fwmark, which
holds a default route into the tunnel. A firewall table keeps strangers on the LAN from reaching the tunnel's addresses,
and carries the mark over to the answers, which ``src_valid_mark`` makes the reverse path filter look at.
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find

FIRST_TABLE = 51820
SRC_VALID_MARK = "/proc/sys/net/ipv4/conf/all/src_valid_mark"
# systemd-networkd removes all rules but its own whenever it configures a link, unless told not to (networkd.conf(5)).
# It reads this when it starts, so it is for the rules that wg-quick adds after the next boot; until then those that are
# added here pass for the kernel's own, which it leaves alone.
NETWORKD = "/run/systemd/netif/state"
NETWORKD_FILE = "/etc/systemd/networkd.conf.d/70-wireguard-{}.conf"
NETWORKD_TEXT = """\
# Managed by Ansible (wirefleet.wireguard.wg_interface): the rules that lead everything into the tunnel stay.
[Network]
ManageForeignRoutingPolicyRules=no
"""
# Of a family: the option of ip(8), the family of nft(8)
FAMILIES = {"4": "ip", "6": "ip6"}


class Rules(t.NamedTuple):
    """The routing rules of one family that matter here, of whomever they are."""

    tables: dict[int, int]  # "not fwmark T lookup T": T -> its priority
    suppress: int | None  # the priority of "lookup main suppress_prefixlength 0"


class Policy(t.NamedTuple):
    """What is there."""

    rules: dict[str, Rules]  # by family, "4" and "6"
    guards: dict[str, tuple[int, frozenset[str]] | None]  # by family: mark and addresses of the firewall table
    src_valid_mark: bool
    networkd_runs: bool = False
    networkd_file: str | None = None  # our file for it


def is_wanted(allowed_ips: t.Iterable[str], table: str) -> bool:
    """Whether wg-quick(8) would set up policy routing."""
    return table == "auto" and any(network.endswith("/0") for network in allowed_ips)


def families_of(allowed_ips: t.Iterable[str]) -> frozenset[str]:
    """The families that have a default route."""
    return frozenset("6" if ":" in network else "4" for network in allowed_ips if network.endswith("/0"))


def free_table(run_command: RunCommand) -> int:
    """The first table from 51820 on that is empty in both families, as wg-quick(8) looks for one."""
    ip = find("ip")
    table = FIRST_TABLE

    def is_used() -> bool:
        shown = (run_command([ip, f"-{family}", "route", "show", "table", str(table)])[1] for family in FAMILIES)
        return any(routes.strip() for routes in shown)

    while ip and is_used():
        table += 1
    return table


def read(run_command: RunCommand, name: str) -> Policy:
    """What is there now; for the device ``name`` as far as it tells devices apart."""
    ip, nft = find("ip"), find("nft")
    rules, guards = {}, {}
    for family, nft_family in FAMILIES.items():
        code, out, _err = run_command([ip, "-json", "-Numeric", f"-{family}", "rule", "show"]) if ip else (1, "", "")
        rules[family] = _rules(json.loads(out) if code == 0 and out.strip() else [])
        guards[family] = None
        if nft:
            code, out, _err = run_command([nft, "--json", "list", "table", nft_family, f"wg-quick-{name}"])
            guards[family] = _guard(json.loads(out)["nftables"]) if code == 0 else None
    try:
        with open(SRC_VALID_MARK, encoding="ascii") as file:
            src_valid_mark = file.read().strip() == "1"
    except OSError:
        src_valid_mark = False
    networkd_file = _files.read_own(NETWORKD_FILE.format(name))
    return Policy(
        rules,
        guards,
        src_valid_mark,
        os.path.exists(NETWORKD),
        None if networkd_file is None else networkd_file.decode("utf-8", "surrogateescape"),
    )


def _rules(listed: list[dict]) -> Rules:
    tables, suppress = {}, None
    for rule in listed:
        if "not" in rule and rule.get("table") == str(int(rule.get("fwmark", "0"), 16)):
            tables[int(rule["table"])] = rule["priority"]
        elif rule.get("table") == "254" and rule.get("suppress_prefixlen") == 0 and "fwmark" not in rule:
            suppress = rule["priority"]
    return Rules(tables, suppress)


def _guard(objects: list[dict]) -> tuple[int, frozenset[str]]:
    """The mark and the protected addresses in what ``nft --json`` tells; no mark unless all is as we write it."""
    mark, addresses, restores = 0, set(), False
    for rule in (entry["rule"] for entry in objects if "rule" in entry):
        for expression in rule["expr"]:
            match = expression.get("match", {})
            left, right = match.get("left", {}), match.get("right")
            if left.get("payload", {}).get("field") == "daddr":
                addresses.add(right)
            elif left.get("meta", {}).get("key") == "mark":
                mark = right
            restores = restores or expression.get("mangle", {}).get("key", {}).get("meta", {}).get("key") == "mark"
    return (mark if restores else 0, frozenset(addresses))


def check() -> None:
    """Raises DeviceError if the host lacks what wg-quick(8) would need too."""
    if not find("nft"):
        raise DeviceError(
            "a default route in allowed_ips needs the command 'nft' on this host: install nftables, or set table to "
            "off or a number"
        )


def steps(
    name: str, live: Policy, table: int, families: t.Collection[str], addresses: t.Sequence[str], own: t.Collection[int]
) -> tuple[list[Step], list[Step]]:
    """Steps that set up policy routing for ``families`` through ``table``, and steps that take off what is left over.

    ``own``: the tables that belong to this device; rules that name others are others'.
    """
    new: list[Step] = []
    old: list[Step] = []
    for family, nft_family in FAMILIES.items():
        rules, guard = live.rules[family], live.guards[family]
        if family in families:
            new += _rule_steps(family, rules, table)
            protected = {one.partition("/")[0] for one in addresses if (":" in one) == (family == "6")}
            if not _guards(guard, table, protected):
                new.append(_guard_step(name, nft_family, table, protected))
        elif guard is not None:
            script = f"delete table {nft_family} wg-quick-{name}\n"
            old.append(Step("nft", (), f"remove firewall table {nft_family} wg-quick-{name}", script))
        leftover = [one for one in rules.tables if one in own and not (family in families and one == table)]
        old += [_rule(family, "del", f"not fwmark {one} table {one}") for one in leftover]
        # Every full tunnel of the host shares this rule.
        if rules.suppress is not None and leftover and set(rules.tables) == set(leftover) and family not in families:
            old.append(_rule(family, "del", "table main suppress_prefixlength 0"))
    if "4" in families and not live.src_valid_mark:
        new.append(Step("write", (SRC_VALID_MARK, "1"), "set net.ipv4.conf.all.src_valid_mark"))
    networkd_file = NETWORKD_FILE.format(name)
    if families and live.networkd_runs and live.networkd_file != NETWORKD_TEXT:
        new.append(Step("file", (networkd_file, "644"), f"write {networkd_file}", NETWORKD_TEXT))
    if not families and live.networkd_file is not None:
        old.append(Step("file", (networkd_file,), f"remove {networkd_file}"))
    return new, old


def _guards(guard: tuple[int, frozenset[str]] | None, mark: int, addresses: set[str]) -> bool:
    if guard is None or guard[0] != mark:
        return False
    # wg-quick also protects a link-local address that the kernel made.
    return all(address.startswith("fe80:") for address in guard[1] ^ addresses)


def _rule_steps(family: str, rules: Rules, table: int) -> list[Step]:
    """Each new rule without a priority goes before all others, so the one to be asked first is added last."""
    suppress = _rule(family, "add", "table main suppress_prefixlength 0")
    here = rules.tables.get(table)
    if here is None and rules.suppress is None:
        return [_rule(family, "add", f"not fwmark {table} table {table}"), suppress]
    if here is None:
        return [_rule(family, "add", f"not fwmark {table} table {table} priority {rules.suppress + 1}")]
    if rules.suppress is None:
        return [suppress]
    if rules.suppress > here:
        return [_rule(family, "del", "table main suppress_prefixlength 0"), suppress]
    return []


def _rule(family: str, verb: str, rule: str) -> Step:
    text = f"{'add' if verb == 'add' else 'remove'} IPv{family} rule: {rule}"
    protocol = ("protocol", "kernel") if verb == "add" else ()
    return Step(f"ip{family}", ("rule", verb, *rule.split(), *protocol), text)


def _guard_step(name: str, nft_family: str, mark: int, addresses: t.Iterable[str]) -> Step:
    """The rules of wg-quick(8), in one transaction."""
    table = f"{nft_family} wg-quick-{name}"
    lines = [f"add table {table}", f"delete table {table}", f"add table {table}"]
    for chain, hook, priority in (
        ("preraw", "prerouting", -300),
        ("premangle", "prerouting", -150),
        ("postmangle", "postrouting", -150),
    ):
        lines.append(f"add chain {table} {chain} {{ type filter hook {hook} priority {priority}; }}")
    for address in sorted(addresses):
        lines.append(
            f'add rule {table} preraw iifname != "{name}" {nft_family} daddr {address} fib saddr type != local drop'
        )
    lines.append(f"add rule {table} postmangle meta l4proto udp mark {mark} ct mark set mark")
    lines.append(f"add rule {table} premangle meta l4proto udp meta mark set ct mark")
    return Step("nft", (), f"set firewall table {table}", "\n".join(lines) + "\n")
