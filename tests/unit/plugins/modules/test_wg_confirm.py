# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import stat

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _detached, _rollback
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_confirm


@pytest.fixture(autouse=True)
def rollback(monkeypatch, tmp_path):
    monkeypatch.setattr(_detached, "find", lambda command: None)
    monkeypatch.setattr(_rollback.Rollback.__init__, "__defaults__", (str(tmp_path / "rollback"), None))


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "wg0.key"
    path.write_text("secret\n")
    path.chmod(0o600)
    return path


def test_files_are_rolled_back(run_module, key, tmp_path):
    new = tmp_path / "new"
    armed = run_module(wg_confirm, state="armed", files=[str(key), str(new)])
    assert (armed["changed"], armed["outcome"]) == (False, "armed")
    assert "secret" not in str(armed)
    key.unlink()
    new.write_text("not here before")
    assert run_module(wg_confirm, state="rolled_back") == {"changed": True, "outcome": "rolled_back", "problems": []}
    assert key.read_text() == "secret\n"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not new.exists()


def test_sysctl_is_rolled_back(tmp_path, monkeypatch):
    value = tmp_path / "ip_forward"
    value.write_text("0\n")
    monkeypatch.setattr(wg_confirm, "sysctl_path", lambda name: f"{tmp_path}/{name}")
    roll_back = wg_confirm.note_sysctl("ip_forward")
    value.write_text("1\n")
    assert roll_back() == []
    assert value.read_text() == "0\n"


def test_confirmed_change_stays(run_module, key):
    run_module(wg_confirm, state="armed", change_id="one", files=[str(key)])
    key.write_text("another\n")
    confirmed = {"changed": False, "outcome": "confirmed", "problems": []}
    assert run_module(wg_confirm, state="confirmed", change_id="one") == confirmed
    assert run_module(wg_confirm, state="confirmed", change_id="one") == confirmed
    assert key.read_text() == "another\n"


def test_late_confirmation_fails(run_module, key):
    run_module(wg_confirm, state="armed", files=[str(key)])
    key.write_text("another\n")
    run_module(wg_confirm, state="rolled_back")
    failed = run_module(wg_confirm, state="confirmed")
    assert (failed["failed"], failed["outcome"]) == (True, "rolled_back")
    assert failed["msg"] == (
        "the change was not confirmed in time, so the host has rolled back its interfaces, firewall, sysctls and files"
    )
    assert key.read_text() == "secret\n"


def test_incomplete_rollback_is_reported(run_module, key):
    run_module(wg_confirm, state="armed", files=[str(key)])
    key.unlink()
    key.mkdir()
    failed = run_module(wg_confirm, state="rolled_back")
    assert (failed["failed"], failed["outcome"]) == (True, "rolled_back")
    assert failed["msg"].startswith("the host could not roll back everything: ")
    assert str(key) in failed["problems"][0]


def test_unguarded_confirmation_warns(run_module, monkeypatch):
    run_module(wg_confirm, state="armed")
    monkeypatch.setattr(_rollback.Rollback, "_is_guarded", lambda self: False)
    confirmed = run_module(wg_confirm, state="confirmed")
    assert confirmed["outcome"] == "confirmed"
    assert "were killed, so it was not protected" in str(confirmed["warnings"])


class Firewall:
    """A back end whose rules change, and which accepts only some."""

    def __init__(self):
        self.rules, self.refuses = {"table": "before", "file": "before"}, False

    def read(self):
        return dict(self.rules)

    def apply(self, before, after):
        if not self.refuses:
            self.rules = dict(after)


@pytest.mark.parametrize(("refuses", "problems"), [(False, []), (True, ["table still differs from what it was"])])
def test_firewall_is_read_after_the_rollback(monkeypatch, refuses, problems):
    firewall = Firewall()
    monkeypatch.setattr(wg_confirm._firewall, "every", lambda run_command, name: [firewall])
    roll_back = wg_confirm.note_firewall(None, "wg0")
    firewall.rules["table"] = "after"
    firewall.refuses = refuses
    assert roll_back() == problems


@pytest.mark.parametrize("state", ["confirmed", "rolled_back"])
@pytest.mark.parametrize("armed", [None, "yours"])
def test_nothing_is_armed(run_module, armed, state):
    if armed:
        run_module(wg_confirm, state="armed", change_id=armed)
    failed = run_module(wg_confirm, state=state, change_id="mine")
    assert failed["msg"].startswith("no rollback of this change is armed on this host")
    assert failed["outcome"] == "not_armed"
    run_module(wg_confirm, state="confirmed")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"state": "armed", "timeout": 0}, "timeout 0 is not a number of seconds"),
        ({"state": "armed", "interfaces": ["../wg0"]}, "'../wg0'"),
        ({}, "one of the following is required: changes, state"),
        ({"changes": []}, "changes are run by the action plugin"),
    ],
)
def test_wrong_options_are_refused(run_module, options, said):
    assert said in run_module(wg_confirm, **options)["msg"]


def test_check_mode_arms_nothing(run_module, key):
    assert run_module(wg_confirm, check=True, state="armed", files=[str(key)]) == {"changed": False}
    assert run_module(wg_confirm, state="confirmed")["outcome"] == "not_armed"


def test_a_link_is_refused_when_it_is_armed(run_module, key, tmp_path):
    link = tmp_path / "70-wireguard-wg0.conf"
    link.symlink_to(key)
    result = run_module(wg_confirm, state="armed", files=[str(link)])
    assert result["failed"] and f"{link} is a symbolic link to {key}" in result["msg"]
    assert run_module(wg_confirm, state="confirmed")["outcome"] == "not_armed"
