# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lie in every field of every answer that a plugin reads: its host is named, and what is let through does no harm."""

from __future__ import annotations

import copy
import importlib
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils import answers
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.answers import longest, read_answer, read_failure
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry import parse_registry, render_registry
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import KEYPAIRS, PROBE, keys_seen
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import (
    PUBLIC,
    RELAY,
    inventory_of,
    key_of,
)

KEY_FILE = "/etc/wireguard/wg0.key"
MARK = "0f343b0931126a20f133d67c2b018a3b"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PING = {
    "name": "a",
    "address": "10.44.0.1",
    "reachable": True,
    "ttl": 63,
    "hops": 1,
    "path": "relayed",
    "rtt_ms": 1.25,
    "planned_hops": 1,
    "as_planned": True,
    "error": None,
}
# {module: (what it is asked, what a truthful host answers)}
TRUTHS = {
    "wg_info": (
        {
            "private_key_files": [KEY_FILE],
            "compare": [{"interface": "wg0", "digest": DIGEST, "peers": [{"public_key": key_of("a")}]}],
        },
        {
            "interfaces": [
                {
                    "name": "wg0",
                    "state": "up",
                    "backend": "kernel",
                    "netns": "vpn",
                    "public_key": key_of("liar"),
                    "listen_port": 51820,
                    "fwmark": 0,
                    "mtu": 1420,
                    "addresses": ["10.44.0.7/32", "fd44::7/128"],
                    "unit": {"enabled": True, "active": True},
                    "config_file": {"path": "/etc/wireguard/wg0.conf", "present": True},
                    "peers": [
                        {
                            "public_key": key_of("a"),
                            "endpoint": "[fe80::1%eth0]:51820",
                            "allowed_ips": ["10.44.0.1/32", "::/0"],
                            "latest_handshake": 1790000000,
                            "handshake_age": 42,
                            "online": True,
                            "rx_bytes": 1234,
                            "tx_bytes": 5678,
                            "persistent_keepalive": 25,
                            "has_preshared_key": False,
                        }
                    ],
                }
            ],
            "public_keys": {KEY_FILE: key_of("liar")},
            "key_ages": {KEY_FILE: 12.25},
            "preshared_keys": {"wg0": {key_of("a"): MARK}},
            "as_wanted": {"wg0": DIGEST},
            "tools": {
                "wg": "1.0.20210914",
                "wg_quick": True,
                "ip": True,
                "nft": "1.0.6",
                "sysctl": True,
                "wireguard_go": False,
                "pynacl": False,
            },
            "missing_tools": ["wg-quick"],
            "kernel": "6.12.38+deb13-amd64",
            "kernel_wireguard": True,
            "init": "systemd",
            "python": "3.13.5",
            "firewalls": ["wg0"],
            "names": {"wg0": DIGEST},
            "connection": {"client": "10.44.0.1", "interface": "wg0"},
            "sysctl": {
                "live": {"net.ipv4.ip_forward": "1", "net.ipv6.conf.eth0/7.accept_ra": None},
                "persisted": {"wg0": {"net.ipv4.ip_forward": "1"}},
            },
            "links": {"/etc/wireguard/wg0.conf": "/srv/vpn/wg0.conf"},
        },
    ),
    "wg_keypair": (
        {"path": KEY_FILE},
        {"path": KEY_FILE, "public_key": key_of("liar"), "previous_public_key": key_of("old")},
    ),
    "wg_ping": (
        {"targets": [{"name": "a", "address": "10.44.0.1", "hops": 1}]},
        {"results": [PING]},
    ),
    "wg_preshared": (
        {"interface": "wg0", "offer": [key_of("a")], "accept": [{"public_key": key_of("b"), "sealed": "x"}]},
        {
            "interface": "wg0",
            "offered": [{"public_key": key_of("a"), "sealed": MARK * 4, "fingerprint": MARK}],
            "accepted": [{"public_key": key_of("b"), "fingerprint": MARK}],
            "steps": ["write /etc/wireguard/wg0.conf"],
        },
    ),
    "wg_rotate": ({}, {"public_key": key_of("liar"), "steps": ["announce the next key"]}),
    "wg_interface": (
        {},
        {
            "public_key": key_of("liar"),
            "steps": ["add route 10.44.0.0/24"],
            "device": "kernel",
            "config_file": "/etc/wireguard/wg0.conf",
        },
    ),
    "wg_peer": ({}, {"steps": ["add peer"], "config_file": "/etc/wireguard/wg0.conf"}),
    "wg_firewall": (
        {},
        {
            "backend": "nftables",
            "persistent": True,
            "blocked_by": [
                {
                    "family": "inet",
                    "table": "filter",
                    "chain": "forward",
                    "hook": "forward",
                    "traffic": 'iifname "wg0"',
                    "rule": "insert rule inet filter forward accept",
                }
            ],
        },
    ),
    "wg_confirm": ({}, {"problems": ["the unit could not be started"]}),
    "blockinfile": ({}, {"msg": "Block inserted"}),
}
TEXTS = [
    "",
    "x" * 10_000,
    "{{ lookup('pipe', 'touch /tmp/x') }}",
    "../../../etc/passwd",
    "/etc/wireguard/../shadow",
    "wg0\n",
    "wg0\r",
    "\x1b[2J\x1b[31mred",
    "\x07\x00\x7f\x9b",
    "\u202eright to left\u2028",
    "\ud800",
    "-rf",
    "none",
    "(liar has no key yet)",
    key_of("a") + "\n",
    f" {key_of('a')}",
    "A" * 43 + "=",
]
OTHERS = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    2**64,
    1e400,
    -1e400,
    float("nan"),
    [],
    {},
    [None],
    [[[[]]]],
    {"a": {"b": {"c": []}}},
    ["x"] * 1000,
    {f"{number}": number for number in range(1000)},
    {"__ansible_type": "TrustedAsTemplate", "value": "{{ 1 }}"},
]
# What is for people only is cut and made printable instead of being refused.
FOR_PEOPLE = {
    ("wg_info", "kernel"),
    ("wg_info", "python"),
    ("wg_info", "firewalls"),
    ("wg_info", "tools"),
    ("wg_info", "interfaces"),
    ("wg_info", "sysctl"),
    ("wg_info", "links"),
    ("wg_ping", "results"),
    ("wg_preshared", "steps"),
    ("wg_rotate", "steps"),
    ("wg_interface", "steps"),
    ("wg_peer", "steps"),
    ("wg_firewall", "blocked_by"),
    ("wg_confirm", "problems"),
    ("blockinfile", "msg"),
}


def places(value, before=()):
    """The ways to all values inside a value, itself included."""
    yield before
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, entry in entries:
        yield from places(entry, (*before, step))


def changed(value, place, lie):
    """A copy with another value at a place."""
    if not place:
        return lie
    value = copy.deepcopy(value)
    inner = value
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = lie
    return value


def at(value, place):
    """The value there, None where there is nothing."""
    for step in place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def check_harmless(value):
    """What is let through is JSON, and all of it can be shown."""
    json.dumps(value, allow_nan=False)
    if isinstance(value, str):
        assert value.replace("\n", "").replace("\t", "").isprintable()
    for entry in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_harmless(entry)


def check_errors(errors):
    """Errors name the host, and are short and printable, whatever was answered."""
    for error in errors:
        assert error.startswith("liar: ")
        assert error.isprintable()
        assert len(error) < 500


LIES = (*TEXTS, *OTHERS)
PLACES = [
    pytest.param(module, place, id=f"{module}-{'.'.join(map(str, place))}")
    for module, (_asked, truth) in TRUTHS.items()
    for place in places(truth)
]
FIELDS = [(module, field) for module, (_asked, truth) in TRUTHS.items() for field in truth]


@pytest.mark.parametrize("module", TRUTHS)
def test_truthful_answers_are_read_as_they_are(module):
    asked, truth = TRUTHS[module]
    assert read_answer("host", module, asked, truth) == (truth, [])


@pytest.mark.parametrize("module", sorted(TRUTHS.keys() - {"blockinfile"}))
def test_every_documented_field_is_described(module):
    name = f"ansible_collections.wirefleet.wireguard.plugins.modules.{module}"
    documented = yaml.safe_load(importlib.import_module(name).RETURN)
    if module == "wg_confirm":
        del documented["results"]  # the controller collects them
    fields = answers.fields_of(module, TRUTHS[module][0])
    assert fields.keys() == documented.keys()
    always = {name for name, field in fields.items() if not isinstance(field, answers.Optional)}
    assert always == {name for name, about in documented.items() if about["returned"] in ("success", "always")}


@pytest.mark.parametrize("module, place", PLACES)
def test_lie_is_named_or_made_harmless(module, place):
    asked, truth = TRUTHS[module]
    for lie in LIES:
        answer = read_answer("liar", module, asked, changed(truth, place, lie))
        check_errors(answer.errors)
        if answer.errors:
            assert not place or place[0] in answer.errors[0]
            continue
        check_harmless(answer.values)
        kept, was = at(answer.values, place), at(truth, place)
        if kept is None or kept == was:
            continue  # nothing is known, or the lie was none, or of what nobody asked for
        assert isinstance(kept, str if was is None else type(was)), lie
        if isinstance(was, str) and (module, place[0]) not in FOR_PEOPLE:
            assert kept == lie
            assert lie.isprintable()


@pytest.mark.parametrize("module, field", FIELDS)
def test_missing_field_is_named(module, field):
    asked, truth = TRUTHS[module]
    rest = {name: value for name, value in truth.items() if name != field}
    may_be_missing = (module, field) in (("wg_keypair", "previous_public_key"), ("wg_confirm", "problems"))
    errors = [] if may_be_missing else [f"liar: the answer has no {field}"]
    assert read_answer("liar", module, asked, rest).errors == errors
    assert read_answer("liar", module, asked, rest, complete=False).errors == []


@pytest.mark.parametrize(
    "module, lie, error",
    [
        (
            "wg_info",
            {"public_keys": {KEY_FILE: key_of("a") + "\n"}},
            f"liar: public_keys['{KEY_FILE}'] is '{key_of('a')}\\n', which is not a WireGuard key",
        ),
        (
            "wg_info",
            {"public_keys": {"/etc/shadow": key_of("a")}},
            "liar: public_keys is a dictionary of 1 entries, which does not have exactly the entries that were asked for",
        ),
        (
            "wg_info",
            {"as_wanted": {"wg0": "x"}},
            f"liar: as_wanted['wg0'] is 'x', which must be '{DIGEST}'",
        ),
        ("wg_keypair", {"path": "/etc/shadow"}, f"liar: path is '/etc/shadow', which must be '{KEY_FILE}'"),
        ("wg_keypair", {"public_key": None}, "liar: public_key is None, which is not a WireGuard key"),
        (
            "wg_ping",
            {"results": [{**PING, "path": "\x1b[2J"}]},
            "liar: results[0].path is '\\x1b[2J', which must be 'relayed'",
        ),
        (
            "wg_ping",
            {"results": [{**PING, "ttl": 64}]},
            "liar: results[0].hops is 1, which must be 0",
        ),
        (
            "wg_ping",
            {"results": [PING, PING]},
            "liar: results is a list of 2 entries, which must have 1 entries, one for each that was asked for",
        ),
        (
            "wg_preshared",
            {"offered": [{"public_key": key_of("b"), "sealed": MARK * 4, "fingerprint": MARK}]},
            f"liar: offered[0].public_key is '{key_of('b')}', which must be '{key_of('a')}'",
        ),
    ],
)
def test_errors_say_what_is_wrong_and_where(module, lie, error):
    asked, truth = TRUTHS[module]
    assert read_answer("liar", module, asked, {**truth, **lie}).errors == [error]


def test_what_is_not_described_is_dropped():
    asked, truth = TRUTHS["wg_keypair"]
    told = {**truth, "ansible_facts": {"wireguard_prune": True}, "add_host": {}, "_ansible_x": 1, "results": []}
    assert read_answer("liar", "wg_keypair", asked, told) == (truth, [])


def test_what_the_plan_does_not_ask_is_no_lie():
    """A host may have interfaces, files and names in /etc/hosts that no plan knows of."""
    asked, truth = TRUTHS["wg_info"]
    more = {
        "preshared_keys": {"wg0": {key_of("a"): MARK, "no key": "x"}, "by hand, and more than 15 characters": {}},
        "firewalls": ["wg0", "docker0"],
        "names": {"wg0": DIGEST, "other": "x"},
        "sysctl": {**truth["sysctl"], "persisted": {**truth["sysctl"]["persisted"], "other": {"x y": 1}}},
    }
    assert read_answer("host", "wg_info", asked, {**truth, **more}) == (truth, [])


def test_interface_may_be_compared_with_several_parts():
    _asked, truth = TRUTHS["wg_info"]
    parts = [{"name": "wg0", "digest": digest} for digest in ("one", "other")]
    told = {**truth, "public_keys": {}, "key_ages": {}, "preshared_keys": {}}
    for digest, errors in (("one", 0), ("other", 0), ("none", 1)):
        answer = read_answer("host", "wg_info", {"compare": parts}, {**told, "as_wanted": {"wg0": digest}})
        assert len(answer.errors) == errors


def test_without_a_question_everything_is_reported():
    _asked, truth = TRUTHS["wg_info"]
    told = {**truth, "public_keys": {}, "key_ages": {}, "as_wanted": {}}
    assert read_answer("host", "wg_info", {}, told) == (told, [])


def test_a_key_is_to_come_in_check_mode_only():
    to_come = {"path": KEY_FILE, "public_key": None}
    assert read_answer("host", "wg_keypair", {"path": KEY_FILE, "_check_mode": True}, to_come).errors == []
    assert read_answer("host", "wg_keypair", {"path": KEY_FILE, "_check_mode": False}, to_come).errors
    assert read_answer("host", "wg_keypair", {"path": KEY_FILE, "state": "absent"}, to_come).errors == []


def test_the_host_itself_expands_paths():
    told = {"path": "/root/wg0.key", "public_key": key_of("a")}
    assert read_answer("host", "wg_keypair", {"path": "~/wg0.key"}, told).errors == []
    assert read_answer("host", "wg_keypair", {"path": "~/wg0.key"}, {**told, "path": "x\n"}).errors


def test_options_as_texts_are_read_as_modules_read_them():
    _asked, truth = TRUTHS["wg_info"]
    told = {**truth, "public_keys": dict.fromkeys(("/a", "/b")), "key_ages": dict.fromkeys(("/a", "/b"))}
    assert read_answer("host", "wg_info", {"private_key_files": "/a,/b"}, {**told, "as_wanted": {}}).errors == []
    result = {"results": [{**PING, "planned_hops": None}]}
    assert read_answer("host", "wg_ping", {"targets": "address=10.44.0.1"}, result).errors == []


def test_an_answer_may_not_be_longer_than_what_was_asked_allows():
    asked = {"interfaces": [], "compare": [{"interface": "wg0", "peers": [{"public_key": key_of("a")}] * 10_000}]}
    assert 1_000_000 < longest("wg_info", {"interfaces": []}) < 2_000_000
    assert longest("wg_info", asked) > 5_000_000
    assert longest("wg_info", {}) == longest("wg_interface", {}) > 30_000_000


def test_failures_are_short_and_printable():
    found = read_failure(
        {
            "msg": "\x1b[31m" + "x" * 100_000 + "\n",
            "exception": {"event": {"formatted_traceback": "Traceback\n\x07"}},
            "module_stdout": ["x"],
            "rc": "1",
            "ansible_facts": {},
        }
    )
    assert found == {
        "failed": True,
        "msg": f"\ufffd[31m{'x' * 3995}...",
        "exception": "Traceback\n\ufffd",
    }
    assert read_failure({"msg": 5, "rc": 1}) == {
        "failed": True,
        "msg": "the module failed and did not say why",
        "rc": 1,
    }


@pytest.mark.parametrize(
    "told, kept",
    [
        (["plain", {"event": {"msg": "of core 2.19"}}, 5, {"event": 5}, {}, None], ["plain", "of core 2.19"]),
        (["\x1b[2J"] * 100, ["\ufffd[2J"] * 20),
        ("text", []),
        (5, []),
    ],
)
def test_of_warnings_the_texts_are_kept(told, kept):
    assert answers.read_fields("host", answers.COMMON, {"warnings": told}, complete=False) == ({"warnings": kept}, [])


@pytest.mark.parametrize(
    "told, kept",
    [
        ({"before": "a\r\n\tb", "after": "", "x": 1}, {"before": "a\ufffd\n\tb", "after": ""}),
        (
            [{"before": {"mode": "0\x07", "owner": 0, "x": None}}],
            [{"before": {"mode": "0\ufffd", "owner": 0, "x": None}}],
        ),
    ],
)
def test_diffs_are_made_printable(told, kept):
    assert answers.read_fields("host", answers.COMMON, {"diff": told}, complete=False) == ({"diff": kept}, [])


@pytest.mark.parametrize("told", [5, "text", [5], {"before": 5}, {"after": {"x": {}}}, [[]]])
def test_what_is_no_diff_is_named(told):
    (error,) = answers.read_fields("liar", answers.COMMON, {"diff": told}, complete=False).errors
    assert error.startswith("liar: diff")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_json_at_any_place_does_no_harm(data):
    module = data.draw(st.sampled_from(sorted(TRUTHS)))
    asked, truth = TRUTHS[module]
    told = changed(truth, data.draw(st.sampled_from(list(places(truth)))), data.draw(ANY))
    if isinstance(told, dict):
        told = {**told, **data.draw(st.dictionaries(st.sampled_from(sorted({*truth, "x"})), ANY, max_size=2))}
    answer = read_answer("liar", module, asked, told)
    check_errors(answer.errors)
    check_harmless(answer.values)
    if isinstance(told, dict):
        of_core = data.draw(st.dictionaries(st.sampled_from(("changed", "warnings", "diff")), ANY))
        common = answers.read_fields("liar", answers.COMMON, {**told, **of_core}, complete=False)
        check_errors(common.errors)
        check_harmless(common.values)
        check_harmless(read_failure(told))


HOSTS = {"a": RELAY, "b": PUBLIC, "liar": {}}
KEYS = {name: {KEY_FILE: key_of(name)} for name in HOSTS}


def registry_of(keys, registry=None):
    inventory = inventory_of(HOSTS, with_keys=False)
    return render_registry(make_plan(inventory, registry or {}, keys).registry)


def registered(module, told):
    """What the task of a host leaves: its checked answer, or a failure."""
    asked = TRUTHS[module][0]
    answer = read_answer("liar", module, asked, told)
    result = {"failed": True} if answer.errors else {"changed": True, **answer.values}
    return {PROBE: result} if module == "wg_info" else {KEYPAIRS: {"results": [result]}}


@pytest.mark.parametrize(
    "module, field", [("wg_info", "public_keys"), ("wg_keypair", "path"), ("wg_keypair", "public_key")]
)
def test_no_lie_reaches_the_registry(module, field):
    before = registry_of(KEYS)
    for place in places(TRUTHS[module][1]):
        for lie in LIES if place[:1] == (field,) else ():
            told = keys_seen({"liar": registered(module, changed(TRUTHS[module][1], place, lie))})
            keys = {"a": KEYS["a"], "b": KEYS["b"], **told}
            assert registry_of(keys, parse_registry(before, "registry")) == before, lie
