# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that others have made to this host, made known to the kernel's connection tracking.

Tracking begins with the first rules that need it. Of a TCP connection that is older than that, it takes the sender of
the next packet for the one who opened it. If that packet is an answer of this host, the connection counts as one that
this host opened, and a kill switch, which lets answers pass, rejects it: of the SSH session that a run waits for, the
next packet always is an answer.

So this module creates their entries by netlink(7), as conntrack(8) does (linux/netfilter/nfnetlink_conntrack.h).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import typing as t

NETLINK_NETFILTER = 12
SUBSYSTEM = 1  # NFNL_SUBSYS_CTNETLINK
NEW, GET, DELETE = 0, 1, 2  # enum cntl_msg_types
REQUEST, ACK, EXCL, CREATE = 0x1, 0x4, 0x200, 0x400
NESTED = 0x8000
TUPLE_ORIG, TUPLE_REPLY, STATUS, PROTOINFO, TIMEOUT = 1, 2, 3, 4, 7  # enum ctattr_type
TUPLE_IP, TUPLE_PROTO = 1, 2
PROTO_NUM, PROTO_SRC_PORT, PROTO_DST_PORT = 1, 2, 3
SEEN_REPLY_ASSURED_CONFIRMED = 2 | 4 | 8  # enum ip_conntrack_status
PROTOINFO_TCP, TCP_STATE, TCP_FLAGS_ORIGINAL, TCP_FLAGS_REPLY = 1, 1, 4, 5
STATE_ESTABLISHED = 3
BE_LIBERAL = 8  # the window of a connection that was not seen from its beginning is not known
TIMEOUT_FILE = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"
DEFAULT_TIMEOUT = 432000

# proc(5), /proc/net/tcp
ESTABLISHED, LISTEN = "01", "0A"
V4_MAPPED = b"\0" * 10 + b"\xff" * 2


class Connection(t.NamedTuple):
    """A TCP connection; addresses as bytes, 4 or 16."""

    client: bytes
    client_port: int
    server: bytes
    server_port: int


def inbound(proc: str = "/proc") -> list[Connection]:
    """The TCP connections that are established with ports on which this host listens."""
    sockets = [line.split()[1:4] for name in ("tcp", "tcp6") for line in _lines(f"{proc}/net/{name}")]
    listening = {_parsed(local)[1] for local, _remote, state in sockets if state == LISTEN}
    found = []
    for local, remote, state in sockets:
        (server, server_port), (client, client_port) = _parsed(local), _parsed(remote)
        if state == ESTABLISHED and server_port in listening:
            found.append(Connection(client, client_port, server, server_port))
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.readlines()[1:]
    except OSError:  # a kernel without IPv6
        return []


def _parsed(text: str) -> tuple[bytes, int]:
    """``0100007F:0016`` -> 127.0.0.1, port 22: words of 32 bits, each in the order of this machine."""
    address, _colon, port = text.partition(":")
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return (packed[12:] if packed.startswith(V4_MAPPED) else packed), int(port, 16)


def track(connections: t.Iterable[Connection]) -> None:
    """Create an entry for each, as opened by its client. Raises OSError if this kernel cannot do that."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        netlink.settimeout(2)
        for connection in connections:
            present = _ask(netlink, GET, REQUEST, connection, _tuple(connection, TUPLE_ORIG))
            if present is not None and _is_reversed(present, connection):
                _ask(netlink, DELETE, REQUEST | ACK, connection, _tuple(connection, TUPLE_ORIG))
                present = None
            if present is None:
                _ask(netlink, NEW, REQUEST | ACK | CREATE | EXCL, connection, _entry(connection))


def _ask(netlink: socket.socket, kind: int, flags: int, connection: Connection, attributes: bytes) -> bytes | None:
    """Return the payload of the answer, None if there is no such entry, or one already. Raises OSError."""
    family = socket.AF_INET if len(connection.client) == 4 else socket.AF_INET6
    body = struct.pack("=BBH", family, 0, 0) + attributes
    netlink.send(struct.pack("=IHHII", 16 + len(body), SUBSYSTEM << 8 | kind, flags, 1, 0) + body)
    answer = netlink.recv(65536)
    if struct.unpack_from("=H", answer, 4)[0] != 2:  # NLMSG_ERROR
        return answer[20:]
    code = -struct.unpack_from("=i", answer, 16)[0]
    if code not in (0, errno.ENOENT, errno.EEXIST):
        raise OSError(code, os.strerror(code))
    return None


def _attribute(kind: int, payload: bytes) -> bytes:
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + b"\0" * (-size % 4)


def _nested(kind: int, *attributes: bytes) -> bytes:
    return _attribute(kind | NESTED, b"".join(attributes))


def _tuple(connection: Connection, direction: int) -> bytes:
    ends = [(connection.client, connection.client_port), (connection.server, connection.server_port)]
    (source, source_port), (target, target_port) = ends if direction == TUPLE_ORIG else reversed(ends)
    kind = 1 if len(source) == 4 else 3  # CTA_IP_V4_SRC, CTA_IP_V6_SRC; the destination's is one more
    return _nested(
        direction,
        _nested(TUPLE_IP, _attribute(kind, source), _attribute(kind + 1, target)),
        _nested(
            TUPLE_PROTO,
            _attribute(PROTO_NUM, bytes([socket.IPPROTO_TCP])),
            _attribute(PROTO_SRC_PORT, struct.pack("!H", source_port)),
            _attribute(PROTO_DST_PORT, struct.pack("!H", target_port)),
        ),
    )


def _entry(connection: Connection) -> bytes:
    liberal = bytes([BE_LIBERAL, BE_LIBERAL])
    return (
        _tuple(connection, TUPLE_ORIG)
        + _tuple(connection, TUPLE_REPLY)
        + _attribute(STATUS, struct.pack("!I", SEEN_REPLY_ASSURED_CONFIRMED))
        + _attribute(TIMEOUT, struct.pack("!I", _timeout()))
        + _nested(
            PROTOINFO,
            _nested(
                PROTOINFO_TCP,
                _attribute(TCP_STATE, bytes([STATE_ESTABLISHED])),
                _attribute(TCP_FLAGS_ORIGINAL, liberal),
                _attribute(TCP_FLAGS_REPLY, liberal),
            ),
        )
    )


def _timeout() -> int:
    try:
        with open(TIMEOUT_FILE, encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return DEFAULT_TIMEOUT


def _is_reversed(answer: bytes, connection: Connection) -> bool:
    """Whether an entry says that the server opened the connection."""
    addresses = _attributes(_attributes(_attributes(answer).get(TUPLE_ORIG, b"")).get(TUPLE_IP, b""))
    ports = _attributes(_attributes(_attributes(answer).get(TUPLE_ORIG, b"")).get(TUPLE_PROTO, b""))
    source = addresses.get(1, addresses.get(3)), ports.get(PROTO_SRC_PORT)
    return source == (connection.server, struct.pack("!H", connection.server_port))


def _attributes(payload: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(payload):
        size, kind = struct.unpack_from("=HH", payload, at)
        found[kind & ~NESTED] = payload[at + 4 : at + size]
        at += max(size + -size % 4, 4)
    return found
