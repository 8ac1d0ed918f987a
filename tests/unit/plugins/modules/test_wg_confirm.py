# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import stat

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _detached, _undo
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_confirm


@pytest.fixture(autouse=True)
def undo(monkeypatch, tmp_path):
    monkeypatch.setattr(_detached, "find", lambda command: None)
    monkeypatch.setattr(wg_confirm, "Undo", lambda: _undo.Undo(str(tmp_path / "undo")))


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "wg0.key"
    path.write_text("secret\n")
    path.chmod(0o600)
    return path


def test_files_are_put_back_as_they_were(run_module, key, tmp_path):
    new = tmp_path / "new"
    armed = run_module(wg_confirm, state="armed", files=[str(key), str(new)])
    assert armed["changed"] is False
    assert "secret" not in str(armed)
    key.unlink()
    new.write_text("not here before")
    assert run_module(wg_confirm, state="undone") == {"changed": True, "problems": []}
    assert key.read_text() == "secret\n"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not new.exists()


def test_a_sysctl_is_put_back(tmp_path, monkeypatch):
    value = tmp_path / "ip_forward"
    value.write_text("0\n")
    monkeypatch.setattr(wg_confirm, "sysctl_path", lambda name: f"{tmp_path}/{name}")
    put_back = wg_confirm.note_sysctl("ip_forward")
    value.write_text("1\n")
    assert put_back() == []
    assert value.read_text() == "0\n"


def test_confirmed_in_time(run_module, key):
    run_module(wg_confirm, state="armed", files=[str(key)])
    key.write_text("another\n")
    assert run_module(wg_confirm, state="confirmed") == {"changed": False, "problems": []}
    assert key.read_text() == "another\n"


def test_confirmed_too_late(run_module, key):
    run_module(wg_confirm, state="armed", files=[str(key)])
    key.write_text("another\n")
    run_module(wg_confirm, state="undone")
    failed = run_module(wg_confirm, state="confirmed")
    assert failed["failed"]
    assert failed["msg"] == (
        "the change was not confirmed in time, so the host has put back its previous interfaces, firewall and sysctls"
    )
    assert key.read_text() == "secret\n"


def test_what_could_not_be_put_back_is_told(run_module, key):
    run_module(wg_confirm, state="armed", files=[str(key)])
    key.unlink()
    key.mkdir()
    failed = run_module(wg_confirm, state="undone")
    assert failed["failed"]
    assert "tried to put back its previous state, which failed: " in failed["msg"]
    assert str(key) in failed["msg"]


@pytest.mark.parametrize("state", ["confirmed", "undone"])
def test_nothing_is_armed(run_module, state):
    failed = run_module(wg_confirm, state=state)
    assert failed["msg"] == "nothing is armed on this host: a reboot forgets it"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"timeout": 0}, "timeout 0 is not a number of seconds"), ({"interfaces": ["../wg0"]}, "'../wg0'")],
)
def test_what_cannot_be(run_module, options, said):
    assert said in run_module(wg_confirm, state="armed", **options)["msg"]


def test_check_mode_arms_nothing(run_module, key):
    assert run_module(wg_confirm, check=True, state="armed", files=[str(key)]) == {"changed": False}
    assert "nothing is armed" in run_module(wg_confirm, state="confirmed")["msg"]


def test_a_link_is_refused_when_it_is_armed(run_module, key, tmp_path):
    link = tmp_path / "70-wireguard-wg0.conf"
    link.symlink_to(key)
    result = run_module(wg_confirm, state="armed", files=[str(link)])
    assert result["failed"] and f"{link} is a symbolic link to {key}" in result["msg"]
    assert run_module(wg_confirm, state="undone")["msg"] == "nothing is armed on this host: a reboot forgets it"
