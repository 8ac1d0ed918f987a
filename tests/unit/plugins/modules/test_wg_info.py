# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _device, _host, _names, _unit
from ansible_collections.wirefleet.wireguard.plugins.module_utils._sealing import fingerprint
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_info

PRIVATE = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
PRESHARED = "XasIfmJKikt54X+Lg4AO5m87sSkmGLb9HC+LJ/+I4Os="
NOW = 1_790_000_000


def device(name="wg0", **changes):
    peers = [
        _device.Peer("b" * 43 + "=", PRESHARED, "198.51.100.7:51820", ("10.44.0.2/32",), 25, NOW - 180, 1, 2),
        _device.Peer("a" * 43 + "="),
    ]
    values = {
        "name": name,
        "kind": "kernel",
        "up": True,
        "mtu": 1420,
        "private_key": PRIVATE,
        "public_key": PUBLIC,
        "listen_port": 51820,
        "fwmark": 0,
        "addresses": ("10.44.0.1/24",),
        "peers": {peer.public_key: peer for peer in peers},
        "routes": frozenset(),
    }
    return _device.Device(**{**values, **changes})


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A host with these devices and files; without an init system."""
    monkeypatch.setattr(wg_info, "CONFIG_FILE", f"{tmp_path}/{{}}.conf")
    monkeypatch.setattr(wg_info, "SYSCTL_FILE", f"{tmp_path}/70-wireguard-{{}}.conf")
    monkeypatch.setattr(_names, "HOSTS", f"{tmp_path}/hosts")
    monkeypatch.setattr(wg_info.time, "time", lambda: NOW + 0.5)
    monkeypatch.setattr(_unit, "service", lambda run_command, name: None)
    monkeypatch.setattr(_host, "kernel_has_wireguard", lambda run_command: True)

    def build(*devices):
        monkeypatch.setattr(_device, "names", lambda run_command: [each.name for each in devices])
        monkeypatch.setattr(
            _device, "read", lambda run_command, name: next(each for each in devices if each.name == name)
        )
        return tmp_path

    return build


def test_an_interface(run_module, host):
    host(device())
    result = run_module(wg_info)
    assert not result["changed"]
    (interface,) = result["interfaces"]
    peers = interface.pop("peers")
    assert interface.pop("config_file")["present"] is False
    assert interface == {
        "name": "wg0",
        "state": "up",
        "backend": "kernel",
        "netns": None,
        "public_key": PUBLIC,
        "listen_port": 51820,
        "fwmark": 0,
        "mtu": 1420,
        "addresses": ["10.44.0.1/24"],
        "unit": {"enabled": False, "active": False},
    }
    assert peers[0] == {
        "public_key": "a" * 43 + "=",
        "endpoint": None,
        "allowed_ips": [],
        "latest_handshake": None,
        "handshake_age": None,
        "online": False,
        "rx_bytes": 0,
        "tx_bytes": 0,
        "persistent_keepalive": None,
        "has_preshared_key": False,
    }
    assert peers[1] == {
        "public_key": "b" * 43 + "=",
        "endpoint": "198.51.100.7:51820",
        "allowed_ips": ["10.44.0.2/32"],
        "latest_handshake": NOW - 180,
        "handshake_age": 180,
        "online": True,
        "rx_bytes": 1,
        "tx_bytes": 2,
        "persistent_keepalive": 25,
        "has_preshared_key": True,
    }


def test_no_secret_is_told(run_module, host):
    """Trap: ``wg show dump`` prints private and preshared keys among the rest."""
    host(device())
    text = str(run_module(wg_info))
    assert PRIVATE not in text
    assert PRESHARED not in text


@pytest.mark.parametrize(("age", "online"), [(180, True), (181, False), (-5, True)])
def test_online(age, online):
    """Trap: a session is renewed after 120 s and rejected after 180 s: younger than that is online."""
    report = wg_info.peer_report(_device.Peer("x", latest_handshake=NOW - age), NOW)
    assert report["online"] is online
    assert report["handshake_age"] == max(age, 0)


def test_which_interfaces(run_module, host):
    folder = host(device("wg1", up=False), device("wg0"))
    (folder / "wg2.conf").write_text("")
    told = run_module(wg_info)["interfaces"]
    assert [(each["name"], each["state"], each["backend"]) for each in told] == [
        ("wg0", "up", "kernel"),
        ("wg1", "down", "kernel"),
        ("wg2", "down", None),
    ]
    assert told[2]["config_file"] == {"path": f"{folder}/wg2.conf", "present": True}
    told = run_module(wg_info, interfaces=["wg2", "wg1", "wg9"])["interfaces"]
    assert [each["name"] for each in told] == ["wg1", "wg2"]
    assert run_module(wg_info, interfaces=[])["interfaces"] == []


def test_units(run_module, host, monkeypatch):
    class Service:
        def state(self):
            return _unit.UnitState(known=True, enabled=True, active=False)

    host(device())
    monkeypatch.setattr(_unit, "service", lambda run_command, name: Service())
    assert run_module(wg_info)["interfaces"][0]["unit"] == {"enabled": True, "active": False}


def test_a_device_that_cannot_be_read_is_a_warning(run_module, host, monkeypatch):
    def fail(run_command):
        raise _device.DeviceError("'wg show interfaces' failed: broken")

    host()
    monkeypatch.setattr(_device, "names", fail)
    result = run_module(wg_info)
    assert result["interfaces"] == []
    assert "'wg show interfaces' failed: broken" in str(result["warnings"])


def test_public_keys(run_module, host):
    folder = host()
    good, wide, broken = (folder / name for name in ("good", "wide", "broken"))
    for path, text, mode in [(good, PRIVATE, 0o600), (wide, PRIVATE, 0o644), (broken, "x", 0o600)]:
        path.write_text(text)
        path.chmod(mode)
    link = folder / "link"
    link.symlink_to(good)
    paths = [str(path) for path in (good, wide, broken, link, folder / "missing", folder)]
    assert run_module(wg_info, private_key_files=paths)["public_keys"] == {
        paths[0]: PUBLIC,
        **dict.fromkeys(paths[1:]),
    }


def test_sysctls(run_module, host):
    folder = host()
    (folder / "70-wireguard-wg0.conf").write_text(
        "# comment = 1\n;x=1\nnet.ipv4.ip_forward = 1\n-net/ipv6/x=2\nnet.ipv6.conf.a/b.accept_ra=2\n\n"
    )
    (folder / "99-other.conf").write_text("net.ipv4.ip_forward = 0\n")
    sysctl = run_module(wg_info)["sysctl"]
    assert sysctl["persisted"] == {
        "wg0": {"net.ipv4.ip_forward": "1", "net.ipv6.x": "2", "net.ipv6.conf.a/b.accept_ra": "2"}
    }
    assert sysctl["live"]["net.ipv4.ip_forward"] in ("0", "1")


def test_links_that_live_on_router_advertisements(run_module, host, monkeypatch):
    """Default routes of the kernel's own, one that a person made, and a network that was advertised."""
    zero, gateway, routes = "0" * 32, "fe80" + "0" * 27 + "1", host() / "ipv6_route"
    routes.write_text(
        f"{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00450003      lo\n"
        f"{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00450003  eth0.7\n"
        f"{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00000003    eth1\n"
        f"20010db8{zero[8:]} 40 {zero} 00 {zero} 00000100 00000001 00000000 00040001    eth2\n"
    )
    monkeypatch.setattr(wg_info, "IPV6_ROUTES", str(routes))
    live = run_module(wg_info)["sysctl"]["live"]
    forwarding = {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"}
    assert set(live) == forwarding | {"net.ipv6.conf.lo.accept_ra", "net.ipv6.conf.eth0/7.accept_ra"}
    assert live["net.ipv6.conf.lo.accept_ra"] in ("0", "1", "2")
    monkeypatch.setattr(wg_info, "IPV6_ROUTES", str(routes / "missing"))
    assert set(run_module(wg_info)["sysctl"]["live"]) == forwarding


def test_a_host_without_any_tool(run_module, host, monkeypatch):
    host()
    monkeypatch.undo()
    monkeypatch.setattr(_host, "SEARCH_PATH", "/nonexistent")
    monkeypatch.setattr(_host, "kernel_has_wireguard", lambda run_command: False)
    result = run_module(wg_info)
    assert result["missing_tools"] == ["wg", "wg-quick", "ip", "wireguard-go"]
    assert result["tools"]["wg"] is None
    assert result["kernel_wireguard"] is False


def test_preshared_keys_are_told_by_fingerprint(run_module, host):
    folder = host()
    key = "b" * 42 + "A="
    (folder / "wg0.conf").write_text(f"[Interface]\n[Peer]\nPublicKey = {key}\nPresharedKey = {PRESHARED}\n")
    (folder / "wg1.conf").write_text("[Interface]\n")
    (folder / "odd.conf").write_text("PresharedKey\n")
    result = run_module(wg_info)
    assert result["preshared_keys"] == {"wg0": {key: fingerprint(PRESHARED)}, "wg1": {}}
    assert PRESHARED not in str(result)


def test_the_age_of_a_key(run_module, host):
    path = host() / "wg0.key"
    path.write_text(PRIVATE)
    path.chmod(0o600)
    os.utime(path, (NOW - 90 * 86400, NOW - 90 * 86400))
    result = run_module(wg_info, private_key_files=[str(path), "/nowhere/wg0.key"])
    assert result["key_ages"] == {str(path): 90.0, "/nowhere/wg0.key": None}


def test_names(run_module, host):
    """As blockinfile marks them; a file without any, and none at all, are no failure."""
    place = host()
    assert run_module(wg_info)["names"] == {}
    place.joinpath("hosts").write_bytes(b"127.0.0.1 localhost # l\xf6cal\n# BEGIN wirefleet.wireguard wg0\n# END\n")
    assert run_module(wg_info)["names"] == {}
    block = b"# BEGIN wirefleet.wireguard wg.0\n10.44.0.1 a.wg0\n# END wirefleet.wireguard wg.0\n"
    place.joinpath("hosts").write_bytes(block + b"::1 localhost")
    assert run_module(wg_info)["names"] == {"wg.0": _names.digest(b"10.44.0.1 a.wg0\n")}


def test_links_are_told_and_not_read(run_module, host, monkeypatch):
    folder = host()
    monkeypatch.setattr(wg_info, "FILES", (f"{folder}/*",))
    (folder / "secret").write_text("password = 1\n")
    (folder / "70-wireguard-wg0.conf").symlink_to("secret")
    (folder / "wg1.conf").symlink_to("nowhere")
    result = run_module(wg_info)
    assert result["links"] == {f"{folder}/70-wireguard-wg0.conf": "secret", f"{folder}/wg1.conf": "nowhere"}
    assert result["sysctl"]["persisted"] == {}


def test_an_error_of_wg_pubkey_is_no_key(run_module, host, monkeypatch):
    path = host() / "wg0.key"
    path.write_text(PRIVATE)
    path.chmod(0o600)

    def fail(*_arguments):
        raise ValueError("'wg pubkey' ended with 1")

    monkeypatch.setattr(wg_info, "public_key_of", fail)
    assert run_module(wg_info, private_key_files=[str(path)])["public_keys"] == {str(path): None}
