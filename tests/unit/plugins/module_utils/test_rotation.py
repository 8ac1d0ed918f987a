# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rotation does to the peers of a device; that nothing is lost by it is measured in molecule/rotation."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _rotation
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import Device, DeviceError, Peer
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface, Now
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config

OLD, NEW, OTHER = "o" * 42 + "A=", "n" * 42 + "A=", "x" * 42 + "A="
PRIVATE, NEXT_PRIVATE = "p" * 42 + "A=", "q" * 42 + "A="
SUCCESSOR = _rotation.Successor("laptop", OLD, NEW)
PRESENT = Peer(OLD, "s" * 42 + "A=", "198.51.100.7:4711", ("10.44.0.2/32",), 25, latest_handshake=1)


def test_the_next_key_is_announced_with_all_but_the_networks():
    (step,) = _rotation.announcement({OLD: PRESENT}, [SUCCESSOR])
    assert step.tool == "peers"
    assert step.data.splitlines() == [
        "[Peer]",
        f"PublicKey = {NEW}",
        f"PresharedKey = {PRESENT.preshared_key}",
        "PersistentKeepalive = off",
        "Endpoint = 198.51.100.7:4711",
    ]
    assert PRESENT.preshared_key not in step.text


def test_what_is_announced_or_unknown_is_not_announced():
    assert _rotation.announcement({OLD: PRESENT, NEW: Peer(NEW)}, [SUCCESSOR]) == []
    assert _rotation.announcement({OTHER: Peer(OTHER)}, [SUCCESSOR]) == []


def test_nobody_follows_a_key_that_has_not_shaken_hands():
    assert _rotation.succession({OLD: PRESENT, NEW: Peer(NEW)}, [SUCCESSOR]) == []


def test_a_key_that_has_shaken_hands_inherits():
    heir = Peer(NEW, PRESENT.preshared_key, "203.0.113.9:9", latest_handshake=2)
    inherit, remove = _rotation.succession({OLD: PRESENT, NEW: heir}, [SUCCESSOR])
    # The endpoint from which the handshake came stays: none is stated.
    assert inherit.data.splitlines() == [
        "[Peer]",
        f"PublicKey = {NEW}",
        f"PresharedKey = {PRESENT.preshared_key}",
        "AllowedIPs = 10.44.0.2/32",
        "PersistentKeepalive = 25",
    ]
    assert remove.words == ("peer", OLD, "remove")


def test_keepalives_end_as_they_were():
    steps = _rotation.nudges([PRESENT, Peer(OTHER)])
    assert [step.words[1::2] for step in steps[-2:]] == [(OLD, "25"), (OTHER, "off")]


class Host:
    """An interface's files in a folder, and what is done to its device; ``fails`` is a command that does."""

    def __init__(self, folder, fails=None):
        self.interface = Interface(self.run_command, "wg0", print, str(folder))
        self.key, self.next_key, self.config = (str(folder / name) for name in ("wg0.key", "next", "wg0.conf"))
        self.fails = fails
        self.ran = []
        for path, text in (
            (self.key, PRIVATE),
            (self.next_key, NEXT_PRIVATE),
            (self.config, f"PrivateKey = {PRIVATE}"),
        ):
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{text}\n")

    def run_command(self, argv, data=None, **_options):
        self.ran.append((argv[1:], data, self.files()))
        return (1, "", "it fails") if self.fails in argv else (0, "", "")

    def files(self):
        contents = map(_files.read, (self.key, self.next_key, self.config))
        return [content and content.decode().strip() for content in contents]

    def take(self):
        device = Device("wg0", "kernel", True, 1420, PRIVATE, OTHER, 0, 0, (), {OLD: PRESENT}, frozenset())
        now = Now(device, f"PrivateKey = {PRIVATE}\n", True, Config(private_key=PRIVATE), None, None, None)
        _rotation.take_key(self.run_command, self.interface, now, NEXT_PRIVATE, self.key, self.next_key)


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.setattr("ansible_collections.wirefleet.wireguard.plugins.module_utils._apply.find", str)


def test_the_files_have_the_next_key_before_the_device_has(tmp_path):
    host = Host(tmp_path)
    host.take()
    (argv, data, files), *_nudges = host.ran
    assert (argv, data) == (["set", "wg0", "private-key", "/dev/stdin"], f"{NEXT_PRIVATE}\n")
    assert files == host.files() == [NEXT_PRIVATE, None, f"PrivateKey = {NEXT_PRIVATE}"]
    assert all(NEXT_PRIVATE not in word for argv, _data, _files in host.ran for word in argv)


def test_a_key_that_the_device_does_not_take_changes_nothing(tmp_path):
    host = Host(tmp_path, fails="private-key")
    before = host.files()
    with pytest.raises(DeviceError, match="^step 'set the private key' failed: it ended with 1"):
        host.take()
    assert host.files() == before


class Fake:
    """A device that says its dumps one after the other, and notes what it is told."""

    def __init__(self, *peers):
        self.dumps = list(peers)
        self.told = []

    def run_command(self, argv, data=None, **_options):
        if argv[1] == "show":
            shown = self.dumps.pop(0) if len(self.dumps) > 1 else self.dumps[0]
            return (0, "\n".join([f"{PRIVATE}\t{OTHER}\t51820\toff", *map(self.line, shown)]), "")
        self.told.append([*argv[1:], data])
        return (0, "", "")

    @staticmethod
    def line(peer):
        networks = ",".join(peer.allowed_ips) or "(none)"
        return f"{peer.public_key}\t(none)\t(none)\t{networks}\t{peer.latest_handshake}\t0\t0\toff"


def follow(folder, deadline, *dumps):
    device = Fake(*dumps)
    interface = Interface(device.run_command, "wg0", print, str(folder))
    (folder / "wg0.conf").write_text(f"PublicKey = {OLD}\n")
    _rotation.Follower(device.run_command, interface, [SUCCESSOR]).follow(deadline)
    return device.told, (folder / "wg0.conf").read_text()


def test_the_follower_waits_for_the_handshake_and_writes_it_down(tmp_path):
    told, text = follow(
        tmp_path, 1e12, [PRESENT, Peer(NEW)], [PRESENT, Peer(NEW)], [PRESENT, Peer(NEW)._replace(latest_handshake=2)]
    )
    assert [words[0] for words in told] == ["addconf", "set"]
    assert "AllowedIPs = 10.44.0.2/32" in told[0][-1]
    assert text == f"PublicKey = {NEW}\n"


def test_the_follower_gives_up_when_others_have_decided(tmp_path):
    assert follow(tmp_path, 1e12, [PRESENT]) == ([], f"PublicKey = {OLD}\n")


def test_a_follower_that_waited_in_vain_withdraws(tmp_path):
    told, text = follow(tmp_path, 0, [PRESENT, Peer(NEW)])
    assert told == [["set", "wg0", "peer", NEW, "remove", None]]
    assert text == f"PublicKey = {OLD}\n"
