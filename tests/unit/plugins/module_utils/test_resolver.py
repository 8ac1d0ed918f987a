# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _resolver
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config

WITH_DNS = Config(dns=("10.44.0.53", "fd44::53"), dns_search=("example.net",), post_up=("mine",))


@pytest.fixture
def commands(monkeypatch):
    """The commands that the host has."""
    there = set()
    monkeypatch.setattr(_resolver, "find", lambda command: command if command in there else None)
    monkeypatch.setattr(_resolver, "_prefix", lambda: "")
    return there


def test_resolvconf_is_what_wg_quick_calls(commands):
    commands.update({"resolvconf", "resolvectl"})
    assert _resolver.adapted(WITH_DNS) == WITH_DNS


def test_systemd_resolved_alone_gets_commands(commands):
    commands.add("resolvectl")
    assert _resolver.adapted(WITH_DNS) == Config(
        post_up=("resolvectl dns %i 10.44.0.53 fd44::53", "resolvectl domain %i example.net ~.", "mine")
    )


def test_neither_is_an_error_before_anything_changes(commands):
    with pytest.raises(_resolver.DeviceError, match="neither 'resolvconf' nor systemd-resolved: install openresolv"):
        _resolver.check(_resolver.adapted(WITH_DNS))
    assert _resolver.adapted(Config(dns_search=("example.net",))) == Config()


def test_steps(commands):
    old, new = (("10.44.0.53",), ()), (("10.44.0.53", "fd44::53"), ("example.net", "example.org"))
    assert _resolver.steps("wg0", old, old) == []
    assert _resolver.steps("wg0", old, new) == [
        Step(
            "command",
            ("resolvconf", "-a", "wg0", "-m", "0", "-x"),
            "set name servers 10.44.0.53, fd44::53",
            "nameserver 10.44.0.53\nnameserver fd44::53\nsearch example.net example.org\n",
        )
    ]
    assert [step.words for step in _resolver.steps("wg0", new, ())] == [("resolvconf", "-d", "wg0", "-f")]


@pytest.mark.parametrize(
    ("order", "prefix"), [(None, ""), ("lo.inet6\nlo.inet\nlo.!(pppd)\ntun*\neth*\n", "tun."), ("lo.*\n", "")]
)
def test_the_prefix_that_wg_quick_borrows(monkeypatch, tmp_path, order, prefix):
    path = tmp_path / "interface-order"
    if order is not None:
        path.write_text(order)
    monkeypatch.setattr(_resolver, "INTERFACE_ORDER", str(path))
    assert _resolver._prefix() == prefix
