# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a key gives way to the next one on a running interface: announced to the peers, taken, followed by them.

A peer knows the next key beside the present one, without AllowedIPs, and moves these as soon as the next key has
shaken hands. Until then the present one works; so nobody has to do anything at the same moment as anybody else, and
two that rotate at once find each other, since the later one's first handshake is with a key that the other knows.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _device, _files
from ansible_collections.wirefleet.wireguard.plugins.module_utils._apply import Applier
from ansible_collections.wirefleet.wireguard.plugins.module_utils._detached import detach
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, Peer, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step, section
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import FILE_MODE, Interface, Now
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import MODE

# How often the peers look for the handshake: at most this long, and the time of two processes, a packet is dropped.
LOOK_SECONDS = 0.05
# Any interval will do: that keepalives are turned on is what makes WireGuard send one at once.
_NUDGE = "25"


class Successor(t.NamedTuple):
    """A peer's present public key and its next one; ``name`` is for people."""

    name: str
    public_key: str
    next_public_key: str


def announcement(peers: t.Mapping[str, Peer], successors: t.Iterable[Successor]) -> list[Step]:
    """The steps that make next keys known beside the present ones, where they are not yet.

    The endpoint is the one that is known now, not the declared one: behind NAT there is no other.
    """
    steps = []
    for successor in successors:
        present = peers.get(successor.public_key)
        if present and successor.next_public_key not in peers:
            peer = Peer(successor.next_public_key, present.preshared_key, present.endpoint)
            text = f"announce the next key {peer.public_key} of {successor.name}"
            steps.append(Step("peers", (), text, section(peer)))
    return steps


def succession(peers: t.Mapping[str, Peer], successors: t.Iterable[Successor]) -> list[Step]:
    """The steps for those whose next key has shaken hands: it inherits from the present key, which goes."""
    inherit, remove = [], []
    for successor in successors:
        present, heir = peers.get(successor.public_key), peers.get(successor.next_public_key)
        if present and heir and heir.latest_handshake:
            heir = heir._replace(
                endpoint=None, allowed_ips=present.allowed_ips, persistent_keepalive=present.persistent_keepalive
            )
            inherit.append(Step("peers", (), f"follow {successor.name} to {heir.public_key}", section(heir)))
            remove.append(Step("wg", ("peer", present.public_key, "remove"), f"remove peer {present.public_key}"))
    return inherit + remove


def nudges(peers: t.Iterable[Peer]) -> list[Step]:
    """The steps that make the device shake hands with all its peers now, and not when there is something to send."""
    peers = list(peers)

    def keepalive(peer: Peer, value: str) -> Step:
        return Step("wg", ("peer", peer.public_key, "persistent-keepalive", value), f"greet {peer.public_key}")

    steps = [keepalive(peer, "off") for peer in peers]
    steps += [keepalive(peer, _NUDGE) for peer in peers]
    return steps + [keepalive(peer, str(peer.persistent_keepalive or "off")) for peer in peers]


def take_key(run_command: RunCommand, interface: Interface, now: Now, key: str, path: str, next_path: str) -> None:
    """Make ``key``, which is in the file ``next_path``, the interface's own; ``path`` is where its own key belongs.

    Both files change before the device does: a host that dies in between comes up with the next key, which its peers
    are waiting for. Raises DeviceError or OSError; then everything is as it was.
    """
    applier = Applier(run_command, interface.name)
    before = _files.read_own(path)
    try:
        if now.file and now.config and now.config.private_key:
            text = now.file.replace(now.config.private_key, key)
            applier.apply([Step("file", (interface.path,), f"write {interface.path}", text)])
        os.rename(next_path, path)
        applier.apply([Step("wg", ("private-key", "/dev/stdin"), "set the private key", f"{key}\n")])
    except BaseException:
        if not os.path.exists(next_path):
            _files.write_atomically(next_path, f"{key}\n".encode(), MODE)
            _files.write_atomically(path, before or b"", MODE) if before else _files.remove(path)
        if now.file:
            _files.write_atomically(interface.path, now.file.encode("utf-8", "surrogateescape"), FILE_MODE)
        raise
    applier.apply(nudges(now.device.peers.values()))


class Follower:
    """Waits for next keys to shake hands, and follows them: on the device at once, then in the file."""

    def __init__(self, run_command: RunCommand, interface: Interface, successors: t.Iterable[Successor]) -> None:
        self._run_command = run_command
        self._interface = interface
        self._applier = Applier(run_command, interface.name)
        self._waiting = list(successors)

    def detach(self, seconds: float) -> None:
        """Follow for so long, in a process of its own that outlives this one; ends earlier when nobody is left."""
        if self._waiting:
            detach(self._run_command, lambda: self.follow(time.monotonic() + seconds))

    def follow(self, deadline: float) -> None:
        """Follow until a moment of the monotonic clock, and then withdraw the announcements that nobody came for.

        A peer that was announced and is gone was decided upon by somebody else, by a plain run for instance.
        """
        while self._waiting:
            peers = self._peers()
            self._waiting = [successor for successor in self._waiting if successor.next_public_key in peers]
            late = time.monotonic() > deadline
            if late or succession(peers, self._waiting):
                with self._interface.lock():
                    self._succeed()
                    if late:
                        self._withdraw()
            time.sleep(LOOK_SECONDS)

    def _peers(self) -> dict[str, Peer]:
        """The peers of the device, none if it is gone."""
        code, out, _err = self._run_command([find("wg") or "wg", "show", self._interface.name, "dump"])
        return _device.parse_dump(out)[-1] if code == 0 else {}

    def _succeed(self) -> None:
        peers = self._peers()
        followed = [one for one in self._waiting if succession(peers, [one])]
        self._applier.apply(succession(peers, followed))
        content = text = _files.read_own(self._interface.path)
        for successor in followed if text else ():
            text = text.replace(successor.public_key.encode(), successor.next_public_key.encode())
        if text != content:
            _files.write_atomically(self._interface.path, text, FILE_MODE)
        self._waiting = [one for one in self._waiting if one not in followed]

    def _withdraw(self) -> None:
        gone = [Step("wg", ("peer", one.next_public_key, "remove"), "withdraw a next key") for one in self._waiting]
        with contextlib.suppress(DeviceError):
            self._applier.apply(gone)
        self._waiting = []
