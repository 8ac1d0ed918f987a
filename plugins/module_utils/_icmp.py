# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Echo requests to many addresses at once, with raw sockets of our own: no ping command is needed, and the hop limit of
every reply is read. RFC 792 (ICMP), RFC 4443 (ICMPv6).
"""

from __future__ import annotations

import collections
import ipaddress
import os
import select
import socket
import struct
import time
import typing as t

# Type of the echo request and of its reply.
ECHO = {4: (8, 0), 6: (128, 129)}
NONCE_BYTES = 8
# Seconds between two first requests: a thousand at once overflow queues that have to wait for handshakes.
PACE = 0.001
# linux/icmp.h, linux/icmpv6.h; not in Python's socket module.
SOL_RAW, ICMP_FILTER, ICMPV6_FILTER = 255, 1, 1
# The values that operating systems start the hop limit from.
INITIAL_HOP_LIMITS = (64, 128, 255)


class Reply(t.NamedTuple):
    """The first answer of a target: the hop limit it arrived with, and the time since its request, in milliseconds."""

    hop_limit: int
    rtt_ms: float


class Echo(t.NamedTuple):
    """What identifies an echo reply."""

    identifier: int
    sequence: int
    payload: bytes


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071). Over a message that holds its own checksum it is 0."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(version: int, echo: Echo) -> bytes:
    """The ICMP (``version`` 4) or ICMPv6 (6) message. For the latter the kernel fills the checksum in."""
    message = struct.pack("!BBHHH", ECHO[version][0], 0, 0, echo.identifier, echo.sequence) + echo.payload
    if version == 4:
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return message


def parse_reply(version: int, message: bytes) -> Echo | None:
    """The echo reply in an ICMP or ICMPv6 message; None for anything else."""
    if len(message) < 8 or message[:2] != bytes([ECHO[version][1], 0]) or (version == 4 and checksum(message)):
        return None
    identifier, sequence = struct.unpack_from("!HH", message, 4)
    return Echo(identifier, sequence, message[8:])


def split_ipv4(packet: bytes) -> tuple[int, bytes] | None:
    """Time to live and payload of an IPv4 packet, which raw sockets receive whole; None if it is cut off."""
    if len(packet) < 20:
        return None
    return packet[8], packet[(packet[0] & 0x0F) * 4 :]


def hops(hop_limit: int) -> int:
    """How many routers a packet has passed that arrived with this hop limit: 0 through a direct tunnel."""
    return min(initial for initial in INITIAL_HOP_LIMITS if initial >= hop_limit) - hop_limit


class _Socket:
    """A raw socket of one family, bound to an interface, so that no answer can come by another way."""

    def __init__(self, version: int, interface: str) -> None:
        family, protocol = {
            4: (socket.AF_INET, socket.IPPROTO_ICMP),
            6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
        }[version]
        self.version, self.interface = version, interface
        self.raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
        try:
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            reply = ECHO[version][1]
            if version == 4:
                self.raw.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF & ~(1 << reply)))
            else:
                blocked = [0xFFFFFFFF] * 8
                blocked[reply // 32] &= ~(1 << reply % 32)
                self.raw.setsockopt(socket.IPPROTO_ICMPV6, ICMPV6_FILTER, struct.pack("=8I", *blocked))
                self.raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        except OSError:
            self.raw.close()
            raise

    def fileno(self) -> int:
        """For select()."""
        return self.raw.fileno()

    def close(self) -> None:
        """Release the socket."""
        self.raw.close()

    def send(self, address: str, echo: Echo) -> None:
        """Send a request. Raises OSError."""
        # A link-local address means nothing without its interface.
        scope = socket.if_nametoindex(self.interface) if address.startswith("fe80:") else 0
        self.raw.sendto(echo_request(self.version, echo), (address, 0) if self.version == 4 else (address, 0, 0, scope))

    def receive(self) -> t.Iterator[tuple[str, int, Echo]]:
        """All replies that have arrived: source address, hop limit, echo."""
        while True:
            try:
                packet, ancillary, _flags, source = self.raw.recvmsg(65535, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            if self.version == 4:
                hop_limit, packet = split_ipv4(packet) or (None, b"")
            else:
                values = [data for _level, kind, data in ancillary if kind == socket.IPV6_HOPLIMIT]
                hop_limit = struct.unpack("=i", values[0])[0] if values else None
            echo = parse_reply(self.version, packet)
            if echo and hop_limit is not None:
                yield source[0].partition("%")[0], hop_limit, echo


def ping(addresses: list[str], interface: str, timeout: float, interval: float) -> list[Reply | str]:
    """Ask every address until it answers or ``timeout`` seconds are over, again every ``interval`` seconds.

    Returns for each address its reply, or why there is none. Asking again is not for lost packets alone: those that
    wait for a handshake are dropped after a while, and WireGuard repeats a lost handshake after 5 seconds only.
    Raises PermissionError without the right to open raw sockets, ValueError for what is no address.
    """
    versions = [ipaddress.ip_address(address).version for address in addresses]
    addresses = [str(ipaddress.ip_address(address)) for address in addresses]
    outcome: list[Reply | str] = ["no answer"] * len(addresses)
    sockets: dict[int, _Socket] = {}
    try:
        for version in set(versions):
            try:
                sockets[version] = _Socket(version, interface)
            except PermissionError:
                raise
            except OSError as error:
                reason = f"there is no interface {interface}" if not _exists(interface) else error.strerror
                outcome = [reason if its == version else found for its, found in zip(versions, outcome)]
        _exchange(addresses, versions, sockets, timeout, interval, outcome)
    finally:
        for opened in sockets.values():
            opened.close()
    return outcome


def _exchange(
    addresses: list[str],
    versions: list[int],
    sockets: dict[int, _Socket],
    timeout: float,
    interval: float,
    outcome: list[Reply | str],
) -> None:
    """Send and receive until all have answered or time is over; fills ``outcome``."""
    identifier = int.from_bytes(os.urandom(2), "big")
    nonce = os.urandom(NONCE_BYTES)
    start = time.monotonic()
    # Who is asked next, and when: always in the order of time, since every address waits for the same interval.
    agenda = collections.deque(
        (start + number * PACE, number) for number, version in enumerate(versions) if version in sockets
    )
    waiting = {number for _due, number in agenda}
    while waiting:
        now = time.monotonic()
        if now >= start + timeout:
            return
        while agenda[0][0] <= now:
            number = agenda.popleft()[1]
            if number not in waiting:
                continue
            sent = struct.pack("!d", time.monotonic())
            try:
                # The sequence number has 16 bits; the source tells apart what it cannot.
                echo = Echo(identifier, number & 0xFFFF, nonce + struct.pack("!I", number) + sent)
                sockets[versions[number]].send(addresses[number], echo)
                outcome[number] = "no answer"
            except OSError as error:
                outcome[number] = error.strerror
            agenda.append((now + interval, number))
        readable, _writable, _failed = select.select(
            list(sockets.values()), [], [], max(0, min(agenda[0][0], start + timeout) - time.monotonic())
        )
        for ready in readable:
            for source, hop_limit, echo in ready.receive():
                if echo.identifier != identifier or echo.payload[:NONCE_BYTES] != nonce:
                    continue
                number, sent = struct.unpack_from("!Id", echo.payload, NONCE_BYTES)
                if number in waiting and addresses[number] == source:
                    outcome[number] = Reply(hop_limit, round((time.monotonic() - sent) * 1000, 3))
                    waiting.discard(number)


def _exists(interface: str) -> bool:
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True
