# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall of a host as one interface needs it: which of its kinds is used, and for what."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _nftables
from ansible_collections.wirefleet.wireguard.plugins.module_utils._amendments import Amendments, obstacles
from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import Backend, FirewallError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._filtering import Obstacle
from ansible_collections.wirefleet.wireguard.plugins.module_utils._firewalld import Firewalld, is_active
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._iptables import Iptables
from ansible_collections.wirefleet.wireguard.plugins.module_utils._nftables import Nftables
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wish import Wish


class Share(t.NamedTuple):
    """A back end, and what of the wish it is to see to; an empty one is to remove what it has."""

    backend: Backend
    wish: Wish


def choose(run_command: RunCommand, wish: Wish, name: str) -> Backend | None:
    """The back end of that name, or with ``auto`` the one that fits this host; None where there is nothing to do, since
    nothing filters and nothing is translated. Raises FirewallError if the host lacks what the wish needs.
    """
    nft = find("nft")
    if name in ("auto", "firewalld"):
        if is_active(run_command):
            return Firewalld(run_command, wish.name)
        if name == "firewalld":
            raise FirewallError("backend is firewalld, which does not run on this host: start it there, or write auto")
    chains = Iptables(run_command, wish.name) if find("iptables") else None
    if name in ("iptables", "ufw"):
        if chains is None:
            raise FirewallError("the command 'iptables' is missing on this host: install the package iptables")
        if name == "ufw" != chains.name:
            raise FirewallError("backend is ufw, which is not active on this host: enable it there, or write auto")
        return chains
    if name == "auto" and chains and (chains.name == "ufw" or chains.filters()):
        return chains
    if nft or wish.is_empty:
        return Nftables(run_command, wish.name, nft)
    if name == "nftables":
        raise FirewallError("the command 'nft' is missing on this host: install the package nftables")
    if wish.kill_switch or (wish.masquerades and not chains):
        raise _needs_nft("the kill switch" if wish.kill_switch else "masquerading")
    return chains if wish.masquerades else None


def _needs_nft(what: str) -> FirewallError:
    return FirewallError(f"{what} needs the command 'nft', which this host lacks: install the package nftables")


def missing(run_command: RunCommand, wish: Wish, chosen: Backend) -> list[Obstacle]:
    """The chains of others in nftables that drop what the wish lets pass. Raises FirewallError."""
    nft = find("nft")
    if nft is None:
        return []
    own = Nftables(run_command, wish.name, nft)
    return obstacles(run_command, nft, wish, lambda *table: own.governs(*table) or chosen.governs(*table))


def shares(run_command: RunCommand, wish: Wish, chosen: Backend, amended: t.Sequence[Obstacle]) -> list[Share]:
    """Who has to see to what on this host: the chosen back end; nftables, for a kill switch in any case, and for all
    that firewalld cannot say; the amendments; and whoever has anything left of an earlier choice. Raises FirewallError.
    """
    nft, nothing = find("nft"), Wish(wish.name)
    found = [Share(chosen, wish)]
    if isinstance(chosen, Iptables):
        if wish.kill_switch and nft is None:
            raise _needs_nft("the kill switch")
        found = [Share(chosen, wish._replace(kill_switch=None))]
        found.append(Share(Nftables(run_command, wish.name, nft), nothing._replace(kill_switch=wish.kill_switch)))
    elif isinstance(chosen, Firewalld):
        if nft is None and not wish.is_empty:
            raise _needs_nft("firewalld")
        found.append(Share(Nftables(run_command, wish.name, nft), wish))
    if find("iptables") and not isinstance(chosen, Iptables):
        found.append(Share(Iptables(run_command, wish.name), nothing))
    if find("firewall-cmd") and not isinstance(chosen, Firewalld):
        found.append(Share(Firewalld(run_command, wish.name), nothing))
    if nft:
        amendments = Amendments(run_command, wish.name, nft, amended)
        found.append(Share(amendments, wish if amended else nothing))
    return [share for share in found if share.backend is chosen or not share.wish.is_empty or share.backend.has_files()]


def every(run_command: RunCommand, interface: str) -> list[Backend]:
    """All that may have rules for an interface on this host, or get some."""
    nft = find("nft")
    found: list[Backend] = [Nftables(run_command, interface, nft)]
    found += [Iptables(run_command, interface)] if find("iptables") else []
    found += [Firewalld(run_command, interface)] if find("firewall-cmd") else []
    found += [Amendments(run_command, interface, nft)] if nft else []
    return found


def interfaces_with_rules(run_command: RunCommand) -> list[str]:
    """The interfaces for which anything of ours is there: a live table of nftables, or a file of any back end."""
    found = set().union(*(backend.interfaces() for backend in (Nftables, Iptables, Firewalld, Amendments)))
    nft = find("nft")
    if nft:
        _code, out, _err = run_command([nft, "list", "tables", "inet"])
        found |= {_nftables.interface_of(table) for table in re.findall(r"^table inet (\S+)$", out, re.MULTILINE)}
    return sorted(filter(None, found))
