# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Name servers of an interface, as wg-quick(8) hands them to resolvconf(8)."""

from __future__ import annotations

import contextlib
import re

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config

INTERFACE_ORDER = "/etc/resolvconf/interface-order"
# Name servers and search domains; empty: none
Dns = tuple


def adapted(config: Config) -> Config:
    """A configuration that this host can bring up.

    ``DNS =`` makes wg-quick call resolvconf, and fail without it, at boot too. A host with systemd-resolved alone gets
    commands for that instead, which mean the same: these servers are asked for everything (``~.``).
    """
    if not config.dns:
        return config._replace(dns_search=())
    if find("resolvconf") or not find("resolvectl"):
        return config
    commands = (
        f"resolvectl dns %i {' '.join(config.dns)}",
        f"resolvectl domain %i {' '.join((*config.dns_search, '~.'))}",
    )
    return config._replace(dns=(), dns_search=(), post_up=commands + config.post_up)


def check(config: Config) -> None:
    """Raises DeviceError if an adapted configuration has name servers and the host nothing to hand them to."""
    if config.dns and not find("resolvconf"):
        raise DeviceError(
            "dns is set, but this host has neither 'resolvconf' nor systemd-resolved: install openresolv or "
            "systemd-resolved, or leave dns out"
        )


def steps(name: str, old: Dns, new: Dns) -> list[Step]:
    """From some name servers to others; resolvconf replaces what it knows of an interface."""
    if old == new:
        return []
    interface = _prefix() + name
    if not new:
        return [Step("command", ("resolvconf", "-d", interface, "-f"), "remove name servers")]
    servers, domains = new
    lines = [f"nameserver {server}\n" for server in servers]
    lines += [f"search {' '.join(domains)}\n"] if domains else []
    text = f"set name servers {', '.join(servers)}"
    return [Step("command", ("resolvconf", "-a", interface, "-m", "0", "-x"), text, "".join(lines))]


def _prefix() -> str:
    """Debian's resolvconf sorts interfaces by their names; wg-quick(8) borrows the first pattern's beginning."""
    with contextlib.suppress(FileNotFoundError), open(INTERFACE_ORDER, encoding="utf-8", errors="replace") as file:
        for line in file:
            pattern = re.fullmatch(r"([A-Za-z0-9-]+)\*", line.rstrip("\n"))
            if pattern:
                return f"{pattern[1]}."
    return ""
