# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _apply
from ansible_collections.wirefleet.wireguard.plugins.module_utils._apply import Applier, StepFailed
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step


class Host:
    """Records commands; ``answers`` has what a command (its first two words) answers."""

    def __init__(self):
        self.calls = []
        self.answers = {}

    def run(self, argv, data=None, binary_data=False):
        assert binary_data or data is None or data.endswith("\n")
        self.calls.append((argv, data))
        return self.answers.get(tuple(argv[:2]), (0, "", ""))


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(_apply, "find", lambda command: command)
    return Host()


def test_neighbours_of_one_tool_go_into_one_process(host):
    """Trap: wg-quick forks for every route; a thousand take 16 s."""
    Applier(host.run, "wg0").apply(
        [
            Step("wg", ("private-key", "/dev/stdin"), "key", "secret\n"),
            Step("wg", ("listen-port", "1"), "port"),
            Step("wg", ("fwmark", "off"), "mark"),
            Step("peers", (), "a", "[Peer]\nPublicKey = A\n"),
            Step("peers", (), "b", "[Peer]\nPublicKey = B\n"),
            Step("wg", ("peer", "C", "persistent-keepalive", "25"), "c"),
            Step("wg", ("peer", "D"), "others' gain was all"),
            Step("wg", ("peer", "E", "remove"), "e"),
            Step("ip", ("link", "set", "up", "dev", "wg0"), "up"),
            Step("ip", ("route", "add", "10.0.0.0/8", "dev", "wg0"), "route"),
            Step("ip6", ("rule", "add", "table", "7"), "rule"),
        ]
    )
    assert host.calls == [
        (["wg", "set", "wg0", "private-key", "/dev/stdin"], "secret\n"),
        (["wg", "set", "wg0", "listen-port", "1", "fwmark", "off"], None),
        (["wg", "addconf", "wg0", "/dev/stdin"], "[Peer]\nPublicKey = A\n\n[Peer]\nPublicKey = B\n"),
        (["wg", "set", "wg0", "peer", "C", "persistent-keepalive", "25", "peer", "E", "remove"], None),
        (["ip", "-batch", "-"], "link set up dev wg0\nroute add 10.0.0.0/8 dev wg0\n"),
        (["ip", "-6", "-batch", "-"], "rule add table 7\n"),
    ]


def test_the_device_is_in_its_namespace_and_all_else_outside(host, monkeypatch):
    where = []

    @contextlib.contextmanager
    def entered(netns):
        where.append(netns)
        yield

    monkeypatch.setattr(_apply._netns, "entered", entered)
    steps = [
        Step("command", ("ip", "link", "add", "wg0"), "create"),
        Step("wg", ("listen-port", "1"), "port"),
        Step("hook", ("true",), "hook"),
        Step("command", ("true",), "outside"),
    ]
    Applier(host.run, "wg0", netns="vpn").apply(steps)
    Applier(host.run, "wg0").apply(steps[1:2])
    assert where == [None, "vpn", "vpn", None, None]


def test_a_service_is_told_what_a_step_says(host):
    told = []

    class Service:
        def enable(self):
            told.append("enable")

        def redirect(self, redirection):
            told.append(redirection)

    steps = [Step("unit", ("redirect", "x"), "redirect"), Step("unit", ("enable",), "enable")]
    Applier(host.run, "wg0", Service()).apply(steps)
    assert told == ["x", "enable"]


def test_nothing_to_say_is_no_process(host):
    Applier(host.run, "wg0").apply([Step("wg", ("peer", "D"), "others' gain was all")])
    assert host.calls == []


def test_very_many_changes_are_several_processes(host):
    Applier(host.run, "wg0").apply([Step("wg", ("peer", f"{number:044}", "remove"), "gone") for number in range(5000)])
    assert len(host.calls) == 3
    assert sum(argv.count("remove") for argv, _data in host.calls) == 5000
    assert max(sum(map(len, argv)) for argv, _data in host.calls) < 128 * 1024


def test_the_step_that_failed_is_named(host):
    steps = [Step("ip", ("address", "add", f"10.0.0.{number}"), f"add address {number}") for number in range(5)]
    host.answers[("ip", "-batch")] = (1, "", "RTNETLINK answers: File exists\nCommand failed -:4\n")
    with pytest.raises(StepFailed) as caught:
        Applier(host.run, "wg0").apply([*steps, Step("wg", ("fwmark", "off"), "never reached")])
    assert str(caught.value) == "step 'add address 3' failed: RTNETLINK answers: File exists"
    assert len(host.calls) == 1


def test_a_command_that_gives_no_reason(host):
    host.answers[("wg", "set")] = (3, "", "")
    with pytest.raises(StepFailed, match="^step 'mark' failed: it ended with 3$"):
        Applier(host.run, "wg0").apply([Step("wg", ("fwmark", "off"), "mark")])


def test_hooks_run_as_wg_quick_runs_them(host):
    """Trap: hooks are bash, and wg-quick goes no further when one fails."""
    host.answers[("bash", "-e")] = (1, "", "no\n")
    Applier(host.run, "wg0").apply([Step("down_hook", ("rm /x",), "down"), Step("down_hook", ("rm /y",), "down")])
    assert host.calls == [(["bash", *_apply.SHELL], f"{command}\n") for command in ("rm /x", "rm /y")]
    with pytest.raises(StepFailed, match="^step 'up' failed: no$"):
        Applier(host.run, "wg0").apply([Step("hook", ("touch /x",), "up")])


def test_files(host, tmp_path):
    path = tmp_path / "new" / "wg0.conf"
    Applier(host.run, "wg0").apply([Step("file", (str(path),), "write", "caf\udce9\n")])
    assert path.read_bytes() == b"caf\xe9\n"
    assert path.stat().st_mode & 0o777 == 0o600
    Applier(host.run, "wg0").apply([Step("file", (str(path),), "remove"), Step("file", (str(path),), "again")])
    assert not path.exists()
    with pytest.raises(StepFailed, match="^step 'write' failed: .*File exists"):
        Applier(host.run, "wg0").apply([Step("file", ("/dev/null/wg0.conf",), "write", "")])


def test_settings_of_the_kernel(host, tmp_path):
    setting = tmp_path / "src_valid_mark"
    setting.write_text("0")
    Applier(host.run, "wg0").apply([Step("write", (str(setting), "1"), "set")])
    assert setting.read_text() == "1"
    with pytest.raises(StepFailed, match="^step 'set' failed: .*No such file"):
        Applier(host.run, "wg0").apply([Step("write", (str(tmp_path / "a" / "b"), "1"), "set")])


def test_waits_for_a_userspace_device_to_end(host, monkeypatch, tmp_path):
    monkeypatch.setattr(_apply, "SOCKETS", str(tmp_path))
    monkeypatch.setattr(_apply, "SECONDS_TO_END", 0.05)
    socket = tmp_path / "wg0.sock"
    socket.touch()
    monkeypatch.setattr(_apply.time, "sleep", lambda seconds: socket.unlink())
    Applier(host.run, "wg0").apply([Step("delete", (), "delete wg0")])
    assert host.calls == [(["ip", "link", "delete", "dev", "wg0"], None)]
    assert not socket.exists()
    socket.touch()  # one that a killed program left is not waited for forever
    monkeypatch.setattr(_apply.time, "sleep", lambda seconds: None)
    Applier(host.run, "wg0").apply([Step("delete", (), "delete wg0")])


def test_a_missing_tool_is_named(host, monkeypatch):
    monkeypatch.setattr(_apply, "find", lambda command: None)
    with pytest.raises(_apply.DeviceError, match="^the command 'nft' is missing on this host$"):
        Applier(host.run, "wg0").apply([Step("nft", (), "guard", "add table ip x\n")])
