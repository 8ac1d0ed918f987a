# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _device
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, Peer, Route

# wg show NAME dump, in the form of wg(8)
PRIVATE, PUBLIC, PSK, ALICE, BOB = (letter * 42 + "A=" for letter in "pqsab")
DUMP = (
    f"{PRIVATE}\t{PUBLIC}\t51820\t0xca6c\n"
    f"{ALICE}\t{PSK}\t198.51.100.7:51820\t10.44.0.7/24,fd44::7/128\t1732000000\t10\t20\t25\n"
    f"{BOB}\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
)
# ip -json -details -Numeric -batch of iproute2 6.1: one list a command
LINK = {
    "ifname": "wg0",
    "flags": ["POINTOPOINT", "NOARP", "UP", "LOWER_UP"],
    "mtu": 1420,
    "linkinfo": {"info_kind": "wireguard"},
    "addr_info": [
        {"family": "inet", "local": "10.44.0.1", "prefixlen": 24, "scope": "global"},
        {"family": "inet6", "local": "fd44::1", "prefixlen": 64, "scope": "global"},
        {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
        {"family": "inet6", "local": "fe80::2", "prefixlen": 64, "scope": "link", "stable-privacy": True},
    ],
}
ROUTES = [
    {"type": "1", "dst": "10.9.0.0/24", "table": "254", "protocol": "3"},
    {"type": "unicast", "dst": "10.8.0.3", "table": "77", "protocol": "static"},  # iproute2 before 5.0
    {"type": "1", "dst": "10.44.0.0/24", "table": "254", "protocol": "2"},
    {"type": "2", "dst": "10.44.0.1", "table": "255", "protocol": "2"},
    {"type": "1", "dst": "default", "table": "51820", "protocol": "3"},
    {"type": "1", "dst": "default", "table": "51820", "protocol": "3", "pref": "medium"},
]


@pytest.fixture
def host(monkeypatch):
    """A host whose commands answer from a dict: the last words of the command -> (rc, out, err)."""
    answers = {
        "dump": (0, DUMP, ""),
        "-": (0, f"{json.dumps([LINK])}\n{json.dumps(ROUTES)}\n", ""),
        "interfaces": (0, "wg1 wg0\n", ""),
    }
    monkeypatch.setattr(_device, "find", lambda command: f"/usr/bin/{command}")
    monkeypatch.setattr(_device.socket, "if_nametoindex", lambda name: 7)
    answers["run"] = lambda argv, data=None: answers[argv[-1]]
    return answers


def test_reads_a_device(host):
    device = _device.read(host["run"], "wg0")
    assert device == _device.Device(
        name="wg0",
        kind="kernel",
        up=True,
        mtu=1420,
        private_key=PRIVATE,
        public_key=PUBLIC,
        listen_port=51820,
        fwmark=0xCA6C,
        addresses=("10.44.0.1/24", "fd44::1/64", "fe80::1/64"),
        peers={
            ALICE: Peer(
                ALICE,
                PSK,
                "198.51.100.7:51820",
                ("10.44.0.0/24", "fd44::7/128"),
                25,
                1732000000,
                10,
                20,
            ),
            BOB: Peer(BOB),
        },
        routes=frozenset(
            {
                Route("main", "10.9.0.0/24"),
                Route("77", "10.8.0.3/32"),
                Route("51820", "0.0.0.0/0"),
                Route("51820", "::/0"),
            }
        ),
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 1),
        (DUMP.replace(PRIVATE, PRIVATE[:-1]), 1),
        (DUMP.replace("0xca6c", PRIVATE), 1),
        (DUMP.replace(PSK, PSK[:-1]), 2),
        (DUMP.replace("10.44.0.7/24", PSK), 2),
        (DUMP.replace("\toff", f"\t{PSK}"), 3),
        (DUMP.replace("\toff", f"\toff\t{PSK}"), 3),
    ],
)
def test_a_dump_in_another_format_is_not_quoted(host, text, number):
    """Trap: a column more, and a key is where a number was; int() quotes what it cannot read."""
    host["dump"] = (0, text, "")
    with pytest.raises(DeviceError) as caught:
        _device.read(host["run"], "wg0")
    assert str(caught.value).startswith(f"line {number} of 'wg show ... dump' is not in the format of wg(8)")
    assert PRIVATE[:8] not in str(caught.value) and PSK[:8] not in str(caught.value)


def test_no_link_is_no_device_and_needs_no_tool(host, monkeypatch):
    def no_such_link(name):
        raise OSError(19, "No such device")

    monkeypatch.setattr(_device.socket, "if_nametoindex", no_such_link)
    monkeypatch.setattr(_device, "find", lambda command: None)
    assert _device.read(None, "wg0") is None
    assert _device.names(None) == []


def test_a_link_of_another_kind_is_an_error(host):
    host["dump"] = (1, "", "Unable to access interface: Protocol not supported\n")
    with pytest.raises(DeviceError, match="link 'wg0' is no WireGuard device.*Protocol not supported"):
        _device.read(host["run"], "wg0")


def test_a_missing_tool_is_named_with_its_package(host, monkeypatch):
    monkeypatch.setattr(_device, "find", lambda command: None)
    with pytest.raises(DeviceError, match="the command 'ip' is missing on this host: install iproute2"):
        _device.read(host["run"], "wg0")


def test_names_are_sorted(host):
    assert _device.names(host["run"]) == ["wg0", "wg1"]


def test_commands_of_a_batch_that_fail_have_no_answer(host):
    host["-"] = (1, '[{"a":1}]\n[ ]\n', "RTNETLINK answers: Network is unreachable\nCommand failed -:2\n")
    assert _device.run_batch(host["run"], ["one", "two", "three"], ["-force"]) == [[{"a": 1}], []]


@pytest.mark.parametrize(
    ("text", "network", "address"),
    [
        ("10.44.0.7/24", "10.44.0.0/24", "10.44.0.7/24"),
        ("10.44.0.7", "10.44.0.7/32", "10.44.0.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"),
        ("FD44:0::0:1/64", "fd44::/64", "fd44::1/64"),
        ("fd44::1", "fd44::1/128", "fd44::1/128"),
        ("::/0", "::/0", "::/0"),
    ],
)
def test_normal_forms(text, network, address):
    """Trap: ``wg`` gives 10.44.0.1/24 back as 10.44.0.0/24."""
    assert _device.normal_network(text) == network
    assert _device.normal_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "10.44.0/24", "10.44.0.1/33", "10.44.0.1/", "fd44::/129", "a/8", "1.2.3.4/-1", "1.2.3.4/٣", "1.2.3.4\n"],
)
def test_what_is_no_network(text):
    for read in (_device.normal_network, _device.normal_address):
        with pytest.raises(ValueError):
            read(text)
