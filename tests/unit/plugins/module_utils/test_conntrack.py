# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import struct

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _conntrack
from ansible_collections.wirefleet.wireguard.plugins.module_utils._conntrack import Connection, inbound, track

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
SSH = Connection(socket.inet_aton("198.51.100.7"), 40000, socket.inet_aton("198.51.100.1"), 22)


def written(address):
    """As the kernel writes an address there: words of 32 bits, in the order of the machine."""
    words = struct.unpack(f"={len(address) // 4}I", address)
    return "".join(f"{word:08X}" for word in words)


def line(local, local_port, remote, remote_port, state):
    return f"   0: {written(local)}:{local_port:04X} {written(remote)}:{remote_port:04X} {state} 00000000:00000000\n"


@pytest.fixture
def proc(tmp_path):
    any4, any6 = b"\0" * 4, b"\0" * 16
    mapped = b"\0" * 10 + b"\xff" * 2
    v6_client, v6_server = (socket.inet_pton(socket.AF_INET6, each) for each in ("2001:db8::7", "2001:db8::1"))
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        HEAD
        + line(any4, 80, any4, 0, "0A")
        + line(SSH.server, 51000, SSH.client, 443, "01")  # opened by this host
        + line(SSH.server, 80, SSH.client, 40001, "06")  # over
    )
    (tmp_path / "net" / "tcp6").write_text(
        HEAD
        + line(any6, 22, any6, 0, "0A")
        + line(mapped + SSH.server, 22, mapped + SSH.client, SSH.client_port, "01")
        + line(v6_server, 22, v6_client, 40002, "01")
    )
    return tmp_path


def test_inbound_connections_are_those_of_listening_ports(proc):
    addresses = [(socket.AF_INET6, each) for each in ("2001:db8::7", "2001:db8::1")]
    client, server = (socket.inet_pton(*each) for each in addresses)
    assert inbound(str(proc)) == [SSH, Connection(client, 40002, server, 22)]


def test_kernel_without_ipv6_has_none_of_it(proc):
    (proc / "net" / "tcp6").unlink()
    assert inbound(str(proc)) == []


class Kernel:
    """Answers to messages of ctnetlink as the kernel does; ``entry`` is what it tracks of the connection."""

    def __init__(self, entry=None, refuses=0):
        self.entry, self.refuses, self.asked = entry, refuses, []

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def settimeout(self, seconds):
        assert seconds

    def send(self, message):
        _size, kind, _flags, _number, _port = struct.unpack_from("=IHHII", message)
        self.asked.append({0x100: "new", 0x101: "get", 0x102: "delete"}[kind])

    def recv(self, _size):
        if self.asked[-1] == "get" and self.entry is not None:
            return struct.pack("=IHHII", 0, 0x100, 0, 1, 0) + b"\2\0\0\0" + self.entry
        code = {"get": -2}.get(self.asked[-1], 0) if not self.refuses else -self.refuses
        return struct.pack("=IHHIIi", 36, 2, 0, 1, 0, code)


def entry_of(connection):
    return _conntrack._tuple(connection, _conntrack.TUPLE_ORIG)


REVERSED = Connection(SSH.server, SSH.server_port, SSH.client, SSH.client_port)


@pytest.mark.parametrize(
    ("entry", "asked"),
    [
        (None, ["get", "new"]),
        (entry_of(SSH), ["get"]),
        (entry_of(REVERSED), ["get", "delete", "new"]),
    ],
)
def test_only_wrong_entries_are_replaced(monkeypatch, entry, asked):
    kernel = Kernel(entry)
    monkeypatch.setattr(_conntrack.socket, "socket", lambda *_what: kernel)
    track([SSH])
    assert kernel.asked == asked


def test_refusal_of_the_kernel_is_raised(monkeypatch):
    monkeypatch.setattr(_conntrack.socket, "socket", lambda *_what: Kernel(refuses=1))
    with pytest.raises(OSError, match="not permitted"):
        track([SSH])


def test_entry_has_both_directions_in_network_order():
    entry = _conntrack._attributes(_conntrack._entry(SSH))
    reply = _conntrack._attributes(entry[_conntrack.TUPLE_REPLY])
    assert _conntrack._attributes(reply[_conntrack.TUPLE_IP]) == {1: SSH.server, 2: SSH.client}
    assert _conntrack._attributes(reply[_conntrack.TUPLE_PROTO]) == {1: b"\6", 2: b"\0\x16", 3: b"\x9c\x40"}
    assert entry[_conntrack.STATUS] == b"\0\0\0\x0e"
