# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The timer that looks up the names of endpoints again, for peers that do not answer where they were.

It is three files of one interface: a script, its service, and the timer. Whom to look up, the script reads in the
interface's own file, so that there is no second list which could differ.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _netns
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._unit import UNITS, escaped

# A session is renewed after 120 seconds and refused after 180 (whitepaper, 6.1); 135 is the limit of upstream's
# contrib/reresolve-dns. Nothing is looked up for a peer that answers, so that one that roamed is not reset.
# Names are looked up in the host's own network, where the encrypted packets are, also if the interface is elsewhere;
# and not by wg, which repeats a failed look-up many times. A dead name waits beside the others, not before them.
SCRIPT = r"""#!/bin/bash
# Made by wirefleet.wireguard.wg_interface: looks up again the names of {name}'s peers that do not answer.
stale_seconds=135
declare -A names
while read -r key value; do
    case ${{key,,}} in
        '[peer]') peer='' name='' ;;
        publickey) peer=$value ;;
        endpointname) name=$value ;;
    esac
    [[ ! $peer || ! $name ]] || names[$peer]=$name
done < <(sed -nE -e 's/^\s*(\[Peer\]).*/\1/Ip' \
    -e 's/^\s*(PublicKey)\s*=\s*([^[:space:]#]+).*/\1 \2/Ip' \
    -e 's/^\s*#\s*(EndpointName)\s*=\s*([^[:space:]#]+).*/\1 \2/Ip' {file})
look_up() {{
    read -r address _ < <(getent ahosts "${{2%:*}}") || {{ echo "$2 does not resolve" >&2; return; }}
    [[ $address != *:* ]] || address="[$address]"
    {wg} set {name} peer "$1" endpoint "$address:${{2##*:}}"
}}
now=$(date +%s)
while read -r peer handshake; do
    if [[ ${{names[$peer]}} ]] && ((now - handshake > stale_seconds)); then
        look_up "$peer" "${{names[$peer]}}" &
        ((++started % 16)) || wait
    fi
done < <({wg} show {name} latest-handshakes 2>/dev/null)
wait
"""
SERVICE = """\
# Made by wirefleet.wireguard.wg_interface.
[Unit]
Description=Look up the endpoints of the WireGuard interface {name}
After=wg-quick@{unit}.service nss-lookup.target
# Who stops the timer ends a look-up that has begun, too; that is no failure.
PartOf=wireguard-endpoints-{unit}.timer

[Service]
Type=oneshot
ExecStart=-/bin/bash {script}
# What is said of a name is kept, that the service ran, twice a minute, is not.
SyslogLevel=notice
LogLevelMax=notice
"""
TIMER = """\
# Made by wirefleet.wireguard.wg_interface.
[Unit]
Description=Look up the endpoints of the WireGuard interface {name}

[Timer]
OnActiveSec=5
OnUnitInactiveSec=30
AccuracySec=1

[Install]
WantedBy=timers.target
"""


class State(t.NamedTuple):
    """What there is, or shall be."""

    files: dict[str, str | None]  # text by path
    enabled: bool  # starts at boot
    active: bool  # was started


class Timer:
    """The timer of one interface, with systemd; ``netns`` is the network namespace that this is in, or None."""

    def __init__(
        self, run_command: RunCommand, interface: str, config_file: str, netns: str | None = None, units: str = UNITS
    ) -> None:
        unit = f"wireguard-endpoints-{escaped(interface)}"
        script = f"{config_file[: -len('.conf')]}.endpoints"
        self.name = f"{unit}.timer"
        self._run_command = run_command
        self._link = f"{units}/timers.target.wants/{self.name}"
        wg = f"nsenter --net={_netns.DIRECTORY}/{netns} wg" if netns else "wg"
        values = {"name": interface, "unit": escaped(interface), "file": config_file, "script": script, "wg": wg}
        self._texts = {
            script: SCRIPT.format(**values),
            f"{units}/{unit}.service": SERVICE.format(**values),
            f"{units}/{self.name}": TIMER.format(**values),
        }

    def read(self) -> State:
        """What there is. Where there is nothing, no process is started."""
        files = {path: _files.text_of_own(path) for path in self._texts}
        if not any(files.values()):
            return self.wanted(False)
        is_active = self._run_command([find("systemctl"), "is-active", "--quiet", self.name])[0] == 0
        return State(files, os.path.exists(self._link), is_active)

    def wanted(self, has_names: bool) -> State:
        """What shall be there for an interface of which a peer has a name as endpoint, or none."""
        files = self._texts if has_names else dict.fromkeys(self._texts)
        return State(files, enabled=has_names, active=has_names)

    def steps(self, now: State, new: State) -> list[Step]:
        """From one state to another.

        Files change between ``disable`` and ``enable``, each of which has systemd read its units again. So it never has
        other units than there are files, and of a run that was killed in between the next one sees what is left to do.
        """
        different = [path for path in new.files if new.files[path] != now.files[path]]
        stop = (now.enabled or now.active) and bool(different or not new.active)
        steps = []
        if stop:
            steps.append(self._step("disable", f"stop {self.name}"))
        for path in different:
            text = f"{'remove' if new.files[path] is None else 'write'} {path}"
            steps.append(Step("file", (path, "644"), text, new.files[path]))
        if new.active and (stop or not (now.enabled and now.active)):
            steps.append(self._step("enable", f"start {self.name}"))
        return steps

    def _step(self, verb: str, text: str) -> Step:
        return Step("command", ("systemctl", verb, "--quiet", "--now", self.name), text)
