# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Namespaces by name; entering one, and what the script does, is tested on real devices (tests/integration)."""

from __future__ import annotations

import json

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _netns
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError

UP, DOWN = ["NOARP", "UP"], ["NOARP"]
OURS = {"ifname": "lo", "flags": UP, "ifalias": _netns.MARK}


@pytest.fixture(autouse=True)
def vpn(monkeypatch, tmp_path):
    """A host with a namespace `vpn`, which is no more than a file here."""
    monkeypatch.setattr(_netns, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_netns, "find", lambda command: command)
    (tmp_path / "vpn").write_text("")


def test_the_script_tells_the_namespace(tmp_path):
    config_file = f"{tmp_path}/wg0.conf"
    assert _netns.recorded(config_file) is None
    (tmp_path / "wg0.netns").write_text(_netns.script("wg0", "vpn", config_file))
    assert _netns.recorded(config_file) == "vpn"


def test_a_namespace_that_is_none_is_not_entered(tmp_path):
    for name, reason in (("vpn", "Invalid argument"), ("gone", "No such file or directory")):
        message = f"the network namespace {name} cannot be entered: {reason}"
        with pytest.raises(DeviceError, match=message), _netns.entered(name):
            pytest.fail("it was")


def test_what_is_missing_is_created():
    (step,) = _netns.steps_to("new")
    assert step.words[:2] == ("sh", "-c")
    assert step.words[2].startswith("ip netns add new && ip -n new link set dev lo alias ")
    assert _netns.steps_to("vpn") == _netns.steps_to(None) == []


@pytest.mark.parametrize(
    ("netns", "links", "processes", "removed"),
    [
        pytest.param("vpn", [OURS], "", True, id="ours"),
        pytest.param("vpn", [OURS, {"ifname": "wg0", "flags": UP}], "", True, id="with the interface that goes"),
        pytest.param("vpn", [OURS, {"ifname": "tunl0", "flags": DOWN}], "", True, id="with what comes by itself"),
        pytest.param("vpn", [OURS, {"ifname": "veth0", "flags": UP}], "", False, id="another link"),
        pytest.param("vpn", [OURS], "4711\n", False, id="a process"),
        pytest.param("vpn", [{"ifname": "lo", "flags": UP}], "", False, id="somebody else's"),
        pytest.param("gone", [OURS], "", False, id="gone already"),
        pytest.param(None, [OURS], "", False, id="the host's own"),
    ],
)
def test_only_our_own_is_removed_and_only_when_nobody_needs_it(netns, links, processes, removed):
    def run_command(argv):
        return 0, processes if argv == ["ip", "netns", "pids", "vpn"] else json.dumps(links), ""

    steps = _netns.steps_from(run_command, "wg0", netns)
    assert [step.words for step in steps] == ([("ip", "netns", "delete", "vpn")] if removed else [])
