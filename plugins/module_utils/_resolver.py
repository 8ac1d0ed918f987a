# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Name servers of an interface, as wg-quick(8) hands them to resolvconf(8), or else as systemd-resolved takes them."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config

INTERFACE_ORDER = "/etc/resolvconf/interface-order"
# Servers and search domains; empty: none
Dns = tuple
# The domain that has systemd-resolved ask these servers for everything, as ``resolvconf -x`` does. It is theirs unless
# there are routing domains, ``~example.net``: then they are asked for these only (systemd.network(5), Domains=).
EVERYTHING = "~."


def dns_of(config: Config | None) -> Dns:
    """The name servers of a configuration. Search domains alone are handed to nobody, as wg-quick has it."""
    return (config.dns, config.dns_search) if config and config.dns else ()


def for_file(config: Config) -> Config:
    """A configuration as wg-quick can bring it up on this host.

    ``DNS =`` makes wg-quick call resolvconf, and fail without it, at boot too; and it always asks for everything. So
    where only some domains are asked for, and on a host with systemd-resolved alone, commands stand for it.
    """
    if not config.dns:
        return config._replace(dns_search=())
    if not find("resolvectl") or (find("resolvconf") and not _splits(config.dns_search)):
        return config
    commands = tuple(" ".join(command) for command in _resolvectl("%i", dns_of(config)))
    return config._replace(dns=(), dns_search=(), post_up=commands + config.post_up)


def from_file(config: Config) -> Config:
    """What ``for_file`` was given."""
    first, second = (tuple(command.split()) for command in (*config.post_up, "", "")[:2])
    dns = (first[3:], tuple(domain for domain in second[3:] if domain != EVERYTHING))
    if config.dns or not dns[0] or (first, second) != _resolvectl("%i", dns):
        return config
    return config._replace(dns=dns[0], dns_search=dns[1], post_up=config.post_up[2:])


def check(config: Config) -> None:
    """Raises DeviceError if a configuration has name servers and the host nothing to hand them to as they are meant."""
    if config.dns and not find("resolvconf") and not find("resolvectl"):
        raise DeviceError(
            "dns is set, but this host has neither 'resolvconf' nor systemd-resolved: install openresolv or "
            "systemd-resolved, or leave dns out"
        )
    if config.dns and _splits(config.dns_search) and (_resolvconf() or not find("resolvectl")):
        domain = next(filter(_is_routing, config.dns_search))
        raise DeviceError(
            f"dns_search has {domain}, but this host hands name servers to resolvconf, which cannot have them asked "
            f"for some domains only: use systemd-resolved there, or write {domain[1:]} to have them asked for all"
        )


def leak(config: Config) -> str | None:
    """What to warn of where everything goes through the tunnel, and queries may go past it all the same."""
    if not config.dns or not _resolvconf() or not os.path.exists(INTERFACE_ORDER):
        return None
    return (
        "this host's resolvconf, Debian's, keeps the name servers of other interfaces too: what those in the tunnel "
        "do not answer, they are asked outside of it; install openresolv or systemd-resolved instead"
    )


def read(run_command: RunCommand, name: str) -> Dns:
    """What the host was handed for the interface; nothing if systemd-resolved asks there for more, or for less."""
    resolvconf, resolvectl = _resolvconf(), find("resolvectl")
    if resolvconf:
        # Openresolv tells of this interface, Debian's resolvconf of all.
        _code, out, _err = run_command([resolvconf, "-l", _prefix() + name])
        return _parsed(out, _prefix() + name)
    if not resolvectl:
        return ()
    servers, domains = (
        tuple(out.partition("):")[2].split())  # Link 3 (wg0): 10.44.0.1
        for _code, out, _err in (run_command([resolvectl, what, name]) for what in ("dns", "domain"))
    )
    named = tuple(domain for domain in domains if domain != EVERYTHING)
    if not servers or (EVERYTHING in domains) == _splits(named):
        return ()
    return servers, named


def _parsed(text: str, interface: str) -> Dns:
    found: dict[str, list[str]] = {"nameserver": [], "search": []}
    heading = ""
    for line in text.splitlines():
        if line.startswith("# resolv.conf from "):
            heading = line.split()[-1]
        key, *values = line.split() or [""]
        if heading == interface and key in found:
            found[key] += values
    return (tuple(found["nameserver"]), tuple(found["search"])) if found["nameserver"] else ()


def steps(name: str, live: Dns, new: Dns) -> list[Step]:
    """From some name servers to others; both programs replace what they know of an interface."""
    if live == new:
        return []
    text = f"set name servers {', '.join(new[0])}" if new else "remove name servers"
    if not find("resolvconf") or (new and _splits(new[1])):
        commands = _resolvectl(name, new) if new else (("resolvectl", "revert", name),)
        return [Step("command", command, text) for command in commands]
    interface = _prefix() + name
    if not new:
        return [Step("command", ("resolvconf", "-d", interface, "-f"), text)]
    servers, domains = new
    lines = [f"nameserver {server}\n" for server in servers]
    lines += [f"search {' '.join(domains)}\n"] if domains else []
    return [Step("command", ("resolvconf", "-a", interface, "-m", "0", "-x"), text, "".join(lines))]


def _resolvectl(name: str, dns: Dns) -> tuple[tuple[str, ...], tuple[str, ...]]:
    servers, domains = dns
    everything = () if _splits(domains) else (EVERYTHING,)
    return ("resolvectl", "dns", name, *servers), ("resolvectl", "domain", name, *domains, *everything)


def _is_routing(domain: str) -> bool:
    return domain.startswith("~")


def _splits(domains: t.Iterable[str]) -> bool:
    """Whether the name servers are for some domains only."""
    return any(map(_is_routing, domains))


def _resolvconf() -> str | None:
    """The command, unless it is systemd-resolved's link of that name."""
    path = find("resolvconf")
    return path if path and os.path.basename(os.path.realpath(path)) != "resolvectl" else None


def _prefix() -> str:
    """Debian's resolvconf sorts interfaces by their names; wg-quick(8) borrows the first pattern's beginning."""
    with contextlib.suppress(FileNotFoundError), open(INTERFACE_ORDER, encoding="utf-8", errors="replace") as file:
        for line in file:
            pattern = re.fullmatch(r"([A-Za-z0-9-]+)\*", line.rstrip("\n"))
            if pattern:
                return f"{pattern[1]}."
    return ""
