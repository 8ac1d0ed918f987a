# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _icmp
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_ping

TARGETS = [
    {"name": "relay1", "address": "10.44.0.1", "hops": 0},
    {"name": "laptop", "address": "10.44.0.4", "hops": 1},
    {"address": "fd44::5"},
]


@pytest.fixture
def outcomes(monkeypatch):
    """Give it the outcomes of the targets; it tells what was asked."""
    asked = []

    def ping(*arguments):
        asked.extend(arguments)
        return ping.outcomes

    def build(*values):
        ping.outcomes = list(values)
        monkeypatch.setattr(_icmp, "ping", ping)
        return asked

    return build


def test_results(run_module, outcomes):
    asked = outcomes(_icmp.Reply(64, 1.5), _icmp.Reply(64, 2.5), "no answer")
    result = run_module(wg_ping, interface="wg0", targets=TARGETS, timeout=3)
    assert asked == [["10.44.0.1", "10.44.0.4", "fd44::5"], "wg0", 3.0, 0.5]
    assert not result["changed"]
    names = ("name", "reachable", "ttl", "hops", "path", "rtt_ms", "as_planned", "error")
    assert [tuple(each[name] for name in names) for each in result["results"]] == [
        ("relay1", True, 64, 0, "direct", 1.5, True, None),
        ("laptop", True, 64, 0, "direct", 2.5, False, None),
        ("fd44::5", False, None, None, "none", None, False, "no answer"),
    ]


@pytest.mark.parametrize(
    ("planned", "hop_limit", "path", "as_planned"),
    [
        (0, 64, "direct", True),
        (0, 63, "relayed", False),
        (1, 63, "relayed", True),
        (1, 62, "relayed", False),
        (2, 62, "relayed", True),
        (None, 62, "relayed", True),
    ],
)
def test_plan(run_module, outcomes, planned, hop_limit, path, as_planned):
    outcomes(_icmp.Reply(hop_limit, 1.0))
    target = {"address": "10.44.0.1", "hops": planned}
    (found,) = run_module(wg_ping, interface="wg0", targets=[target])["results"]
    assert (found["path"], found["as_planned"], found["planned_hops"]) == (path, as_planned, planned)


def test_an_interface_that_is_not_there_is_no_failure(run_module, monkeypatch):
    def refuse(*arguments):
        raise OSError(19, "No such device")

    monkeypatch.setattr(_icmp, "_Socket", refuse)
    result = run_module(wg_ping, interface="wf-missing", targets=TARGETS)
    assert not result.get("failed")
    assert {each["error"] for each in result["results"]} == {"there is no interface wf-missing"}


def test_without_permission(run_module, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(_icmp.socket, "socket", refuse)
    result = run_module(wg_ping, interface="wg0", targets=TARGETS)
    assert result["msg"] == ("raw sockets are not permitted: run as root (become: true), with the capability NET_RAW")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout is 0.0: write a number of seconds above 0"),
        ({"interval": -1}, "interval is -1.0: write a number of seconds above 0"),
        ({"targets": [{"address": "web1"}]}, "targets: 'web1' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_refusals(run_module, options, message):
    result = run_module(wg_ping, **{"interface": "wg0", "targets": TARGETS, **options})
    assert result["failed"]
    assert result["msg"] == message
