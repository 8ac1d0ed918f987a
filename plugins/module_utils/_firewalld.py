# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""firewalld: a zone and policies of our own, as files of its permanent configuration (firewalld.policy(5)).

They open what firewalld would reject. All else, masquerading for one, is in our table of nftables beside it.
"""

from __future__ import annotations

import glob
import os
import re
from xml.etree import ElementTree

from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import Backend, FirewallError, State
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._files import text_of, text_of_own
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wish import Wish

SETTINGS = "/etc/firewalld/firewalld.conf"
ZONES, PACKAGED_ZONES = "/etc/firewalld/zones", "/usr/lib/firewalld/zones"
POLICIES = "/etc/firewalld/policies"
RUNNING = "zone in firewalld"
# Our policies by the ends of their names, and from which zone to which they are; None is ours. A name has at most 18
# characters, an interface 15.
WAYS = {"-in": ("ANY", "HOST"), "-fw": (None, "ANY"), "-to": ("ANY", None)}
MADE_BY = "Made by wirefleet.wireguard.wg_firewall."
# All that can be set, permanently or until the next reload; without what comes and goes with the links.
SETTABLE = ("--list-all-zones", "--list-all-policies", "--get-ipsets", "--direct --get-all-rules")
PASSING = re.compile(r" \((default|active|, )+\)$|^  interfaces:.*\n", re.MULTILINE)


def is_active(run_command: RunCommand) -> bool:
    """Whether firewalld is there, and runs."""
    command = find("firewall-cmd")
    return command is not None and run_command([command, "--state"])[0] == 0


class Firewalld(Backend):
    """A zone for the interface, with what the default zone lets in; and policies for what is to pass besides."""

    name = "firewalld"
    rules = (RUNNING,)
    rules_file = f"{ZONES}/{{}}.xml"

    def __init__(self, run_command: RunCommand, interface: str) -> None:
        super().__init__(run_command, interface)
        self.persistent = True
        self.load_command = "firewall-cmd --reload"
        self._policies = {end: f"{POLICIES}/{interface}{end}.xml" for end in WAYS}

    @classmethod
    def interfaces(cls) -> set[str]:
        """Those with a zone that we have made."""
        return {os.path.basename(path)[:-4] for path in glob.glob(f"{ZONES}/*.xml") if MADE_BY in (text_of(path) or "")}

    def governs(self, family: str, table: str) -> bool:
        """The tables of firewalld, whichever back end it has itself."""
        return (family, table) == ("inet", "firewalld") or (family in ("ip", "ip6") and table == "filter")

    def live(self) -> State:
        """Whether our zone is loaded."""
        if not is_active(self._run_command):
            return {RUNNING: None}
        loaded = self.interface in self._say("--get-zones").split()
        return {RUNNING: "loaded\n" if loaded else None}

    def _say(self, arguments: str) -> str:
        return self.run([find("firewall-cmd") or "firewall-cmd", *arguments.split()])

    def read(self) -> State:
        """What there is. Raises FirewallError."""
        return {**self.live(), **{path: text_of_own(path) for path in (*self._policies.values(), self.rules_path)}}

    def has_files(self) -> bool:
        """Whether our zone is there."""
        return MADE_BY in (text_of(self.rules_path) or "")

    def wanted(self, wish: Wish) -> State:
        """What shall be there for a wish. Raises FirewallError."""
        if wish.is_empty:
            return dict.fromkeys((RUNNING, *self._policies.values(), self.rules_path))
        self._check_names()
        rendered = policies(wish)
        files = {path: rendered.get(end) for end, path in self._policies.items()}
        return {RUNNING: "loaded\n", **files, self.rules_path: zone(wish, _default_zone())}

    def _check_names(self) -> None:
        if not re.fullmatch("[A-Za-z0-9_-]+", self.interface):
            raise FirewallError(f"firewalld allows no zone {self.interface}: give the interface a name without = + .")
        for path in glob.glob(f"{ZONES}/*.xml"):
            text = text_of(path) or ""
            name = os.path.basename(path)[:-4]
            if path == self.rules_path and MADE_BY not in text:
                raise FirewallError(f"firewalld has a zone {name} already: give the interface another name")
            if path != self.rules_path and re.search(f'<interface name="{re.escape(self.interface)}"', text):
                raise FirewallError(
                    f"the zone {name} of firewalld has {self.interface}, which is to have a zone of its own: take it "
                    f"out with 'firewall-cmd --permanent --zone={name} --remove-interface={self.interface}'"
                )

    def apply(self, before: State, after: State) -> None:
        """Write the files, and have firewalld load them, which it does at a reload only. Raises FirewallError."""
        active = is_active(self._run_command)
        if active:
            self._check_that_a_reload_loses_nothing()
        paths = [path for path in after if path.startswith("/") and before[path] != after[path]]
        for path in paths:
            self.put(path, after[path])
        if active:
            try:
                self._say("--check-config")
            except FirewallError:
                for path in paths:
                    self.put(path, before[path])
                raise
            self._say("--reload")

    def _check_that_a_reload_loses_nothing(self) -> None:
        for what in SETTABLE:
            if settings(self._say(what)) != settings(self._say(f"--permanent {what}")):
                raise FirewallError(
                    f"firewalld has settings that the reload which this change needs would lose (firewall-cmd {what}): "
                    "keep them with 'firewall-cmd --runtime-to-permanent', or drop them with 'firewall-cmd --reload'"
                )


def settings(listed: str) -> list[list[str]]:
    """What firewall-cmd lists, zone by zone, with rules in any order: that of the permanent ones is another."""
    return [sorted(each.splitlines()) for each in PASSING.sub("", listed).strip().split("\n\n")]


def _default_zone() -> str:
    """The text of the default zone."""
    found = re.search(r"^DefaultZone=(\S+)", text_of(SETTINGS) or "", re.MULTILINE)
    name = found[1] if found else "public"
    text = text_of(f"{ZONES}/{name}.xml") or text_of(f"{PACKAGED_ZONES}/{name}.xml")
    if text is None:
        raise FirewallError(f"firewalld's default zone {name} is neither in {ZONES} nor in {PACKAGED_ZONES}")
    return text


def zone(wish: Wish, default: str) -> str:
    """The zone of the interface: what the default zone, given as its text, lets in, and pings; no other interface."""
    root = ElementTree.fromstring(default)
    for child in list(root):
        if child.tag in ("short", "description", "interface", "source", "forward", "masquerade"):
            root.remove(child)
    ElementTree.SubElement(root, "description").text = MADE_BY
    ElementTree.SubElement(root, "interface", name=wish.name)
    if any(one.source == one.target == wish.name for one in wish.forwards):
        ElementTree.SubElement(root, "forward")
    if wish.ping:
        _accept(root, ("icmp-type", {"name": "echo-request"}))
    return _text(root)


def policies(wish: Wish) -> dict[str, str]:
    """The policies by the ends of their names. Raises FirewallError for what firewalld cannot say."""
    found = {}
    if wish.listen_port:
        root = _policy(wish.name, "-in")
        ElementTree.SubElement(root, "port", port=str(wish.listen_port), protocol="udp")
        found["-in"] = _text(root)
    for one in wish.forwards:
        other = one.target if one.source == wish.name else one.source
        if other not in (None, wish.name):
            raise FirewallError(f"firewalld knows zones, and no single interface {other}: leave it out of forward")
    for end, way in (("-fw", (wish.name, None)), ("-to", (None, wish.name))):
        forwards = [one for one in wish.forwards if (one.source, one.target) == way]
        if forwards:
            root = _policy(wish.name, end)
            for one in forwards:
                ends = {"source": one.sender, "destination": one.receiver}
                _accept(root, *((tag, {"address": str(net)}) for tag, net in ends.items() if net))
            found[end] = _text(root)
    return found


def _policy(interface: str, end: str) -> ElementTree.Element:
    """A policy without rules."""
    root = ElementTree.Element("policy", target="CONTINUE")
    ElementTree.SubElement(root, "description").text = MADE_BY
    for tag, name in zip(("ingress-zone", "egress-zone"), WAYS[end]):
        ElementTree.SubElement(root, tag, name=name or interface)
    return root


def _accept(root: ElementTree.Element, *matches: tuple[str, dict[str, str]]) -> None:
    """Add a rule that accepts. One with addresses is of their IP version."""
    addresses = [options["address"] for _tag, options in matches if "address" in options]
    version = {"family": "ipv6" if ":" in addresses[0] else "ipv4"} if addresses else {}
    rule = ElementTree.SubElement(root, "rule", version)
    for tag, options in matches:
        ElementTree.SubElement(rule, tag, options)
    ElementTree.SubElement(rule, "accept")


def _text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'
