# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _connection, _device

CLIENT = b"SSH_CONNECTION=10.44.0.1 40022 10.44.0.3 22"


@pytest.fixture
def processes(tmp_path):
    """``processes(own, parent, ...)`` makes a /proc in which the last one is a child of init, of environments."""

    def make(*environments):
        pids = [str(os.getpid()), *map(str, range(100, 99 + len(environments)))]
        for pid, parent, environment in zip(pids, [*pids[1:], "1"], environments):
            (tmp_path / pid).mkdir()
            (tmp_path / pid / "environ").write_bytes(environment)
            (tmp_path / pid / "status").write_text(f"Name:\tpython3\nPid:\t{pid}\nPPid:\t{parent}\n")
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    ("environments", "ends"),
    [
        ([b"A=b\0" + CLIENT + b"\0C=d\0"], ("10.44.0.1", "10.44.0.3")),
        ([CLIENT + b"\0"], ("10.44.0.1", "10.44.0.3")),
        # sudo's and its child's environments are clean
        ([b"A=b\0", b"SUDO_USER=me\0", CLIENT + b"\0"], ("10.44.0.1", "10.44.0.3")),
        ([b"SSH_CONNECTION=2001:db8::1 40022 2001:db8::3 22\0"], ("2001:db8::1", "2001:db8::3")),
        ([b"NOT_SSH_CONNECTION=10.44.0.1 40022 10.44.0.3 22\0"], (None, None)),
        ([b"A=b\0", b""], (None, None)),
    ],
)
def test_ends_are_those_of_the_nearest_process(processes, environments, ends):
    assert _connection.ssh_ends(processes(*environments)) == ends


def test_process_that_may_not_be_read_has_none(tmp_path):
    assert _connection.ssh_ends(str(tmp_path)) == (None, None)


def test_the_interface_is_that_of_the_answers(monkeypatch):
    asked = []

    def run_batch(run_command, lines):
        asked.extend(lines)
        return [[{"dst": "10.44.0.1", "dev": "wg0", "prefsrc": "10.44.0.3"}]]

    monkeypatch.setattr(_connection, "run_batch", run_batch)
    assert _connection.interface_towards(None, "10.44.0.1") == "wg0"
    assert asked == ["route get 10.44.0.1"]


def test_a_link_local_client_names_its_interface():
    assert _connection.interface_towards(None, "fe80::1%eth0") == "eth0"


def test_no_way_back(monkeypatch):
    monkeypatch.setattr(_connection, "run_batch", lambda run_command, lines: [])
    assert _connection.interface_towards(None, "10.44.0.1") is None


def test_no_ip_command(monkeypatch):
    def run_batch(run_command, lines):
        raise _device.DeviceError("the command 'ip' is missing")

    monkeypatch.setattr(_connection, "run_batch", run_batch)
    assert _connection.interface_towards(None, "10.44.0.1") is None
