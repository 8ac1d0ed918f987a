# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import threading

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _device, _underlay


def test_addresses_need_no_name_server(monkeypatch):
    monkeypatch.setattr(_underlay.socket, "getaddrinfo", None)
    endpoints = {"198.51.100.1:51820", "[2001:db8::1]:9"}
    assert _underlay.resolve(endpoints) == {endpoint: endpoint for endpoint in endpoints}


def test_takes_the_first_answer(monkeypatch):
    def getaddrinfo(host, port, type):
        assert type == socket.SOCK_DGRAM
        answers = {
            "four.example.net": [
                (socket.AF_INET, 2, 17, "", ("198.51.100.1", port)),
                (10, 2, 17, "", ("::1", port, 0, 0)),
            ],
            "six.example.net": [(socket.AF_INET6, 2, 17, "", ("2001:db8::6", port, 0, 0))],
        }
        if host not in answers:
            raise socket.gaierror(-2, "Name or service not known")
        return answers[host]

    monkeypatch.setattr(_underlay.socket, "getaddrinfo", getaddrinfo)
    assert _underlay.resolve({"four.example.net:1", "six.example.net:2", "none.example.net:3"}) == {
        "four.example.net:1": "198.51.100.1:1",
        "six.example.net:2": "[2001:db8::6]:2",
    }


def test_a_dead_name_server_holds_up_nothing(monkeypatch):
    """Trap: ``wg`` asks again and again, and everything waits for one name."""
    release = threading.Event()

    def getaddrinfo(host, port, type):
        release.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(_underlay.socket, "getaddrinfo", getaddrinfo)
    names = {f"name{number}.example.net:1" for number in range(20)}
    assert _underlay.resolve(names | {"198.51.100.1:1"}, seconds=0.2) == {"198.51.100.1:1": "198.51.100.1:1"}
    release.set()


class Ways:
    """``ip -json -batch`` over a table: host -> what ``route get`` answers."""

    def __init__(self, ways, default=()):
        self.ways, self.default, self.asked = ways, list(default), []

    def __call__(self, argv, data):
        answers = []
        for line in data.splitlines():
            self.asked.append(line)
            words = line.split()
            if words[1] == "show":
                answers.append(self.default)
            elif words[2] in self.ways:
                answers.append([self.ways[words[2]]])
        return 0, "\n".join(map(json.dumps, answers)), ""


@pytest.fixture(autouse=True)
def devices(monkeypatch):
    monkeypatch.setattr(_device, "find", lambda command: command)
    monkeypatch.setattr(_underlay, "_device_mtu", {"eth0": 1500, "jumbo": 9000, "ppp0": 1492, "gone": 0}.__getitem__)


WAYS = {
    "198.51.100.1": {"dst": "198.51.100.1", "dev": "eth0"},
    "198.51.100.2": {"dst": "198.51.100.2", "dev": "eth0", "metrics": [{"mtu": 1280}]},
    "198.51.100.3": {"dst": "198.51.100.3", "dev": "gone"},
    "198.51.100.4": {"type": "unreachable", "dst": "198.51.100.4"},
    "198.51.100.5": {"dst": "198.51.100.5", "dev": "wg0"},
    "2001:db8::1": {"dst": "2001:db8::1", "dev": "jumbo"},
}


@pytest.mark.parametrize(
    ("endpoints", "mtu"),
    [
        (["198.51.100.1:51820"], 1420),
        (["198.51.100.2:51820"], 1200),
        (["198.51.100.1:51820", "198.51.100.2:51820"], 1420),
        (["[2001:db8::1]:51820", "198.51.100.1:51820"], 8920),
        # No way to any of them: the default route.
        ([], 1412),
        (["198.51.100.3:1", "198.51.100.4:1", "198.51.100.99:1"], 1412),
        # The tunnel itself is no way to its own endpoint: the MTU would shrink with every run.
        (["198.51.100.5:1"], 1412),
    ],
)
def test_the_mtu_of_wg_quick(endpoints, mtu):
    ways = Ways(WAYS, [{"dst": "default", "dev": "ppp0"}, {"dst": "default", "dev": "eth0"}])
    assert _underlay.mtu(ways, "wg0", endpoints, 0) == mtu


def test_without_any_way_it_is_that_of_ethernet():
    assert _underlay.mtu(Ways({}), "wg0", ["198.51.100.1:1"], 0) == 1420


def test_asks_as_wireguard_sends():
    ways = Ways(WAYS)
    _underlay.mtu(ways, "wg0", ["198.51.100.1:1", "198.51.100.1:2", "[2001:db8::1]:1"], 0xCA6C)
    assert ways.asked == ["route get 198.51.100.1 mark 51820", "route get 2001:db8::1 mark 51820"]
