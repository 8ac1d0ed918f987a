# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that answer with the address that they were asked from: which packets arrive, and from whom."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml
from fleet import Fleet

NOBODY = ("", "")
WITHOUT_VERIFY = ("--skip-tags", "verify")

# On port 7 of UDP the address of whoever asks, and on that of TCP the size of the segments that were agreed on.
ANSWER = """
import contextlib, ipaddress, socket, threading
def plain(address):
    address = ipaddress.ip_address(address.partition("%")[0])
    return str(address.ipv4_mapped or address).encode()
def segments():
    listener = socket.create_server(("::", 7), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        connection, _sender = listener.accept()
        connection.sendall(str(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)).encode())
        connection.close()
threading.Thread(target=segments, daemon=True).start()
asked = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
asked.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
asked.bind(("::", 7))
print("ready", flush=True)
while True:
    _question, sender = asked.recvfrom(100)
    with contextlib.suppress(OSError):  # there may be no way back
        asked.sendto(plain(sender[0]), sender)
"""
ASK = """
import contextlib, socket, sys
for address in sys.argv[1:]:
    answer = ""
    with contextlib.suppress(OSError), socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
    ) as question:
        question.settimeout(1)
        question.connect((address, 7))
        for _attempt in range(3):
            question.send(b"who am I?")
            with contextlib.suppress(TimeoutError):
                answer = question.recv(100).decode()
                break
    print(answer)
"""


class Story:
    """The fleet, its user, and whose packets arrive where; hosts that are not in the fleet included.

    ``addresses`` are IPv4 and IPv6 by host.
    """

    def __init__(self, fleet: Fleet, addresses: dict[str, tuple[str, str]]) -> None:
        self.fleet = fleet
        self.addresses = addresses

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Meanwhile all of them answer."""
        listeners = []
        try:
            for host in self.addresses:
                command = [*self.fleet.inside(host), "python3", "-c", ANSWER]
                listeners.append(subprocess.Popen(command, stdout=subprocess.PIPE))
                assert listeners[-1].stdout.readline() == b"ready\n"
            yield
        finally:
            for listener in listeners:
                listener.kill()
                listener.wait()

    def inside(self, host: str, *command: str, said: str | None = None) -> str:
        """What a command of this machine says in the network namespace of a host."""
        argv = [*self.fleet.inside(host), *command]
        return subprocess.run(argv, input=said, capture_output=True, text=True, check=True).stdout

    def seen_from(self, host: str, other: str) -> tuple[str, ...]:
        """The addresses, IPv4 and IPv6, that ``other`` is asked from when ``host`` asks; '' if no answer comes."""
        return tuple(self.inside(host, "python3", "-c", ASK, *self.addresses[other]).split("\n")[:2])

    def write(self, host: str, **variables: Any) -> None:
        """The user writes variables of a host."""
        path = self.fleet.project / "inventory.yml"
        inventory = yaml.safe_load(path.read_text())
        inventory["wireguard"]["hosts"][host].update({f"wireguard_{name}": value for name, value in variables.items()})
        path.write_text(yaml.safe_dump(inventory))

    def converge(self, changed: set[str]) -> None:
        """A run changes these hosts, and another one nothing."""
        run = self.fleet.run(*WITHOUT_VERIFY)
        assert (run.code, run.hosts("changed")) == (0, changed)
        assert self.fleet.run(*WITHOUT_VERIFY).hosts("changed") == set()
