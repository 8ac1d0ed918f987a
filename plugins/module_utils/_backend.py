# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the back ends of the firewall have in common: how the rules of one interface are, shall be, and get there."""

from __future__ import annotations

import glob
import os
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._files import text_of, text_of_own
from ansible_collections.wirefleet.wireguard.plugins.module_utils._unit import (
    UNITS,
    Systemd,
    escaped,
    remove_drop_in,
    service,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wish import Wish

PACKAGED_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
NOT_LOADED = "disabled, inactive\n"
LOADED = "enabled, active\n"

# Loads the rules at boot, after those of the host. It is ordered before nothing: before network-pre.target would be a
# cycle where the network comes up before sysinit.target (cloud-init).
UNIT = """\
# Made by wirefleet.wireguard.wg_firewall.
[Unit]
Description=Firewall rules for the WireGuard interface {interface}
After={loaders}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={load}
ExecReload={load}
{stop}
[Install]
WantedBy=multi-user.target
"""

# A service that loads the host's own ruleset flushes ours whenever it starts or reloads. To have its jobs propagated to
# our unit (WantedBy=, PartOf=) would not do: a start does nothing where the unit is active already.
DROP_IN = """\
# Made by wirefleet.wireguard.wg_firewall: the rules for {interface} come back after the ruleset is flushed.
[Service]
ExecStartPost=-{load}
ExecReload=-{load}
"""

State = dict[str, t.Optional[str]]
"""What there is for one interface, or shall be: a text for each thing (rules, file, unit), None: it is not there."""


class FirewallError(Exception):
    """The firewall cannot be read or changed, or lacks what the wish needs."""


class Backend:
    """The rules of one interface in one kind of firewall, and a file from which they come back.

    With systemd, a unit loads the file at boot, and drop-ins after each flush. Without, nothing does: ``persistent`` is
    False.
    """

    name: str
    rules: tuple[str, ...]  # what ``live`` tells of
    rules_file: str  # of the interface {}
    unit_name: str | None = None  # of the interface {}
    loaders: tuple[str, ...]  # the services that load the host's own rules
    flushers: tuple[str, ...] = ()  # those of them after which ours have to be loaded again
    drop_in: str  # the file by which each of them loads it again, of the interface {}
    load_command: str  # loads the file, as often as one likes; for systemd
    unload_command: str | None = None

    def __init__(self, run_command: RunCommand, interface: str) -> None:
        self._run_command = run_command
        self.interface = interface
        self.rules_path = self.rules_file.format(interface)
        self.persistent = isinstance(service(run_command, interface), Systemd)
        self.unit = None
        if self.unit_name and self.persistent:
            self.unit = self.unit_name.format(escaped(interface))

    # --- what each back end says ---

    def governs(self, family: str, table: str) -> bool:
        """Whether the chains of a table of nftables are this back end's own: it sees to it that they let pass."""
        raise NotImplementedError

    def live(self) -> State:
        """The rules that are loaded. Raises FirewallError."""
        raise NotImplementedError

    def wanted_rules(self, wish: Wish) -> tuple[State, str]:
        """The rules that shall be loaded for a wish that is not empty, and the file that loads them."""
        raise NotImplementedError

    def load(self, before: State, after: State) -> None:
        """Bring the rules that are loaded from before to after. Raises FirewallError."""
        raise NotImplementedError

    def other_files(self, wanted: bool) -> State:
        """The files beside the one with the rules, as they shall be."""
        if not self.unit:
            return {}
        here = [each for each in self.flushers if any(os.path.exists(f"{at}/{each}") for at in PACKAGED_UNITS)]
        values = {
            "interface": self.interface,
            "load": self.load_command,
            "stop": f"ExecStop=-{self.unload_command}\n" if self.unload_command else "",
            "loaders": " ".join(self.loaders),
        }
        files: State = {f"{UNITS}/{self.unit}": UNIT.format(**values) if wanted else None}
        for each in self.flushers:
            path = f"{UNITS}/{each}.d/{self.drop_in.format(self.interface)}"
            files[path] = DROP_IN.format(**values) if wanted and each in here else None
        return files

    def mode(self, path: str, text: str) -> int:
        """The mode of a file, by what shall be in it."""
        return 0o600 if path == self.rules_path else 0o644

    # --- what is the same for all, or most ---

    @classmethod
    def interfaces(cls) -> set[str]:
        """The interfaces of which any file is there; costs no command."""
        found = set()
        for pattern in (cls.rules_file, *(f"{UNITS}/{each}.d/{cls.drop_in}" for each in cls.flushers)):
            before, after = pattern.split("{}")
            found |= {path[len(before) : -len(after)] for path in glob.glob(pattern.format("*"))}
        return found

    def read(self) -> State:
        """What there is. Raises FirewallError."""
        state = self.live()
        state.update({path: text_of_own(path) for path in (*self.other_files(wanted=False), self.rules_path)})
        if self.unit:
            enabled = os.path.islink(f"{UNITS}/multi-user.target.wants/{self.unit}")
            active = self._run_command(["systemctl", "is-active", "--quiet", self.unit])[0] == 0
            state[self.unit] = f"{'enabled' if enabled else 'disabled'}, {'active' if active else 'inactive'}\n"
        return state

    def wanted(self, wish: Wish) -> State:
        """What shall be there for a wish."""
        if wish.is_empty:
            state: State = {**dict.fromkeys(self.rules), **self.other_files(wanted=False), self.rules_path: None}
        else:
            rules, text = self.wanted_rules(wish)
            state = {**rules, **self.other_files(wanted=True), self.rules_path: text}
        if self.unit:
            state[self.unit] = NOT_LOADED if wish.is_empty else LOADED
        return state

    def has_files(self) -> bool:
        """Whether any of its files is there; costs no command."""
        files = {**self.other_files(wanted=False), self.rules_path: None}
        return any(text_of(path) != text for path, text in files.items())

    def apply(self, before: State, after: State) -> None:
        """Make what is before to what shall be after. Raises FirewallError and OSError."""
        # The live rules first: should they be refused, nothing is left for the next boot to stumble over.
        self.load(before, after)
        was, shall = (state.get(self.unit or "") or NOT_LOADED for state in (before, after))
        if was.endswith(" active\n") and not shall.endswith(" active\n"):
            self.run(["systemctl", "stop", self.unit])
        if was.startswith("enabled") and not shall.startswith("enabled"):
            self.run(["systemctl", "disable", "--quiet", self.unit])
        changed = {path for path in after if path.startswith("/") and before[path] != after[path]}
        for path in changed:
            self.put(path, after[path])
        if any(path.startswith(UNITS) for path in changed):
            self.run(["systemctl", "daemon-reload"])
        if shall.startswith("enabled") and not was.startswith("enabled"):
            self.run(["systemctl", "enable", "--quiet", self.unit])
        if shall.endswith(" active\n") and not was.endswith(" active\n"):
            self.run(["systemctl", "start", self.unit])

    def put(self, path: str, text: str | None) -> None:
        """Write or remove a file. Raises OSError."""
        directory = os.path.dirname(path)
        if text is None:
            remove = remove_drop_in if directory.startswith(UNITS + "/") else _files.remove
            remove(path)
        else:
            mode = self.mode(path, text)
            os.makedirs(directory, mode=0o755 if mode & 0o044 else 0o700, exist_ok=True)
            _files.write_atomically(path, text.encode(), mode)

    def run(self, argv: list[str], data: str | None = None) -> str:
        """What a command says. Raises FirewallError if it fails."""
        code, out, err = self._run_command(argv, data=data)
        if code != 0:
            raise FirewallError(f"'{' '.join(argv)}' failed: {err.strip() or out.strip()}")
        return out
