# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _resolver
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config

SPLIT = Config(dns=("10.44.0.53",), dns_search=("~corp.example", "example.net"), post_up=("mine",))
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
    assert _resolver.for_file(WITH_DNS) == WITH_DNS


def test_systemd_resolved_alone_gets_commands(commands):
    commands.add("resolvectl")
    in_file = Config(post_up=("resolvectl dns %i 10.44.0.53 fd44::53", "resolvectl domain %i example.net ~.", "mine"))
    assert _resolver.for_file(WITH_DNS) == in_file
    assert _resolver.from_file(in_file) == WITH_DNS


@pytest.mark.parametrize("link", [True, False])
def test_some_domains_only_need_commands_in_any_case(commands, link):
    commands.update({"resolvectl", "resolvconf"} if link else {"resolvectl"})
    in_file = Config(post_up=("resolvectl dns %i 10.44.0.53", "resolvectl domain %i ~corp.example example.net", "mine"))
    assert _resolver.for_file(SPLIT) == in_file
    assert _resolver.from_file(in_file) == SPLIT
    steps = _resolver.steps("wg0", (), _resolver.dns_of(SPLIT))
    assert [step.words for step in steps] == [
        ("resolvectl", "dns", "wg0", "10.44.0.53"),
        ("resolvectl", "domain", "wg0", "~corp.example", "example.net"),
    ]


@pytest.mark.parametrize("there", [{"resolvconf"}, {"resolvconf", "resolvectl"}])
def test_some_domains_only_are_refused_where_resolvconf_decides(commands, there):
    commands.update(there)
    with pytest.raises(
        _resolver.DeviceError, match="^dns_search has ~corp.example, but this host hands name servers to resolvconf.*"
    ):
        _resolver.check(SPLIT)
    _resolver.check(WITH_DNS)


def test_some_domains_only_with_the_link_of_systemd_resolved(commands, monkeypatch):
    commands.update({"resolvectl", "resolvconf"})
    monkeypatch.setattr(_resolver.os.path, "realpath", lambda path: "/usr/bin/resolvectl")
    _resolver.check(SPLIT)


@pytest.mark.parametrize(
    ("order", "command", "config", "warned"),
    [
        (True, "resolvconf", WITH_DNS, True),
        (True, "resolvectl", WITH_DNS, False),
        (False, "resolvconf", WITH_DNS, False),
        (True, "resolvconf", Config(), False),
    ],
)
def test_debians_resolvconf_may_leak(commands, monkeypatch, tmp_path, order, command, config, warned):
    """It alone has an interface-order; its link is no longer one of systemd-resolved's then."""
    commands.add("resolvconf")
    monkeypatch.setattr(_resolver.os.path, "realpath", lambda path: f"/usr/bin/{command}")
    monkeypatch.setattr(_resolver, "INTERFACE_ORDER", str(tmp_path / "interface-order"))
    if order:
        (tmp_path / "interface-order").write_text("tun*\n")
    assert (_resolver.leak(config) is not None) == warned


@pytest.mark.parametrize(
    "post_up",
    [
        (),
        ("mine",),
        ("resolvectl dns %i 10.44.0.53",),
        ("resolvectl dns %i 10.44.0.53", "resolvectl domain %i example.net"),
        ("resolvectl dns %i", "resolvectl domain %i ~."),
        ("resolvectl dns wg0 10.44.0.53", "resolvectl domain wg0 ~."),
    ],
)
def test_other_commands_stay_what_they_are(post_up):
    assert _resolver.from_file(Config(post_up=post_up)) == Config(post_up=post_up)


def test_neither_is_an_error_before_anything_changes(commands):
    with pytest.raises(_resolver.DeviceError, match="neither 'resolvconf' nor systemd-resolved: install openresolv"):
        _resolver.check(WITH_DNS)
    assert _resolver.for_file(WITH_DNS) == WITH_DNS
    assert _resolver.for_file(Config(dns_search=("example.net",))) == Config()


def test_steps_with_resolvconf(commands):
    commands.update({"resolvconf", "resolvectl"})
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


def test_steps_with_systemd_resolved(commands):
    commands.add("resolvectl")
    new = (("10.44.0.53", "fd44::53"), ("example.net",))
    assert [step.words for step in _resolver.steps("wg0", (), new)] == [
        ("resolvectl", "dns", "wg0", "10.44.0.53", "fd44::53"),
        ("resolvectl", "domain", "wg0", "example.net", "~."),
    ]
    assert [step.words for step in _resolver.steps("wg0", new, ())] == [("resolvectl", "revert", "wg0")]


# What the programs say on Debian 12 and 13.
OPENRESOLV = "# resolv.conf from wg0\nnameserver 10.0.44.1\nsearch corp.example\n\n"
RESOLVCONF = "# resolv.conf from eth0\nnameserver 192.168.1.1\n" + OPENRESOLV.replace("wg0", "tun.wg0")
RESOLVED = {"dns": "Link 3 (wg0): 10.0.44.1 fd44::53\n", "domain": "Link 3 (wg0): corp.example ~.\n"}
NOT_ALL = {"dns": "Link 3 (wg0): 10.0.44.1\n", "domain": "Link 3 (wg0): corp.example\n"}
SOME = {"dns": "Link 3 (wg0): 10.0.44.1\n", "domain": "Link 3 (wg0): ~corp.example lan\n"}
SOME_AND_ALL = {**SOME, "domain": "Link 3 (wg0): ~corp.example lan ~.\n"}
REVERTED = {"dns": "Link 3 (wg0):\n", "domain": "Link 3 (wg0):\n"}
WITH_DOMAIN = (("10.0.44.1",), ("corp.example",))


@pytest.mark.parametrize(
    ("prefix", "said", "expected"),
    [
        ("", OPENRESOLV, WITH_DOMAIN),
        ("tun.", RESOLVCONF, WITH_DOMAIN),
        ("", RESOLVCONF, ()),
        ("", "# resolv.conf from wg0\nnameserver 10.0.44.1\nnameserver fd44::53\n", (("10.0.44.1", "fd44::53"), ())),
        ("", "", ()),
    ],
)
def test_what_resolvconf_was_handed(commands, monkeypatch, prefix, said, expected):
    commands.update({"resolvconf", "resolvectl"})
    monkeypatch.setattr(_resolver, "_prefix", lambda: prefix)
    assert _resolver.read(lambda argv: (0 if said else 2, said, ""), "wg0") == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (RESOLVED, (("10.0.44.1", "fd44::53"), ("corp.example",))),
        (NOT_ALL, ()),
        (SOME, (("10.0.44.1",), ("~corp.example", "lan"))),
        (SOME_AND_ALL, ()),
        (REVERTED, ()),
        ({"dns": "", "domain": ""}, ()),
    ],
)
@pytest.mark.parametrize("link", [True, False])
def test_what_systemd_resolved_was_handed(commands, monkeypatch, said, expected, link):
    """Its package brings a link resolvconf, which cannot tell."""
    commands.update({"resolvectl", "resolvconf"} if link else {"resolvectl"})
    monkeypatch.setattr(_resolver.os.path, "realpath", lambda path: "/usr/bin/resolvectl")
    assert _resolver.read(lambda argv: (0, said[argv[1]], ""), "wg0") == expected


def test_nobody_was_handed_anything(commands):
    assert _resolver.read(lambda argv: pytest.fail("nothing can be asked"), "wg0") == ()


@pytest.mark.parametrize(
    ("order", "prefix"), [(None, ""), ("lo.inet6\nlo.inet\nlo.!(pppd)\ntun*\neth*\n", "tun."), ("lo.*\n", "")]
)
def test_the_prefix_that_wg_quick_borrows(monkeypatch, tmp_path, order, prefix):
    path = tmp_path / "interface-order"
    if order is not None:
        path.write_text(order)
    monkeypatch.setattr(_resolver, "INTERFACE_ORDER", str(path))
    assert _resolver._prefix() == prefix
