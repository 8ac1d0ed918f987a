# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _unit
from ansible_collections.wirefleet.wireguard.plugins.module_utils._unit import OpenRC, Systemd, UnitState


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    monkeypatch.setattr(_unit, "find", lambda command: command)


class Manager:
    """Records commands; ``look`` is called at each one."""

    def __init__(self, **answers):
        self.calls, self.answers, self.look = [], answers, None

    def __call__(self, argv):
        self.calls.append(" ".join(argv))
        if self.look:
            self.look(self.calls[-1])
        return self.answers.get(argv[1] if argv[0] == "systemctl" else argv[0], (0, "", ""))


SHOW = "systemctl show wg-quick@wg0 --property=LoadState,ActiveState,UnitFileState"


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ("LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n", UnitState(True, True, True)),
        ("LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n", UnitState(True, False, False)),
        ("LoadState=loaded\nActiveState=failed\nUnitFileState=enabled-runtime\n", UnitState(True, False, False, True)),
        ("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n", UnitState(False, False, False)),
    ],
)
def test_systemd_state(tmp_path, shown, state):
    manager = Manager(show=(0, shown, ""))
    assert Systemd(manager, "wg0", str(tmp_path)).state() == state
    assert manager.calls == [SHOW]


def test_systemd_adopts_an_interface_and_leaves_nothing(tmp_path):
    manager = Manager(show=(0, "LoadState=loaded\nActiveState=inactive\n", ""))
    seen = {}
    drop_in = tmp_path / "wg-quick@wg0.service.d" / "zz-wirefleet-adopt.conf"
    manager.look = lambda call: seen.update({call: drop_in.read_text() if drop_in.exists() else None})
    Systemd(manager, "wg0", str(tmp_path)).adopt(["/usr/bin/wireguard-go", "wg0"])
    assert manager.calls == [
        SHOW,
        "systemctl daemon-reload",
        "systemctl reset-failed wg-quick@wg0",
        "systemctl start wg-quick@wg0",
        "systemctl daemon-reload",
    ]
    assert seen["systemctl start wg-quick@wg0"] == "[Service]\nExecStart=\nExecStart=/usr/bin/wireguard-go wg0\n"
    assert os.listdir(tmp_path) == []


def test_systemd_starts_anew_what_believes_to_be_up(tmp_path):
    manager = Manager(show=(0, "LoadState=loaded\nActiveState=active\n", ""), stop=(1, "", "no interface"))
    Systemd(manager, "wg0", str(tmp_path)).adopt(["true"])
    assert manager.calls[1:3] == ["systemctl stop wg-quick@wg0", "systemctl reset-failed wg-quick@wg0"]
    assert "systemctl start wg-quick@wg0" in manager.calls


def test_systemd_releases_without_running_anything(tmp_path):
    manager = Manager()
    seen = {}
    drop_in = tmp_path / "wg-quick@wg0.service.d" / "zz-wirefleet-adopt.conf"
    manager.look = lambda call: seen.update({call: drop_in.read_text() if drop_in.exists() else None})
    Systemd(manager, "wg0", str(tmp_path)).release()
    assert manager.calls == [
        "systemctl daemon-reload",
        "systemctl stop wg-quick@wg0",
        "systemctl reset-failed wg-quick@wg0",
        "systemctl daemon-reload",
    ]
    assert seen["systemctl stop wg-quick@wg0"] == "[Service]\nExecStop=\nExecStopPost=\nKillMode=process\n"
    assert os.listdir(tmp_path) == []


def test_a_failed_start_leaves_nothing_either(tmp_path):
    manager = Manager(show=(0, "", ""), start=(1, "", "Job failed. See journalctl.\n"))
    with pytest.raises(_unit.DeviceError, match="^'systemctl start wg-quick@wg0' failed: Job failed"):
        Systemd(manager, "wg0", str(tmp_path)).adopt(["true"])
    assert os.listdir(tmp_path) == []


def test_what_a_killed_run_left_is_seen_and_removed_but_nothing_else(tmp_path):
    directory = tmp_path / "wg-quick@wg0.service.d"
    directory.mkdir()
    (directory / "zz-wirefleet-adopt.conf").write_text("x")
    (directory / "mine.conf").write_text("x")
    manager = Manager(show=(0, "LoadState=loaded\n", ""))
    service = Systemd(manager, "wg0", str(tmp_path))
    assert service.state().leftover
    service.clean()
    assert not service.state().leftover
    assert os.listdir(directory) == ["mine.conf"]


def test_systemd_runs_another_script_in_the_place_of_wg_quick(tmp_path):
    manager = Manager(show=(0, "LoadState=loaded\n", ""))
    service = Systemd(manager, "wg0", str(tmp_path / "run"), str(tmp_path / "etc"))
    assert service.state().redirection is None
    wanted = _unit.redirection("/etc/wireguard/wg0.netns")
    service.redirect(wanted)
    assert (tmp_path / "etc/wg-quick@wg0.service.d/wirefleet-netns.conf").read_text() == wanted
    assert "\nExecStart=\nExecStart=/bin/bash /etc/wireguard/wg0.netns up\nExecStop=\n" in wanted
    assert service.state().redirection == wanted
    service.redirect("")
    assert service.state().redirection is None
    assert os.listdir(tmp_path / "etc") == []
    assert manager.calls.count("systemctl daemon-reload") == 2


@pytest.fixture
def openrc(tmp_path):
    """A host with OpenRC and Alpine's wireguard-tools-openrc."""
    (tmp_path / "init.d").mkdir()
    (tmp_path / "init.d" / "wg-quick").write_text("#!/sbin/openrc-run\n")
    (tmp_path / "runlevels" / "default").mkdir(parents=True)
    manager = Manager()
    service = OpenRC(manager, "wg0", str(tmp_path / "init.d"), str(tmp_path / "runlevels"))
    return service, manager, tmp_path


def test_openrc_state(openrc):
    service, manager, root = openrc
    assert service.state() == UnitState(True, False, False)
    assert manager.calls == []  # there is no such service to be asked about
    service.enable()
    assert os.readlink(root / "init.d" / "wg-quick.wg0") == str(root / "init.d" / "wg-quick")
    assert manager.calls == ["rc-update add wg-quick.wg0 default"]
    (root / "runlevels" / "default" / "wg-quick.wg0").symlink_to(root / "init.d" / "wg-quick.wg0")
    manager.answers["rc-service"] = (0, " * status: started\n", "")
    assert service.state() == UnitState(True, True, True)
    manager.answers["rc-service"] = (3, " * status: stopped\n", "")
    assert service.state() == UnitState(True, True, False)


def test_openrc_adopts_an_interface(openrc, tmp_path, monkeypatch):
    service, manager, root = openrc
    marker = tmp_path / "mark_service_started"
    marker.write_text("")
    monkeypatch.setattr(_unit, "_MARKERS", ("/nowhere", str(marker)))
    service.adopt(["wireguard-go", "wg0"])
    assert manager.calls == ["wireguard-go wg0", f"env RC_SVCNAME=wg-quick.wg0 {marker} wg-quick.wg0"]
    assert (root / "init.d" / "wg-quick.wg0").is_symlink()


def test_openrc_releases_without_running_anything(openrc):
    service, manager, _root = openrc
    service.release()
    assert manager.calls == ["rc-service wg-quick.wg0 zap"]


def test_openrc_disable_takes_the_link_away(openrc):
    service, manager, root = openrc
    service.enable()
    service.disable()
    assert manager.calls[-1] == "rc-update delete wg-quick.wg0 default"
    assert os.listdir(root / "init.d") == ["wg-quick"]


def test_which_service(monkeypatch):
    monkeypatch.setattr(_unit, "_same_network_as_init", lambda: True)
    kinds = {}
    for init in ("systemd", "openrc", "other"):
        monkeypatch.setattr(_unit, "init_system", lambda init=init: init)
        kinds[init] = type(_unit.service(None, "wg0"))
    assert kinds == {"systemd": Systemd, "openrc": OpenRC, "other": type(None)}
    # Init would start it in another network namespace than the one that this process sees.
    monkeypatch.setattr(_unit, "_same_network_as_init", lambda: False)
    monkeypatch.setattr(_unit, "init_system", lambda: "systemd")
    assert _unit.service(None, "wg0") is None


@pytest.mark.parametrize("found", ["a script", "another link"])
def test_openrc_disable_leaves_what_is_not_ours(openrc, found):
    service, _manager, root = openrc
    mine = root / "init.d" / "wg-quick.wg0"
    if found == "a script":
        mine.write_text("mine")
    else:
        (root / "init.d" / "my-vpn").write_text("mine")
        mine.symlink_to("my-vpn")
    service.disable()
    assert mine.read_text() == "mine"


def test_a_drop_in_that_is_a_link_is_refused(tmp_path):
    folder = tmp_path / "etc" / "wg-quick@wg0.service.d"
    folder.mkdir(parents=True)
    (folder / "wirefleet-netns.conf").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("mine")
    service = Systemd(Manager(), "wg0", str(tmp_path / "run"), str(tmp_path / "etc"))
    for touch in (service.state, lambda: service.redirect("x"), lambda: service.redirect("")):
        with pytest.raises(OSError, match="wirefleet-netns.conf is a symbolic link to .*/elsewhere: it is neither"):
            touch()
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_folder_of_drop_ins_that_is_a_link_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "wg-quick@wg0.service.d").symlink_to(tmp_path / "elsewhere")
    service = Systemd(Manager(), "wg0", str(tmp_path / "run"), str(tmp_path / "etc"))
    service.redirect("x")
    service.redirect("")
    assert os.listdir(tmp_path / "elsewhere") == [] and (tmp_path / "etc" / "wg-quick@wg0.service.d").is_symlink()
