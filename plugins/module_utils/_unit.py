# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service that brings an interface up at boot: ``wg-quick@NAME`` of systemd, ``wg-quick.NAME`` of OpenRC."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find, init_system

UNITS = "/etc/systemd/system"


class UnitState(t.NamedTuple):
    """What the init system believes."""

    known: bool  # the service is installed
    enabled: bool  # starts at boot
    active: bool  # was started
    failed: bool = False  # the last start or stop went wrong, and is remembered
    leftover: bool = False  # a killed run left something that must be removed
    redirection: str | None = None  # what has the service run another script than wg-quick


class Service(t.Protocol):
    """How the service of one interface is seen and changed. Every change raises DeviceError if it fails."""

    name: str
    package: str  # what it is in, for people
    can_redirect: bool  # whether it can run another script than wg-quick

    def state(self) -> UnitState:
        """What is."""

    def enable(self) -> None:
        """Start at boot."""

    def disable(self) -> None:
        """Do not start at boot."""

    def stop(self) -> None:
        """Stop: the service's own ``wg-quick down`` runs if there is an interface."""

    def adopt(self, command: t.Sequence[str]) -> None:
        """Make it started by running ``command`` in the place of ``wg-quick up``."""

    def release(self) -> None:
        """Make it inactive without running its ``wg-quick down``: the interface stays, and what serves it."""

    def redirect(self, redirection: str) -> None:
        """Have it run what ``redirection()`` says, or wg-quick again if that is empty."""

    def clean(self) -> None:
        """Remove what a killed run left."""


def service(run_command: RunCommand, interface: str) -> Service | None:
    """The service of an interface; None where no init system could manage it."""
    # What init starts, it starts in its own network namespace: it can do nothing for an interface in another one.
    if not _same_network_as_init():
        return None
    init = init_system()
    if init == "systemd" and find("systemctl"):
        return Systemd(run_command, interface)
    if init == "openrc" and find("rc-service"):
        return OpenRC(run_command, interface)
    return None


def redirection(script: str) -> str:
    """The drop-in that has a systemd unit run ``SCRIPT up`` and ``SCRIPT down``. Reloading would be wg-quick's."""
    return (
        "# Managed by Ansible (wirefleet.wireguard.wg_interface)\n[Service]\n"
        f"ExecStart=\nExecStart=/bin/bash {script} up\nExecStop=\nExecStop=/bin/bash {script} down\nExecReload=\n"
    )


def _same_network_as_init() -> bool:
    try:
        return os.readlink("/proc/1/ns/net") == os.readlink("/proc/self/ns/net")
    except OSError:
        return True


def escaped(interface: str) -> str:
    """An interface's name as a part of the name of a unit of systemd (systemd.unit(5), "String Escaping")."""
    return interface.replace("=", r"\x3d").replace("+", r"\x2b")


class _Runner:
    def __init__(self, run_command: RunCommand) -> None:
        self._run_command = run_command

    def __call__(self, *argv: str, may_fail: bool = False) -> str:
        path = find(argv[0])
        if path is None:
            raise DeviceError(f"the command '{argv[0]}' is missing on this host")
        code, out, err = self._run_command([path, *argv[1:]])
        if code != 0 and not may_fail:
            raise DeviceError(f"'{' '.join(argv)}' failed: {err.strip() or out.strip()}")
        return out


class Systemd:
    """wg-quick@NAME.service, as the packages of wireguard-tools bring it.

    The unit is a oneshot that remains active. So that an interface which is built by us (in one piece, and a thousand
    routes by one process instead of a thousand) is the unit's all the same, the unit is started with another ExecStart
    from a drop-in under /run, which is gone before this returns. Nothing but ExecStart differs: ``stop`` and
    ``restart`` do what they always do, and wireguard-go runs in the unit's control group.
    """

    package = "wireguard-tools"
    can_redirect = True

    def __init__(
        self,
        run_command: RunCommand,
        interface: str,
        runtime: str = "/run/systemd/system",
        settings: str = UNITS,
    ) -> None:
        self.name = f"wg-quick@{interface}"
        self._run = _Runner(run_command)
        self._drop_in = f"{runtime}/{self.name}.service.d/zz-wirefleet-adopt.conf"
        self._redirection = f"{settings}/{self.name}.service.d/wirefleet-netns.conf"

    def state(self) -> UnitState:
        """What is."""
        # An instance that never ran has no properties before somebody asks, but `show` loads it.
        out = self._run("systemctl", "show", self.name, "--property=LoadState,ActiveState,UnitFileState")
        values = dict(line.partition("=")[::2] for line in out.splitlines())
        return UnitState(
            known=values.get("LoadState") == "loaded",
            enabled=values.get("UnitFileState") == "enabled",
            active=values.get("ActiveState") == "active",
            failed=values.get("ActiveState") == "failed",
            leftover=os.path.exists(self._drop_in),
            redirection=_files.text_of_own(self._redirection),
        )

    def enable(self) -> None:
        """Start at boot."""
        self._run("systemctl", "enable", "--quiet", self.name)

    def disable(self) -> None:
        """Do not start at boot."""
        self._run("systemctl", "disable", "--quiet", self.name)

    def stop(self) -> None:
        """Stop. Its ``wg-quick down`` fails where there is no interface any more; stopped it is in any case."""
        self._run("systemctl", "stop", self.name, may_fail=True)
        self._run("systemctl", "reset-failed", self.name, may_fail=True)

    def adopt(self, command: t.Sequence[str]) -> None:
        """Make it active by running ``command`` (a full path and words without a special meaning to systemd)."""
        if self.state().active:
            self.stop()
        _write_drop_in(self._drop_in, f"[Service]\nExecStart=\nExecStart={' '.join(command)}\n")
        try:
            self._run("systemctl", "daemon-reload")
            # Else a few runs within seconds meet the limit of starts of a unit.
            self._run("systemctl", "reset-failed", self.name, may_fail=True)
            self._run("systemctl", "start", self.name)
        finally:
            self.clean()

    def release(self) -> None:
        """Stop it with nothing to run. The control group has no main process, so wireguard-go in it stays as well."""
        _write_drop_in(self._drop_in, "[Service]\nExecStop=\nExecStopPost=\nKillMode=process\n")
        try:
            self._run("systemctl", "daemon-reload")
            self.stop()
        finally:
            self.clean()

    def redirect(self, redirection: str) -> None:
        """Write a drop-in, or remove it."""
        if redirection:
            _write_drop_in(self._redirection, redirection)
        else:
            remove_drop_in(self._redirection)
        self._run("systemctl", "daemon-reload")

    def clean(self) -> None:
        """Remove the drop-in."""
        remove_drop_in(self._drop_in)
        self._run("systemctl", "daemon-reload")


def _write_drop_in(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    _files.write_atomically(path, text.encode(), 0o644)


def remove_drop_in(path: str) -> None:
    """With its folder, unless others have something there. Raises OSError."""
    _files.remove(path)
    folder = os.path.dirname(path)
    if os.path.isdir(folder) and not os.path.islink(folder) and not os.listdir(folder):
        os.rmdir(folder)


class OpenRC:
    """wg-quick.NAME, a link to the init script wg-quick of Alpine's wireguard-tools-openrc."""

    package = "wireguard-tools-openrc"
    can_redirect = False

    def __init__(
        self, run_command: RunCommand, interface: str, scripts: str = "/etc/init.d", runlevels: str = "/etc/runlevels"
    ) -> None:
        self.name = f"wg-quick.{interface}"
        self._run = _Runner(run_command)
        self._scripts = scripts
        self._runlevels = runlevels
        self._link = f"{scripts}/{self.name}"

    def state(self) -> UnitState:
        """What is."""
        linked = os.path.islink(self._link)
        return UnitState(
            known=os.path.exists(f"{self._scripts}/wg-quick"),
            enabled=linked and os.path.lexists(f"{self._runlevels}/default/{self.name}"),
            active=linked and "started" in self._run("rc-service", self.name, "status", may_fail=True),
        )

    def enable(self) -> None:
        """Start at boot."""
        self._link_script()
        self._run("rc-update", "add", self.name, "default")

    def disable(self) -> None:
        """Do not start at boot, and take the link away, unless it is somebody's script or leads to another one."""
        self._run("rc-update", "delete", self.name, "default", may_fail=True)
        if os.path.islink(self._link) and os.path.realpath(self._link) == os.path.realpath(f"{self._scripts}/wg-quick"):
            os.unlink(self._link)

    def stop(self) -> None:
        """Stop; forget about it where there is no interface any more."""
        self._run("rc-service", self.name, "stop", may_fail=True)
        self._run("rc-service", self.name, "zap", may_fail=True)

    def adopt(self, command: t.Sequence[str]) -> None:
        """Run ``command``, then mark the service as started, with OpenRC's own helper for init scripts."""
        self._link_script()
        self._run(*command)
        helper = next((path for path in _MARKERS if os.path.exists(path)), None)
        if helper is None:
            raise DeviceError(
                f"OpenRC's mark_service_started is missing on this host: cannot mark {self.name} as started"
            )
        env = find("env") or "/usr/bin/env"
        self._run(env, f"RC_SVCNAME={self.name}", helper, self.name)

    def release(self) -> None:
        """Mark it as stopped (rc-service(8), zap)."""
        self._run("rc-service", self.name, "zap")

    def redirect(self, redirection: str) -> None:
        """Nothing is ever redirected."""

    def clean(self) -> None:
        """Nothing is ever left."""

    def _link_script(self) -> None:
        if not os.path.islink(self._link):
            os.symlink(f"{self._scripts}/wg-quick", self._link)


_MARKERS = (
    "/usr/libexec/rc/bin/mark_service_started",
    "/libexec/rc/bin/mark_service_started",
    "/lib/rc/bin/mark_service_started",
)
