# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _host


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("wireguard-tools v1.0.20210914 - https://git.zx2c4.com/wireguard-tools/\n", "1.0.20210914"),
        ("nftables v1.0.6 (Lester Gooch #5)\n", "1.0.6"),
        ("no number here", None),
    ],
)
def test_version_in(text, version):
    assert _host.version_in(text) == version


def test_tools(monkeypatch):
    there = {"wg": "/usr/bin/wg", "ip": "/usr/sbin/ip", "nft": "/usr/sbin/nft"}
    monkeypatch.setattr(_host, "find", there.get)
    answers = {"/usr/bin/wg": (0, "wireguard-tools v1.0.1", ""), "/usr/sbin/nft": (1, "", "what?")}
    tools = _host.tools(lambda argv: answers[argv[0]])
    assert tools.pop("pynacl") in (True, False)
    assert tools == {
        "wg": "1.0.1",
        "wg_quick": False,
        "ip": True,
        "nft": "unknown",
        "sysctl": False,
        "wireguard_go": False,
    }


NOTHING = {"wg": None, "wg_quick": False, "ip": False, "nft": None, "wireguard_go": False}
EVERYTHING = {"wg": "1.0.1", "wg_quick": True, "ip": True, "nft": None, "wireguard_go": True}


@pytest.mark.parametrize(
    ("present", "kernel_wireguard", "missing"),
    [
        (NOTHING, True, ["wg", "wg-quick", "ip"]),
        (NOTHING, False, ["wg", "wg-quick", "ip", "wireguard-go"]),
        (EVERYTHING, False, []),
        ({**EVERYTHING, "wireguard_go": False}, True, []),
    ],
)
def test_missing_tools(present, kernel_wireguard, missing):
    assert _host.missing_tools(present, kernel_wireguard) == missing


@pytest.fixture
def machine(monkeypatch):
    """``machine(paths, modprobe, modprobe_code, kernel_says)``: what kernel_has_wireguard() finds, whom it asked."""

    def build(paths=(), modprobe=None, modprobe_code=0, kernel_says=None):
        asked = []
        monkeypatch.setattr(_host.platform, "release", lambda: "6.1.0")
        monkeypatch.setattr(_host.os.path, "isdir", paths.__contains__)
        monkeypatch.setattr(_host.os.path, "exists", paths.__contains__)
        monkeypatch.setattr(_host, "find", {"modprobe": modprobe}.get)

        def ask_kernel(kind):
            asked.append(kind)
            return kernel_says

        def run_command(argv):
            asked.append(argv)
            return modprobe_code, "", ""

        monkeypatch.setattr(_host, "_ask_kernel", ask_kernel)
        return _host.kernel_has_wireguard(run_command), asked

    return build


MODULES = "/lib/modules/6.1.0/modules.dep"
DRY_RUN = ["/sbin/modprobe", "--dry-run", "--quiet", "rtnl-link-wireguard"]


def test_a_loaded_module_is_seen_without_asking(machine):
    assert machine(["/sys/module/wireguard"], "/sbin/modprobe") == (True, [])


@pytest.mark.parametrize(("code", "answer"), [(0, True), (1, False)])
def test_modprobe_is_asked_where_it_sees_the_modules(machine, code, answer):
    assert machine([MODULES], "/sbin/modprobe", code) == (answer, [DRY_RUN])


@pytest.mark.parametrize("answer", [True, False])
def test_the_kernel_is_asked_in_containers(machine, answer):
    assert machine([], "/sbin/modprobe", kernel_says=answer) == (answer, ["wireguard"])
    assert machine([MODULES], None, kernel_says=answer) == (answer, ["wireguard"])


def test_link_request():
    message = _host.link_request("wireguard")
    length, kind, flags, _sequence, _process = struct.unpack_from("=IHHII", message)
    assert length == len(message)
    assert kind == 16
    assert flags == 0x605
    assert b"\x1f\x00\xff\xff\xff\x7f" in message  # IFLA_NUM_TX_QUEUES, more than any link may have
    assert b"wireguard\0" in message


@pytest.mark.parametrize(
    ("there", "init"),
    [
        (["/run/systemd/system", "/run/openrc/softlevel"], "systemd"),
        (["/run/openrc/softlevel"], "openrc"),
        ([], "other"),
    ],
)
def test_init_system(monkeypatch, there, init):
    monkeypatch.setattr(_host.os.path, "isdir", there.__contains__)
    monkeypatch.setattr(_host.os.path, "exists", there.__contains__)
    assert _host.init_system() == init
