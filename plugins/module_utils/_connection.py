# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""By which way the controller is connected to this host. Only reads."""

from __future__ import annotations

import os
import re

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand, run_batch


def ssh_ends(proc: str = "/proc") -> tuple[str | None, str | None]:
    """The addresses of the SSH connection of this process: the client's, and this host's; None if there is none.

    sudo takes SSH_CONNECTION (ssh(1)) out of the environment, but the shell above it still has it.
    """
    pid = str(os.getpid())
    while pid not in ("0", "1"):
        try:
            with open(f"{proc}/{pid}/environ", "rb") as file:
                found = re.search(rb"(?:^|\0)SSH_CONNECTION=(\S+) \S+ (\S+) ", file.read())
            if found:
                return found[1].decode("ascii", "replace"), found[2].decode("ascii", "replace")
            with open(f"{proc}/{pid}/status", encoding="utf-8", errors="replace") as file:
                pid = re.search(r"^PPid:\s*([0-9]+)$", file.read(), re.MULTILINE)[1]
        except OSError:
            return None, None
    return None, None


def interface_towards(run_command: RunCommand, client: str) -> str | None:
    """The interface by which the answers to an address leave; None if there is no way to it."""
    address, _percent, zone = client.partition("%")
    if zone:
        return zone
    try:
        answers = run_batch(run_command, [f"route get {address}"])
    except DeviceError:
        return None
    return next((route.get("dev") for answer in answers for route in answer), None)
