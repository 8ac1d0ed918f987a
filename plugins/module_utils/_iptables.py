# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chains of our own in iptables and ip6tables: how they say what an interface needs, and how they are loaded."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _ufw
from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import Backend, State
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._files import text_of
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wish import Forward, Masquerade, Wish

COMMANDS = {4: "iptables", 6: "ip6tables"}
# Which of our chains each built-in chain jumps to. A chain has at most 28 characters, an interface 15.
CHAINS = {"INPUT": "wg-in-", "FORWARD": "wg-fwd-", "POSTROUTING": "wg-nat-"}
TABLES = {"filter": ("INPUT", "FORWARD"), "nat": ("POSTROUTING",)}
PINGS = {4: "-p icmp -m icmp --icmp-type 8", 6: "-p ipv6-icmp -m icmp6 --icmpv6-type 128"}
# What came in by the tunnel and is to be masqueraded, since POSTROUTING does not know any more whence it came.
MARK = "0x20000000/0x20000000"
EMPTY_TABLE = re.compile(r"table \S+ \S+ \{\n(\tchain \S+ \{\n\t\ttype [^\n]* policy accept;\n\t\}\n\n?)*\}\n")
# Whatever is executable here, netfilter-persistent(8) calls when it loads the host's rules.
PLUGINS = "/usr/share/netfilter-persistent/plugins.d"
PLUGIN = """\
#!/bin/sh
# Made by wirefleet.wireguard.wg_firewall: the rules for {interface} come back after the ruleset is flushed.
[ "$1" != start ] || {load}
"""
SCRIPT = """\
# Made by wirefleet.wireguard.wg_firewall: loads the rules for {interface}, as often as one likes.
jump() {{ "$1" -w -t "$2" -C "$3" -j "$4" 2>/dev/null || echo "-I $3 -j $4"; }}
"""


class Iptables(Backend):
    """Chains of our own, with one jump each from the head of a built-in one; one transaction for each IP version."""

    rules_file = "/etc/wireguard/{}.iptables"
    unit_name = "wireguard-iptables-{}.service"
    flushers = ("nftables.service", "iptables.service", "ip6tables.service")
    # These two load ours as well. At the same time as the unit, both would find no jump, and add one.
    loaders = (*flushers, "netfilter-persistent.service", "ufw.service")
    drop_in = "iptables-wireguard-{}.conf"

    def __init__(self, run_command: RunCommand, interface: str) -> None:
        super().__init__(run_command, interface)
        self.name = "ufw" if _ufw.is_active() else "iptables"
        found = {version: find(command) for version, command in COMMANDS.items()}
        if not os.path.exists("/proc/net/if_inet6"):
            found[6] = None
        self._commands = {COMMANDS[version]: path for version, path in found.items() if path}
        self.rules = tuple(self._commands)
        self.load_command = f"{find('sh')} {self.rules_path}"

    def governs(self, family: str, table: str) -> bool:
        """What iptables shows of nftables."""
        return family in ("ip", "ip6") and table == "filter"

    def filters(self) -> bool:
        """Whether others have rules here, or drop what no rule lets in or pass. Raises FirewallError."""
        return any(has_rules_of_others(self._save(command, "filter")) for command in self._commands)

    def live(self) -> State:
        """Of each IP version our chains and the jumps to them, as iptables-save prints them. Raises FirewallError."""
        return {command: own_rules(self._save(command), self.interface) for command in self._commands}

    def _save(self, command: str, *table: str) -> str:
        return self.run([f"{self._commands[command]}-save", *(word for each in table for word in ("--table", each))])

    def wanted_rules(self, wish: Wish) -> tuple[State, str]:
        """The rules, and a shell script that loads them."""
        wanted: State = {COMMANDS[version]: render(wish, version) for version in COMMANDS}
        wanted = {command: wanted[command] for command in self._commands}
        texts = [script(self._commands[command], text) for command, text in wanted.items() if text]
        return wanted, SCRIPT.format(interface=self.interface) + "".join(texts)

    def load(self, before: State, after: State) -> None:
        """One transaction for each IP version that differs. Raises FirewallError."""
        for command, path in self._commands.items():
            if before[command] != after[command]:
                argv = [f"{path}-restore", "--wait", "--noflush"]
                self.run(argv, data=transaction(before[command] or "", after[command] or ""))
                for table in _tables(before[command] or "").keys() - _tables(after[command] or "").keys():
                    self._drop_if_empty("ip" if command == "iptables" else "ip6", table[1:])

    def _drop_if_empty(self, family: str, table: str) -> None:
        """In nftables, iptables makes a table when it is first asked for it, and leaves it there for good."""
        nft = find("nft")
        if nft:
            _code, out, _err = self._run_command([nft, "list", "table", family, table])
            if out and EMPTY_TABLE.fullmatch(out):
                self.run([nft, "delete", "table", family, table])

    def other_files(self, wanted: bool) -> State:
        """The unit and its drop-ins, and hooks of those that reload otherwise than by systemd."""
        files = super().other_files(wanted)
        hooks = text_of(_ufw.AFTER_INIT)
        if hooks and wanted and self.name == "ufw":
            files[_ufw.AFTER_INIT] = _ufw.hooked(hooks, self.interface, self.load_command, _ufw.mode())
        elif hooks:
            files[_ufw.AFTER_INIT] = _ufw.unhooked(hooks, self.interface)
        if os.path.isdir(PLUGINS):
            text = PLUGIN.format(interface=self.interface, load=self.load_command)
            files[self._plugin()] = text if wanted else None
        return files

    def _plugin(self) -> str:
        # run-parts(8) passes over files with dots, and more, in their names.
        return f"{PLUGINS}/60-wireguard-" + re.sub("[^A-Za-z0-9-]", lambda odd: f"_{ord(odd[0]):x}", self.interface)

    def mode(self, path: str, text: str) -> int:
        """Hooks are run."""
        if path == _ufw.AFTER_INIT:
            return _ufw.mode_for(text, text_of(path) or "", _ufw.mode())
        return 0o755 if path.startswith(PLUGINS) else super().mode(path, text)


def render(wish: Wish, version: int) -> str | None:
    """What ``own_rules`` gives once all that a wish needs of one IP version is loaded; None if that is nothing."""
    rules = {
        "INPUT": _input_rules(wish, version),
        "FORWARD": _forward_rules(wish, version),
        "POSTROUTING": [f"{_match(one, wish.name, version)} -j MASQUERADE" for one in _of(wish.masquerades, version)],
    }
    text = ""
    for table, hooks in TABLES.items():
        chains = {CHAINS[hook] + wish.name: hook for hook in sorted(hooks) if rules[hook]}
        if chains:
            lines = [f":{chain} - [0:0]" for chain in chains]
            lines += [f"-A {hook} -j {chain}" for chain, hook in chains.items()]
            lines += [f"-A {chain} {rule}" for chain, hook in chains.items() for rule in rules[hook]]
            text += "\n".join([f"*{table}", *lines, "COMMIT", ""])
    return text or None


def _input_rules(wish: Wish, version: int) -> list[str]:
    rules = [f"-p udp -m udp --dport {wish.listen_port} -j ACCEPT"] if wish.listen_port else []
    return rules + ([f"-i {wish.name} {PINGS[version]} -j ACCEPT"] if wish.ping else [])


def _forward_rules(wish: Wish, version: int) -> list[str]:
    rules = []
    if wish.forwards:
        rules.append(f"-o {wish.name} -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu")
    for one in _of(wish.masquerades, version):
        if one.source:
            rules.append(f"{_match(Forward(*one[1:3], one[0], one[3]), wish.name, version)} -j MARK --set-xmark {MARK}")
    rules += [f"{_match(forward, wish.name, version)} -j ACCEPT" for forward in _of(wish.forwards, version)]
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    return rules + [f"{_match(back, wish.name, version)} {answers}" for back in _of(wish.answers(), version)]


def _of(several: t.Iterable, version: int) -> list:
    """Those forwards or masquerades whose networks, if any, are of an IP version."""
    return [one for one in several if {net.version for net in (one.sender, one.receiver) if net} <= {version}]


def _match(one: Forward | Masquerade, tunnel: str, version: int) -> str:
    """What picks the packets, in the order and form of iptables-save."""
    parts = [f"{flag} {net}" for flag, net in (("-s", one.sender), ("-d", one.receiver)) if net and net.prefixlen]
    if isinstance(one, Forward):
        parts.append(f"-i {one.source}" if one.source else f"! -i {tunnel}")
    parts.append(f"-o {one.target}" if one.target else f"! -o {tunnel}")
    parts += [f"-m mark --mark {MARK}"] if isinstance(one, Masquerade) and one.source else []
    return " ".join(parts)


def own_rules(saved: str, interface: str) -> str | None:
    """Of what iptables-save prints, our chains of an interface and the jumps to them, in a fixed order."""
    ours = {prefix + interface for prefix in CHAINS.values()}
    found: dict[str, list[tuple]] = {}
    for line in saved.splitlines():
        words = line.split()
        if line.startswith("*"):
            lines = found.setdefault(line, [])
        elif line.startswith(":") and words[0][1:] in ours:
            lines.append((0, words[0], line))
        elif line.startswith("-A") and words[1] in ours:
            lines.append((2, words[1], line))
        elif line.startswith("-A") and words[-1] in ours:
            lines.append((1, words[1], line))
    text = ""
    for table, lines in sorted(found.items()):
        if lines:
            lines.sort(key=lambda each: each[:2])
            text += "\n".join([table, *(each[2] for each in lines), "COMMIT", ""])
    return text or None


def has_rules_of_others(saved: str) -> bool:
    """Whether a table ``filter``, as iptables-save prints it, has rules or a policy that are not ours."""
    ours = f"(?!.*-j ({'|'.join(CHAINS.values())}))"
    return bool(re.search(rf"^(:(INPUT|FORWARD) DROP|-A (INPUT|FORWARD) {ours})", saved, re.MULTILINE))


def _tables(text: str) -> dict[str, list[str]]:
    """The lines of each table, in what ``own_rules`` gives."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            lines = found.setdefault(line, [])
        elif line != "COMMIT":
            lines.append(line)
    return found


def transaction(before: str, after: str) -> str:
    """The input of ``iptables-restore --noflush`` that makes what was there to what shall be, each as ``own_rules``
    gives it: all or nothing, and no moment without rules.
    """
    was, shall = _tables(before), _tables(after)
    text = ""
    for table in sorted({*was, *shall}):
        old, new = was.get(table, []), shall.get(table, [])
        chains = sorted({line for line in (*old, *new) if line.startswith(":")})
        gone = [line[1:].split()[0] for line in chains if line not in new]
        kept = list(new)
        jumps = [line for line in old if _is_jump(line)]
        for jump in list(jumps):
            if jump in kept:
                kept.remove(jump)
                jumps.remove(jump)
        lines = [
            *chains,  # which empties them
            *(jump.replace("-A", "-D", 1) for jump in jumps),
            *(f"-X {chain}" for chain in gone),
            *(line.replace("-A", "-I", 1) if _is_jump(line) else line for line in kept if line not in chains),
        ]
        text += "\n".join([table, *lines, "COMMIT", ""])
    return text


def _is_jump(line: str) -> bool:
    return line.startswith("-A") and line.split()[1] in CHAINS


def script(command: str, text: str) -> str:
    """The part of a shell script that loads what ``own_rules`` gives, with jumps only where there are none yet."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("*"):
            table = line[1:]
        lines.append(f"$(jump {command} {table} {words[1]} {words[-1]})" if _is_jump(line) else line)
    return "\n".join([f"{command}-restore --wait --noflush <<END", *lines, "END", ""])
