# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall of a host as one interface needs it: what is, what shall be, and the steps between.

A back end is a class with the methods of ``Nftables``; ``backend()`` chooses. What the interface needs (``Wish``) is
the same for all of them.
"""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _filtering, _nftables
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._unit import Systemd, escaped, service

RULES_FILE = "/etc/wireguard/{}.nft"
UNITS = "/etc/systemd/system"
DROP_INS = f"{UNITS}/nftables.service.d"

# Loads the rules at boot, after nftables.service if that runs. It is ordered before nothing: before network-pre.target
# would be a cycle where the network comes up before sysinit.target (cloud-init).
UNIT = """\
# Made by wirefleet.wireguard.wg_firewall.
[Unit]
Description=Firewall rules for the WireGuard interface {name}
After=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} --file {file}
ExecReload={nft} --file {file}
ExecStop=-{nft} delete table inet {table}

[Install]
WantedBy=multi-user.target
"""

# nftables.service flushes every table whenever it starts or reloads, and then loads its own. To have its jobs
# propagated to our unit (WantedBy=, PartOf=) would not do: a start does nothing where the unit is active already.
DROP_IN = """\
# Made by wirefleet.wireguard.wg_firewall: the rules for {name} come back after the ruleset is flushed.
[Service]
ExecStartPost=-{nft} --file {file}
ExecReload=-{nft} --file {file}
"""


class FirewallError(Exception):
    """The firewall cannot be read or changed, or lacks what the wish needs."""


class State(t.NamedTuple):
    """What there is for one interface, or shall be."""

    table: str | None  # the live table, as nft prints it
    files: dict[str, str | None]  # text by path
    enabled: bool = False  # the unit at boot
    active: bool = False  # the unit now


class Nftables:
    """A table of our own in nftables, a file with it, and, with systemd, a unit that loads the file.

    Without systemd the file is there, but nothing loads it at boot: ``persistent`` is False.
    """

    name = "nftables"

    def __init__(self, run_command: RunCommand, interface: str, nft: str | None) -> None:
        self._run_command = run_command
        self._nft = nft
        self.interface = interface
        self.table = _nftables.table_name(interface)
        self.persistent = isinstance(service(run_command, interface), Systemd)
        self.unit = f"wireguard-firewall-{escaped(interface)}.service"
        self.rules_file = RULES_FILE.format(interface)
        self._unit_files = {f"{UNITS}/{self.unit}": UNIT, f"{DROP_INS}/wireguard-{interface}.conf": DROP_IN}
        self._link = f"{UNITS}/multi-user.target.wants/{self.unit}"

    def read(self) -> State:
        """What there is. Raises FirewallError."""
        table = self._live_table()
        if not self.persistent:
            return State(table, {self.rules_file: _text(self.rules_file)})
        active = self._run_command(["systemctl", "is-active", "--quiet", self.unit])[0] == 0
        files = {path: _text(path) for path in (self.rules_file, *self._unit_files)}
        return State(table, files, os.path.islink(self._link), active)

    def _live_table(self) -> str | None:
        if self._nft is None:
            return None
        code, out, err = self._run_command([self._nft, "--stateless", "list", "table", "inet", self.table])
        if code == 0:
            return out
        if "No such file or directory" in err:
            return None
        raise FirewallError(f"'nft list table inet {self.table}' failed: {err.strip()}")

    def wanted(self, wish: _nftables.Wish) -> State:
        """What shall be there for a wish."""
        unit_files = self._unit_files if self.persistent else {}
        if wish.is_empty:
            return State(None, dict.fromkeys([self.rules_file, *unit_files]))
        values = {"name": self.interface, "nft": self._nft, "file": self.rules_file, "table": self.table}
        files = {path: text.format(**values) for path, text in unit_files.items()}
        files[self.rules_file] = _nftables.transaction(wish)
        return State(_nftables.render(wish), files, enabled=self.persistent, active=self.persistent)

    def apply(self, before: State, after: State) -> None:
        """Make what is before to what shall be after. Raises FirewallError."""
        # The live table first: should nft refuse it, nothing is left for the next boot to stumble over.
        if before.table != after.table and after.table is not None:
            self._run([self._nft, "--file", "-"], data=after.files[self.rules_file])
        if before.active and not after.active:
            self._run(["systemctl", "stop", self.unit])
        if before.enabled and not after.enabled:
            self._run(["systemctl", "disable", "--quiet", self.unit])
        for path, text in after.files.items():
            if text is None:
                _files.remove(path)
            elif text != before.files[path]:
                secret = path == self.rules_file
                os.makedirs(os.path.dirname(path), mode=0o700 if secret else 0o755, exist_ok=True)
                _files.write_atomically(path, text.encode(), 0o600 if secret else 0o644)
        if os.path.isdir(DROP_INS) and not os.listdir(DROP_INS):
            os.rmdir(DROP_INS)
        if any(before.files[path] != after.files[path] for path in after.files if path != self.rules_file):
            self._run(["systemctl", "daemon-reload"])
        if after.enabled and not before.enabled:
            self._run(["systemctl", "enable", "--quiet", self.unit])
        if after.active and not before.active:
            self._run(["systemctl", "start", self.unit])
        if after.table is None and self._live_table() is not None:
            self._run([self._nft, "delete", "table", "inet", self.table])

    def _run(self, argv: list[str], data: str | None = None) -> None:
        code, out, err = self._run_command(argv, data=data)
        if code != 0:
            raise FirewallError(f"'{' '.join(argv)}' failed: {err.strip() or out.strip()}")

    def obstacles(self, wish: _nftables.Wish) -> list[_filtering.Obstacle]:
        """The chains of others that drop what the wish lets pass. Raises FirewallError."""
        if wish.is_empty:
            return []
        ruleset = self._json("--terse", "list", "ruleset")
        kinds = traffic(wish, default_route_interfaces())
        return _filtering.obstacles(ruleset, self.table, kinds, self._elements)

    def _json(self, *arguments: str) -> dict:
        argv = [self._nft, "--json", *arguments]
        code, out, err = self._run_command(argv)
        if code != 0:
            raise FirewallError(f"'{' '.join(argv)}' failed: {err.strip()}")
        return json.loads(out)

    def _elements(self, kind: str, family: str, table: str, name: str) -> list:
        """The elements of a named set or map."""
        listed = self._json("list", kind, family, table, name)["nftables"]
        return next((entry[kind].get("elem", []) for entry in listed if kind in entry), [])


def interfaces_with_rules(run_command: RunCommand) -> list[str]:
    """The interfaces for which anything of ours is there: a live table, or one of the files that ``apply`` removes."""
    found = set()
    for pattern in (RULES_FILE, f"{DROP_INS}/wireguard-{{}}.conf"):
        before, after = pattern.split("{}")
        found |= {path[len(before) : -len(after)] for path in glob.glob(pattern.format("*"))}
    nft = find("nft")
    if nft:
        _code, out, _err = run_command([nft, "list", "tables", "inet"])
        found |= {_nftables.interface_of(table) for table in re.findall(r"^table inet (\S+)$", out, re.MULTILINE)}
    return sorted(filter(None, found))


def traffic(wish: _nftables.Wish, uplinks: set[str]) -> list[_filtering.Traffic]:
    """What must pass the chains of others for a wish: WireGuard's own packets, what is forwarded, and its answers."""
    kinds = []
    if wish.listen_port:
        facts: dict[str, set] = {"l4proto": {"udp"}, "dport": {wish.listen_port}, "ct state": {"new"}}
        # Not the tunnel itself, which is the default route of a full-tunnel client.
        if uplinks - {wish.name}:
            facts["iifname"] = uplinks - {wish.name}
        versions = (4, 6) if _has_global_ipv6(lambda name: name not in ("lo", wish.name)) else (4,)
        kinds.append(_filtering.Traffic("input", f"udp dport {wish.listen_port}", facts, versions, "dport"))
    versions = (4, 6) if _has_global_ipv6(lambda name: name == wish.name) else (4,)
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
            rule = _nftables.passing(wish.name, forward) + suffix
            kinds.append(_filtering.Traffic("forward", rule, facts, (network.version,) if network else versions))
    return kinds


def default_route_interfaces() -> set[str]:
    """The interfaces that default routes of either family leave by, from proc(5)."""
    found = set()
    for line in (_text("/proc/net/route") or "").splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[7] == "00000000":
            found.add(fields[0])
    for line in (_text("/proc/net/ipv6_route") or "").splitlines():
        fields = line.split()
        # The kernel has an unreachable default route on lo.
        if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            found.add(fields[9])
    return found


def _has_global_ipv6(chosen: t.Callable[[str], bool]) -> bool:
    """Whether a chosen interface has an IPv6 address that is not link-local."""
    lines = [line.split() for line in (_text("/proc/net/if_inet6") or "").splitlines()]
    return any(scope != "20" and chosen(name) for _address, _index, _length, scope, _flags, name in lines)


def _text(path: str) -> str | None:
    content = _files.read(path)
    return None if content is None else content.decode(errors="replace")


def backend(run_command: RunCommand, wish: _nftables.Wish) -> Nftables | None:
    """The back end for a host; None where there is nothing to do, since nothing filters and nothing is translated.

    Raises FirewallError if the host lacks what the wish needs.
    """
    nft = find("nft")
    present = Nftables(run_command, wish.name, nft)
    if nft or wish.is_empty:
        return present
    if wish.masquerades or wish.kill_switch:
        what = "masquerading" if wish.masquerades else "the kill switch"
        raise FirewallError(f"{what} needs the command 'nft', which this host lacks: install the package nftables")
    filtering = _iptables_filters(run_command)
    if filtering:
        raise FirewallError(
            f"{filtering} filters on this host, and the command 'nft' to let WireGuard through is missing: "
            "install the package nftables"
        )
    return None


def _iptables_filters(run_command: RunCommand) -> str | None:
    """The command of a packet filter that drops something on input or forward; None if there is none."""
    for command in ("iptables", "ip6tables"):
        path = find(command)
        if path:
            code, out, _err = run_command([path, "--list-rules"])
            if code == 0 and re.search(r"^-P (INPUT|FORWARD) DROP|-j (DROP|REJECT)\b", out, re.MULTILINE):
                return command
    return None
