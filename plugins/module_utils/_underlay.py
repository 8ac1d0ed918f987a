# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network beneath a tunnel: the addresses of endpoints, and the MTU of the way to them. Only reads."""

from __future__ import annotations

import fcntl
import re
import socket
import struct
import threading
import time
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import RunCommand, run_batch

RESOLVE_SECONDS = 5.0
# IPv6 and UDP header, WireGuard's data header and tag: 40 + 8 + 32 (wg-quick(8) takes it off for IPv4, too).
OVERHEAD = 80
ETHERNET_MTU = 1500
SIOCGIFMTU = 0x8921


def is_address(endpoint: str) -> bool:
    """Whether an endpoint needs no name server."""
    return endpoint.startswith("[") or re.fullmatch(r"[0-9.]+:[0-9]+", endpoint) is not None


def resolve(endpoints: t.Iterable[str], seconds: float = RESOLVE_SECONDS) -> dict[str, str]:
    """``host:port`` -> ``address:port`` for each endpoint; those that do not resolve in time are missing.

    As ``wg`` does it: the first answer of getaddrinfo(3), whatever the family. All names are asked for at once, and
    none can hold up the run for longer than ``seconds``.
    """
    found = {endpoint: endpoint for endpoint in endpoints if is_address(endpoint)}
    names = {endpoint for endpoint in endpoints if endpoint not in found}

    def ask(endpoint: str) -> None:
        host, _colon, port = endpoint.rpartition(":")
        try:
            family, _type, _protocol, _name, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        except OSError:
            return
        found[endpoint] = f"[{address[0]}]:{port}" if family == socket.AF_INET6 else f"{address[0]}:{port}"

    # Daemons: getaddrinfo cannot be interrupted, and must not keep the process from ending.
    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in sorted(names)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(found)


def mtu(run_command: RunCommand, name: str, endpoints: t.Iterable[str], fwmark: int) -> int:
    """The MTU that wg-quick(8) would compute: the largest on the way to any endpoint, else that of the default route,
    else 1500, less the overhead.

    The ways are asked for with the device's fwmark, since that is how its packets go; a way through the device itself
    (a full tunnel asked without a mark) does not count.
    """
    hosts = sorted({endpoint.rpartition(":")[0].strip("[]") for endpoint in endpoints})
    mark = f" mark {fwmark}" if fwmark else ""
    ways = [f"route get {host.partition('%')[0]}{mark}" for host in hosts]
    found = _mtus(run_batch(run_command, ways, ["-force"]), name) if ways else []
    if not found:
        found = _mtus(run_batch(run_command, ["route show default"]), name)[:1]
    return max(found, default=ETHERNET_MTU) - OVERHEAD


def _mtus(answers: list[list[dict]], name: str) -> list[int]:
    routes = [route for answer in answers for route in answer if route.get("dev", name) != name]
    devices = {device: _device_mtu(device) for device in {route["dev"] for route in routes}}
    found = []
    for route in routes:
        own = next((metric["mtu"] for metric in route.get("metrics", ()) if "mtu" in metric), None)
        found.append(own or devices[route["dev"]])
    return [value for value in found if value]


def _device_mtu(device: str) -> int:
    """The MTU of a link, 0 if it went away (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16si12x", device.encode(), 0)
        try:
            return struct.unpack("16si12x", fcntl.ioctl(any_socket.fileno(), SIOCGIFMTU, request))[1]
        except OSError:
            return 0
