# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall of a host as one interface needs it: what is, what shall be, and the steps between.

A back end is a class with the methods of ``Nftables``; ``backend()`` chooses. What the interface needs (``Wish``) is
the same for all of them.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _filtering, _nftables
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._unit import Systemd, service

RULES_FILE = "/etc/wireguard/{}.nft"
UNIT_DIRECTORY = "/etc/systemd/system"
UNIT_NAME = "wireguard-firewall-{}.service"
WANTED_BY = ("multi-user.target", "nftables.service")

# nftables.service flushes every table whenever it starts, reloads or stops. This unit follows it each time: started
# with it (WantedBy), stopped and restarted with it (PartOf), reloaded with it, and always after it. It has the default
# dependencies and is ordered before nothing: before network-pre.target would be a cycle where the network comes up
# before sysinit.target (cloud-init).
UNIT = """\
# Made by wirefleet.wireguard.wg_firewall.
[Unit]
Description=Firewall rules for the WireGuard interface {name}
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} --file {file}
ExecReload={nft} --file {file}
ExecStop=-{nft} delete table inet {table}

[Install]
WantedBy={wanted_by}
"""


class FirewallError(Exception):
    """The firewall cannot be read or changed, or lacks what the wish needs."""


class State(t.NamedTuple):
    """What there is for one interface, or shall be. Texts are None where there is nothing."""

    table: str | None  # the live table, as nft prints it
    rules_file: str | None
    unit_file: str | None
    enabled: bool
    active: bool


ABSENT = State(None, None, None, False, False)


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
        self.rules_path = RULES_FILE.format(interface)
        self.unit = UNIT_NAME.format(interface.replace("=", r"\x3d").replace("+", r"\x2b"))
        self.unit_path = f"{UNIT_DIRECTORY}/{self.unit}"
        self._links = [f"{UNIT_DIRECTORY}/{target}.wants/{self.unit}" for target in WANTED_BY]
        self.persistent = isinstance(service(run_command, interface), Systemd)

    def read(self) -> State:
        """What there is. Raises FirewallError."""
        table, rules_file = self._live_table(), _text(self.rules_path)
        if not self.persistent:
            return State(table, rules_file, None, False, False)
        unit_file = _text(self.unit_path)
        return State(
            table,
            rules_file,
            unit_file,
            enabled=all(os.path.islink(link) for link in self._links),
            active=unit_file is not None
            and self._run_command(["systemctl", "is-active", "--quiet", self.unit])[0] == 0,
        )

    def _live_table(self) -> str | None:
        if self._nft is None:
            return None
        code, out, err = self._run_command([self._nft, "--stateless", "list", "table", "inet", self.table])
        if code != 0:
            if "No such file or directory" in err:
                return None
            raise FirewallError(f"'nft list table inet {self.table}' failed: {err.strip()}")
        return out

    def wanted(self, wish: _nftables.Wish) -> State:
        """What shall be there for a wish."""
        if wish.is_empty:
            return ABSENT
        return State(
            table=_nftables.render(wish),
            rules_file=_nftables.transaction(wish),
            unit_file=self._unit_text() if self.persistent else None,
            enabled=self.persistent,
            active=self.persistent,
        )

    def _unit_text(self) -> str:
        return UNIT.format(
            name=self.interface, nft=self._nft, file=self.rules_path, table=self.table, wanted_by=" ".join(WANTED_BY)
        )

    def apply(self, before: State, after: State) -> None:
        """Make what is before to what shall be after. Raises FirewallError."""
        if after == ABSENT:
            self._remove(before)
            return
        if before.table != after.table:
            self._run([self._nft, "--file", "-"], data=after.rules_file)
        if before.rules_file != after.rules_file:
            os.makedirs(os.path.dirname(self.rules_path), mode=0o700, exist_ok=True)
            _files.write_atomically(self.rules_path, after.rules_file.encode(), 0o600)
        if before.unit_file != after.unit_file:
            _files.write_atomically(self.unit_path, after.unit_file.encode(), 0o644)
            self._run(["systemctl", "daemon-reload"])
        if after.enabled and not before.enabled:
            self._run(["systemctl", "enable", "--quiet", self.unit])
        if after.active and not before.active:
            self._run(["systemctl", "start", self.unit])

    def _remove(self, before: State) -> None:
        if before.table is not None:
            self._run([self._nft, "delete", "table", "inet", self.table])
        if self.persistent:
            if before.active:
                self._run(["systemctl", "stop", self.unit])
            if [path for path in (*self._links, self.unit_path) if _files.remove(path)]:
                self._run(["systemctl", "daemon-reload"])
        _files.remove(self.rules_path)

    def _run(self, argv: list[str], data: str | None = None) -> None:
        code, out, err = self._run_command(argv, data=data)
        if code != 0:
            raise FirewallError(f"'{' '.join(argv)}' failed: {err.strip() or out.strip()}")

    def obstacles(self, wish: _nftables.Wish) -> list[_filtering.Obstacle]:
        """The chains of others that drop what the wish lets pass. Raises FirewallError."""
        if wish.is_empty:
            return []
        code, out, err = self._run_command([self._nft, "--json", "list", "ruleset"])
        if code != 0:
            raise FirewallError(f"'nft --json list ruleset' failed: {err.strip()}")
        return _filtering.obstacles(json.loads(out), self.table, traffic(wish, default_route_interfaces()))


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
    for forwards, state, suffix in (
        (wish.forwards, "new", ""),
        (wish.answers(), "established", " ct state established,related"),
    ):
        for forward in forwards:
            facts = {"iifname": {forward.source}, "oifname": {forward.target}, "ct state": {state}}
            kinds.append(_filtering.Traffic("forward", _nftables.passing(forward) + suffix, facts, versions))
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
    if wish.masquerades:
        raise FirewallError("masquerading needs the command 'nft', which this host lacks: install the package nftables")
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
