# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The live WireGuard device, as ``wg show`` and ``ip`` tell it, in one normal form.

Everything here only reads. The records hold the private key and the preshared keys, since these must be compared:
nothing of ``private_key`` and ``preshared_key`` may ever be returned, shown or logged.
"""

from __future__ import annotations

import contextlib
import glob
import json
import socket
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import decode_key

# run_command(argv, data=None) -> (rc, stdout, stderr), as AnsibleModule.run_command does.
RunCommand = t.Callable[..., "tuple[int, str, str]"]

MAIN_TABLE = "main"


class DeviceError(Exception):
    """A device cannot be read, or its name belongs to something that is no WireGuard device."""


class Peer(t.NamedTuple):
    """A peer; the first five fields are its configuration, the others what happened since."""

    public_key: str
    preshared_key: str | None = None  # secret
    endpoint: str | None = None  # "198.51.100.1:51820", "[2001:db8::1]:51820"
    allowed_ips: tuple[str, ...] = ()  # normal networks, "10.44.0.2/32"
    persistent_keepalive: int = 0  # seconds, 0: off
    latest_handshake: int = 0  # seconds since the epoch, 0: never
    rx_bytes: int = 0
    tx_bytes: int = 0


class Route(t.NamedTuple):
    """A route through the device that somebody asked for (the kernel's own, for its addresses, are not listed)."""

    table: str  # "main" or the table's number
    destination: str  # a normal network, "0.0.0.0/0" for the default route


class Device(t.NamedTuple):
    """A WireGuard device: the link, its addresses and routes, and what ``wg`` knows."""

    name: str
    kind: str  # "kernel", "wireguard-go", or "userspace": another program
    up: bool
    mtu: int
    private_key: str | None  # secret
    public_key: str | None
    listen_port: int
    fwmark: int  # 0: off
    addresses: tuple[str, ...]  # with prefix length, "10.44.0.1/24"; without the kernel's own link-local ones
    peers: dict[str, Peer]  # by public key
    routes: frozenset[Route]


_canonical: dict[str, str] = {}


def normal_network(text: str) -> str:
    """``10.44.0.7/24`` -> ``10.44.0.0/24``, ``FD44::1`` -> ``fd44::1/128``: the form in which ``wg`` prints AllowedIPs.

    Raises ValueError. Remembers what it computed: the same few thousand texts come again from device, file and options,
    and ``ipaddress`` takes ten times as long.
    """
    found = _canonical.get(text)
    if found is None:
        family, packed, length = _split(text)
        number = int.from_bytes(packed, "big")
        host_bits = len(packed) * 8 - length
        packed = (number >> host_bits << host_bits).to_bytes(len(packed), "big")
        found = _canonical[text] = f"{socket.inet_ntop(family, packed)}/{length}"
    return found


def normal_address(text: str) -> str:
    """``10.44.0.7`` -> ``10.44.0.7/32``, ``FD44::01/64`` -> ``fd44::1/64``. Raises ValueError."""
    family, packed, length = _split(text)
    return f"{socket.inet_ntop(family, packed)}/{length}"


def _split(text: str) -> tuple[int, bytes, int]:
    host, slash, length = text.partition("/")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        packed = socket.inet_pton(family, host)
    except (OSError, ValueError):
        raise ValueError(f"'{text}' is no IP address or network; write one like 10.44.0.0/24 or fd44::1") from None
    bits = len(packed) * 8
    if not slash:
        return family, packed, bits
    if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= bits):
        raise ValueError(f"'{text}' has no prefix length from 0 to {bits} after the slash")
    return family, packed, int(length)


def names(run_command: RunCommand) -> list[str]:
    """The names of all WireGuard devices in this network namespace, sorted; none without the command ``wg``."""
    wg = find("wg")
    if wg is None:
        return []
    code, out, err = run_command([wg, "show", "interfaces"])
    if code != 0:
        raise DeviceError(f"'wg show interfaces' failed: {err.strip()}")
    return sorted(out.split())


def read(run_command: RunCommand, name: str) -> Device | None:
    """The device ``name``; None if there is no such link.

    Works without ``wg`` or ``ip`` as long as there is no such link. Two processes are started, whatever the size.
    Raises DeviceError if the link is no WireGuard device, or if a tool is missing or fails.
    """
    try:
        socket.if_nametoindex(name)
    except OSError:
        return None
    link, routes = _read_link(run_command, name)
    if link is None:
        return None
    wg = _tool("wg")
    code, out, err = run_command([wg, "show", name, "dump"])
    if code != 0:
        if _read_link(run_command, name)[0] is None:
            return None  # it went away in between
        raise DeviceError(f"the link '{name}' is no WireGuard device, or 'wg' cannot reach it: {err.strip()}")
    private_key, public_key, listen_port, fwmark, peers = parse_dump(out)
    return Device(
        name=name,
        kind="kernel" if link.get("linkinfo", {}).get("info_kind") == "wireguard" else _userspace_program(name),
        up="UP" in link["flags"],
        mtu=link["mtu"],
        private_key=private_key,
        public_key=public_key,
        listen_port=listen_port,
        fwmark=fwmark,
        addresses=tuple(_addresses(link)),
        peers=peers,
        routes=frozenset(_routes(routes)),
    )


def parse_dump(text: str) -> tuple[str | None, str | None, int, int, dict[str, Peer]]:
    """``wg show NAME dump`` -> private key, public key, port, fwmark, peers by public key (wg(8), "dump").

    Raises DeviceError, which names the line and nothing of it, for what is not in that format: there are secrets in it.
    """
    peers: dict[str, Peer] = {}
    number = 1
    try:
        first, *lines = text.splitlines()
        private_key, public_key, listen_port, fwmark = first.split("\t")
        device = (_key(private_key), _key(public_key), int(listen_port), 0 if fwmark == "off" else int(fwmark, 16))
        for line in lines:
            number += 1
            peer = _peer(*line.split("\t"))
            peers[peer.public_key] = peer
    except (ValueError, TypeError):
        raise DeviceError(
            f"line {number} of 'wg show ... dump' is not in the format of wg(8): see which program 'wg' is on this host"
        ) from None
    return (*device, peers)


def _peer(
    key: str,
    preshared_key: str,
    endpoint: str,
    allowed_ips: str,
    handshake: str,
    received: str,
    sent: str,
    keepalive: str,
) -> Peer:
    decode_key(key)
    return Peer(
        key,
        _key(preshared_key),
        None if endpoint == "(none)" else endpoint,
        tuple(map(normal_network, allowed_ips.split(","))) if allowed_ips != "(none)" else (),
        0 if keepalive == "off" else int(keepalive),
        int(handshake),
        int(received),
        int(sent),
    )


def _key(text: str) -> str | None:
    """A key of a dump. Raises ValueError."""
    if text == "(none)":
        return None
    decode_key(text)
    return text


def _tool(command: str) -> str:
    path = find(command)
    if path is None:
        package = {"wg": "wireguard-tools", "ip": "iproute2"}.get(command, command)
        raise DeviceError(f"the command '{command}' is missing on this host: install {package}")
    return path


def run_batch(run_command: RunCommand, lines: list[str], options: t.Sequence[str] = ()) -> list[t.Any]:
    """What ``ip -json`` answers to each of several reading commands, with one process for all of them.

    With ``-force`` among ``options`` a command that fails has no answer in the list.
    """
    _code, out, _err = run_command([_tool("ip"), "-json", *options, "-batch", "-"], data="\n".join(lines))
    decoder = json.JSONDecoder()
    answers, at = [], 0
    while True:
        while at < len(out) and out[at].isspace():
            at += 1
        if at == len(out):
            return answers
        answer, at = decoder.raw_decode(out, at)
        answers.append(answer)


def _read_link(run_command: RunCommand, name: str) -> tuple[dict | None, list[dict]]:
    # -details: the kind of the link, and the type of every route. -Numeric: a table's number, also where the host has a
    # name for it. Without a family, routes of both are listed.
    commands = [f"address show dev {name}", f"route show table all dev {name}"]
    answers = run_batch(run_command, commands, ["-details", "-Numeric"])
    links = [link for link in answers[0] if link.get("ifname") == name] if answers else []
    return (links[0], answers[1] if len(answers) > 1 else []) if links else (None, [])


def _addresses(link: dict) -> t.Iterator[str]:
    for info in link.get("addr_info", ()):
        # A tun device gets a link-local address of the kernel's making, which no configuration names.
        made_by_kernel = info.get("stable-privacy") or info.get("protocol") == "kernel_ll"
        if "local" in info and not made_by_kernel:
            yield normal_address(f"{info['local']}/{info['prefixlen']}")


def _routes(routes: list[dict]) -> t.Iterator[Route]:
    for route in routes:
        if route["type"] in ("1", "unicast") and route.get("protocol") not in ("2", "kernel"):
            destination = route["dst"]
            if destination == "default":
                destination = "0.0.0.0/0" if _is_inet(route) else "::/0"
            table = route.get("table", MAIN_TABLE)
            yield Route(MAIN_TABLE if table == "254" else table, normal_network(destination))


def _is_inet(route: dict) -> bool:
    # Only IPv6 routes carry a router preference (RFC 4191); a default route's text does not tell its family.
    return "pref" not in route


def _userspace_program(name: str) -> str:
    """Which program serves a userspace device. Its socket does not tell: wireguard-go listens before it forks."""
    for process in glob.iglob("/proc/[0-9]*"):
        with contextlib.suppress(OSError), open(f"{process}/comm", "rb") as comm:
            if comm.read() == b"wireguard-go\n":
                with open(f"{process}/cmdline", "rb") as command_line:
                    if command_line.read().split(b"\0")[-2:-1] == [name.encode()]:
                        return "wireguard-go"
    return "userspace"
