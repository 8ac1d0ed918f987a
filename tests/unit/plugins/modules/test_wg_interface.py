# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What wg_interface makes of its options; what it does with a device is tested on real ones (tests/integration)."""

from __future__ import annotations

import os

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import (
    _device,
    _host,
    _interface,
    _underlay,
    _unit,
    _wanted,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config, PeerSection
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_interface

ALICE = "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo="
BOB = "Qdg0BEdk/6S+eKbth6+jVvYZtVQddPA+bNpvJygOY3I="
PRIVATE = "aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUs="
HOSTILE = "x\nPostUp = touch /tmp/owned"


@pytest.fixture(autouse=True)
def fresh_host(monkeypatch, tmp_path):
    """A host without any tool, key or interface; what it would write goes to a folder of the test."""
    for module in (_device, _interface, _underlay, _unit, _wanted):
        if hasattr(module, "find"):
            monkeypatch.setattr(module, "find", lambda command: None)
    monkeypatch.setattr(_interface, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_interface.Interface.__init__, "__defaults__", (str(tmp_path), ""))
    monkeypatch.setattr(_interface, "kernel_has_wireguard", lambda run_command: True)
    monkeypatch.setattr(_unit, "init_system", lambda: "other")
    monkeypatch.setattr(_underlay, "mtu", lambda *arguments: 1420)
    return tmp_path


def test_check_mode_on_a_host_that_has_nothing_yet(run_module, fresh_host):
    result = run_module(
        wg_interface,
        check=True,
        name="wg0",
        private_key_file=str(fresh_host / "wg0.key"),
        addresses=["10.44.0.1/24"],
        peers=[{"public_key": ALICE, "name": "alice", "preshared_key_file": str(fresh_host / "psk")}],
    )
    assert result["changed"] is True
    assert result["public_key"] is None
    assert result["device"] == "kernel"
    assert result["diff"]["before"] == ""
    assert "PrivateKey = (on the host)\n" in result["diff"]["after"]
    assert "PresharedKey = (on the host)\n" in result["diff"]["after"]
    assert result["steps"][0] == "create wg0 (kernel)"
    assert os.listdir(fresh_host) == []


def test_a_missing_key_is_an_error_outside_of_check_mode(run_module, fresh_host):
    result = run_module(wg_interface, name="wg0", private_key_file=str(fresh_host / "wg0.key"))
    assert result["failed"] is True
    assert f"private_key_file {fresh_host}/wg0.key does not exist on this host" in result["msg"]
    assert os.listdir(fresh_host) == []


def test_a_missing_tool_is_an_error_before_anything_changes(run_module, fresh_host):
    (fresh_host / "wg0.key").write_text(PRIVATE + "\n")
    result = run_module(wg_interface, name="wg0", private_key_file=str(fresh_host / "wg0.key"))
    assert result["msg"] == "the command 'wg' is missing here: install wireguard-tools and iproute2"
    assert os.listdir(fresh_host) == ["wg0.key"]


def test_absent_on_a_host_that_has_nothing(run_module):
    assert run_module(wg_interface, name="wg0", state="absent")["changed"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "wg0/../x"}, "name is 'wg0/../x': write at most 15"),
        ({"name": HOSTILE}, "write at most 15"),
        ({"addresses": [HOSTILE]}, "addresses: "),
        ({"addresses": ["10.44.0.1/33"]}, "addresses: '10.44.0.1/33' has no prefix length from 0 to 32"),
        ({"listen_port": 65536}, "listen_port is 65536: write a number from 1 to 65535"),
        ({"mtu": 100}, "mtu is 100: write a number from 576 to 65535"),
        ({"fwmark": HOSTILE}, "fwmark is "),
        ({"table": "main"}, "table is 'main': write auto, off or the number"),
        ({"dns": [HOSTILE]}, "dns is "),
        ({"dns": ["10.44.0.53"], "dns_search": [HOSTILE]}, "dns_search is "),
        ({"post_up": [HOSTILE]}, "post_up is "),
        ({"pre_down": ["echo 1 # 2"]}, "pre_down is 'echo 1 # 2': wg-quick takes '#'"),
        ({"private_key_file": "relative\nx"}, "private_key_file is "),
        ({"peers": [{"public_key": "AAAA"}]}, "peer 'AAAA': public_key is 'AAAA'"),
        ({"peers": [{"public_key": ALICE, "name": HOSTILE}]}, "without control characters"),
        ({"peers": [{"public_key": ALICE, "endpoint": HOSTILE}]}, f"peer '{ALICE}': endpoint is "),
        ({"peers": [{"public_key": ALICE, "name": "alice", "allowed_ips": [HOSTILE]}]}, "peer 'alice': allowed_ips: "),
        ({"peers": [{"public_key": ALICE, "persistent_keepalive": -1}]}, "persistent_keepalive is -1"),
        ({"peers": [{"public_key": ALICE}, {"public_key": ALICE}]}, f"public key {ALICE} is given twice"),
        (
            {
                "peers": [
                    {"public_key": ALICE, "name": "alice", "allowed_ips": ["10.0.0.0/8"]},
                    {"public_key": BOB, "name": "bob", "allowed_ips": ["10.1.2.3/8"]},
                ]
            },
            "10.0.0.0/8 is in allowed_ips of both 'alice' and 'bob'",
        ),
    ],
)
def test_refuses_what_cannot_be_right(run_module, fresh_host, options, message):
    for check in (True, False):
        (fresh_host / "wg0.key").write_text(PRIVATE + "\n")
        defaults = {"name": "wg0", "private_key_file": str(fresh_host / "wg0.key")}
        result = run_module(wg_interface, check=check, **{**defaults, **options})
        assert result.get("failed") is True
        assert message in result["msg"]
        assert os.listdir(fresh_host) == ["wg0.key"]


def test_options_in_normal_form():
    params = {option: [] for option in ("dns", "dns_search", *_wanted.HOOKS)}
    params.update(
        name="wg0", netns=None, listen_port=None, mtu=None, fwmark="False", table="OFF", addresses=["10.44.0.1"]
    )
    params["peers"] = [
        {
            "name": "",
            "public_key": ALICE,
            "endpoint": "[2001:DB8::1]:051820",
            "allowed_ips": ["10.44.0.7/24", "10.44.0.0/24"],
            "persistent_keepalive": None,
            "preshared_key_file": None,
        }
    ]
    config = _wanted.wanted(params)
    assert (config.addresses, config.fwmark, config.table) == (("10.44.0.1/32",), 0, "off")
    assert config.peers == (PeerSection(ALICE, None, None, "[2001:db8::1]:51820", ("10.44.0.0/24",), 0),)


def test_a_key_is_compared_as_the_kernel_keeps_it():
    # RFC 7748, section 6.1: Alice's private key, which is not clamped
    unclamped = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
    assert _wanted.clamped(unclamped) == "cAdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LGo="
    assert _wanted.clamped(_wanted.clamped(unclamped)) == _wanted.clamped(unclamped)


def test_the_own_key_is_no_peer():
    _wanted.check_own_key([PeerSection(ALICE, "me")], BOB)
    with pytest.raises(ValueError, match="peer 'me' has the interface's own public key"):
        _wanted.check_own_key([PeerSection(ALICE, "me")], ALICE)


def test_kept_preshared_keys_are_those_of_the_device():
    live, written, new = ("l" * 42 + "A=", "w" * 42 + "A=", "n" * 42 + "A=")
    device = _device.Device(
        "wg0", "kernel", True, 1420, None, None, 0, 0, (), {ALICE: _device.Peer(ALICE, live)}, frozenset()
    )
    config = Config(peers=(PeerSection(ALICE, preshared_key=written), PeerSection(BOB, preshared_key=written)))
    now = _interface.Now(device, "", True, config, None, None, None)

    def kept(*peers):
        return [peer.preshared_key for peer in _wanted.with_kept_keys(Config(peers=peers), now).peers]

    assert kept(PeerSection(ALICE), PeerSection(BOB), PeerSection(PRIVATE)) == [live, written, None]
    assert kept(PeerSection(ALICE, preshared_key=new)) == [new]


@pytest.fixture
def container(monkeypatch, tmp_path):
    """A container whose kernel has no WireGuard; without wireguard-go, and without the device that this needs."""
    monkeypatch.setattr(_interface, "kernel_has_wireguard", lambda run_command: False)
    monkeypatch.setattr(_host, "TUN", str(tmp_path / "tun"))
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "backend", "message"),
    [
        (
            "wireguard-go",
            "auto",
            "wg0 cannot be made: this kernel has no WireGuard, and the command 'wireguard-go' is missing",
        ),
        (
            "wireguard-go",
            "wireguard-go",
            "wg0 cannot be made: the command 'wireguard-go' is missing: install wireguard-go;",
        ),
        (
            "wireguard-go",
            "auto",
            r"wireguard-go cannot open \S+/tun \(No such file or directory\): .* or install or load the",
        ),
        ("kernel", "kernel", "backend is kernel, but this kernel has no WireGuard: install or load the module"),
    ],
)
def test_a_device_that_cannot_be_made_is_an_error_before_anything_changes(container, kind, backend, message):
    interface = _interface.Interface(None, "wg0", pytest.fail)
    with pytest.raises(_device.DeviceError, match=message):
        interface.check_kind(kind, backend, packages_may_come=False)


def test_check_mode_knows_that_packages_may_come_but_no_devices(container):
    interface = _interface.Interface(None, "wg0", lambda message: None)
    with pytest.raises(_device.DeviceError, match="this kernel has no WireGuard, and wireguard-go cannot open"):
        interface.check_kind("wireguard-go", "auto", packages_may_come=True)
    (container / "tun").write_text("")
    interface.check_kind("wireguard-go", "auto", packages_may_come=True)


@pytest.mark.parametrize(
    ("kind", "backend", "warned"),
    [("wireguard-go", "auto", 1), ("wireguard-go", "wireguard-go", 0), ("kernel", "auto", 0)],
)
def test_the_fallback_to_userspace_is_said_aloud(container, kind, backend, warned):
    (container / "tun").write_text("")
    warnings = []
    _interface.Interface(None, "wg0", warnings.append).check_kind(kind, backend, packages_may_come=True)
    assert len(warnings) == warned
    assert all(text.startswith("this kernel has no WireGuard, so wireguard-go serves wg0") for text in warnings)


def addressed(monkeypatch, wanted, in_file=(), live=None, names=None):
    """Endpoints and their names in the new file, what is pushed, and what is warned of; ``live``: key -> endpoint."""
    warnings = []
    interface = _interface.Interface(None, "wg0", warnings.append)
    asked = []

    def resolve(endpoints):
        asked.extend(endpoints)
        return {one: one for one in endpoints if _underlay.is_address(one)} | (names or {})

    monkeypatch.setattr(_underlay, "resolve", resolve)
    peers = {key: _device.Peer(key, None, endpoint) for key, endpoint in (live or {}).items()}
    device = _device.Device("wg0", "kernel", True, 1420, None, None, 0, 0, (), peers, frozenset())
    now = _interface.Now(device, "", True, Config(peers=tuple(in_file)), None, None, None)
    config, push = interface.addressed(Config(peers=tuple(wanted)), now)
    written = [(peer.endpoint, peer.endpoint_name) for peer in config.peers]
    return written, push, [warning.rpartition(": ")[2] for warning in warnings], asked


NAMED = PeerSection(ALICE, "alice", endpoint="alice.example:1")
IN_FILE = PeerSection(ALICE, "alice", endpoint="198.51.100.1:1", endpoint_name="alice.example:1")


@pytest.mark.parametrize(
    ("in_file", "live", "names", "expected"),
    [
        pytest.param(
            [], None, {"alice.example:1": "198.51.100.1:1"},
            (("198.51.100.1:1", "alice.example:1"), {ALICE: "198.51.100.1:1"}, [], ["alice.example:1"]),
            id="new",
        ),
        pytest.param(
            [], None, {},
            ((None, "alice.example:1"), {}, ["the peer is without an endpoint until a run finds the name"],
             ["alice.example:1"]),
            id="new and dead",
        ),
        pytest.param(
            [IN_FILE], {ALICE: "203.0.113.7:7"}, {"alice.example:1": "198.51.100.9:1"},
            (("198.51.100.1:1", "alice.example:1"), {}, [], []),
            id="its record has moved, and the peer has roamed",
        ),
        pytest.param(
            [IN_FILE], {}, {"alice.example:1": "198.51.100.9:1"},
            (("198.51.100.1:1", "alice.example:1"), {ALICE: "198.51.100.9:1"}, [], ["alice.example:1"]),
            id="the device is gone",
        ),
        pytest.param(
            [IN_FILE], {}, {},
            (("198.51.100.1:1", "alice.example:1"), {ALICE: "198.51.100.1:1"},
             ["the peer keeps 198.51.100.1:1 until a run finds the name"], ["alice.example:1"]),
            id="the device is gone and the name is dead",
        ),
        pytest.param(
            [IN_FILE._replace(endpoint_name="old.example:1")], {ALICE: "203.0.113.7:7"}, {},
            (("198.51.100.1:1", "alice.example:1"), {},
             ["the peer keeps 198.51.100.1:1 until a run finds the name"], ["alice.example:1"]),
            id="another name, which is dead",
        ),
        pytest.param(
            [IN_FILE._replace(endpoint_name=None)], {ALICE: "203.0.113.7:7"}, {"alice.example:1": "198.51.100.9:1"},
            (("198.51.100.9:1", "alice.example:1"), {ALICE: "198.51.100.9:1"}, [], ["alice.example:1"]),
            id="a name instead of an address",
        ),
        pytest.param(
            [IN_FILE._replace(endpoint=None)], {ALICE: "203.0.113.7:7"}, {},
            (("203.0.113.7:7", "alice.example:1"), {},
             ["the peer keeps 203.0.113.7:7 until a run finds the name"], ["alice.example:1"]),
            id="dead when it was new, found by the timer, dead again",
        ),
        pytest.param(
            [NAMED], {ALICE: "203.0.113.7:7"}, {"alice.example:1": "198.51.100.1:1"},
            (("198.51.100.1:1", "alice.example:1"), {}, [], ["alice.example:1"]),
            id="a file that wg-quick was to resolve",
        ),
    ],
)  # fmt: skip
def test_names_of_endpoints(monkeypatch, in_file, live, names, expected):
    """Traps: a name that wg-quick has to resolve keeps it from bringing up the whole interface at boot; an endpoint
    that is pushed again cuts off a peer that roamed."""
    written, *others = addressed(monkeypatch, [NAMED], in_file, live, names)
    assert (written[0], *others) == expected


def test_an_address_is_no_name_any_more(monkeypatch):
    peer = PeerSection(ALICE, endpoint="198.51.100.2:1")
    written, push, warnings, _asked = addressed(monkeypatch, [peer], [IN_FILE], {ALICE: "198.51.100.1:1"})
    assert (written, push, warnings) == ([("198.51.100.2:1", None)], {ALICE: "198.51.100.2:1"}, [])


def test_a_service_that_knows_no_namespaces_is_an_error_before_anything_changes(monkeypatch, fresh_host):
    monkeypatch.setattr(_unit, "service", _unit.OpenRC)
    now = _interface.Now(None, None, False, None, _unit.UnitState(True, False, False), None, None)
    interface = _interface.Interface(None, "wg0", pytest.fail, netns="vpn")
    with pytest.raises(
        _device.DeviceError, match=r"in the network namespace vpn, since wg-quick\.wg0 knows no namespaces"
    ):
        interface.check_service(now)
    _interface.Interface(None, "wg0", pytest.fail, netns=None).check_service(now)


def kept(names, wanted, old):
    """The peers of the result by key, with their allowed IPs."""
    config = _wanted.with_kept_peers(Config(peers=wanted), old and Config(peers=old), names)
    return {peer.public_key: peer.allowed_ips for peer in config.peers}


def test_what_the_writer_does_not_know_stays():
    alice = PeerSection(ALICE, "alice", allowed_ips=("10.44.0.2/32",))
    bob = PeerSection(BOB, "bob", allowed_ips=("10.44.0.3/32", "10.44.0.2/32"))
    both = {ALICE: ("10.44.0.2/32",), BOB: ("10.44.0.3/32",)}
    assert kept(["bob"], [alice], [alice, bob]) == both
    assert kept(["carol"], [alice], [alice, bob]) == {ALICE: ("10.44.0.2/32",)}
    assert kept([], [alice], [alice, bob]) == {ALICE: ("10.44.0.2/32",)}
    # written by hand
    assert kept(["carol"], [alice], [bob._replace(name=None)]) == both
    assert kept([], [alice], [bob._replace(name=None)]) == {ALICE: ("10.44.0.2/32",)}
    # known by now, or nothing there
    assert kept(["alice"], [alice], [alice._replace(allowed_ips=())]) == {ALICE: ("10.44.0.2/32",)}
    assert kept(["bob"], [alice], None) == {ALICE: ("10.44.0.2/32",)}
