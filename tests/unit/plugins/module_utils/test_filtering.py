# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _filtering

RULESETS = pathlib.Path(__file__).parent / "rulesets"

PORT = _filtering.Traffic(
    "input",
    "udp dport 51820",
    {"l4proto": {"udp"}, "dport": {51820}, "ct state": {"new"}, "iifname": {"eth0"}},
    (4,),
    "dport",
)
RELAYED = _filtering.Traffic(
    "forward",
    'iifname "wg0" oifname "wg0"',
    {"iifname": {"wg0"}, "oifname": {"wg0"}, "ct state": {"new"}},
    (4,),
)
OUT = RELAYED._replace(facts={"iifname": {"wg0"}, "oifname": {"eth0"}, "ct state": {"new"}}, rule="out")
ANSWERS = RELAYED._replace(facts={"iifname": {"eth0"}, "oifname": {"wg0"}, "ct state": {"established"}}, rule="back")


def equal(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


def meta(key, right, op="=="):
    return equal({"meta": {"key": key}}, right, op)


def field(protocol, name, right, op="=="):
    return equal({"payload": {"protocol": protocol, "field": name}}, right, op)


def state(right):
    return equal({"ct": {"key": "state"}}, right, "in" if isinstance(right, list) else "==")


def vmap(key, *entries):
    data = entries[0] if entries[0] == "@ports" else {"set": [list(entry) for entry in entries]}
    return {"vmap": {"key": key, "data": data}}


def jump(target, kind="jump"):
    return {kind: {"target": target}}


COUNTER, DROP, REJECT, RETURN = {"counter": None}, {"drop": None}, {"reject": None}, {"return": None}
ACCEPT = {"accept": None}
LOG, LIMIT = {"log": None}, {"limit": {"rate": 5}}
SOME = field("ip", "saddr", "198.51.100.7")


def ruleset(rules, policy="drop", hook="input", family="inet", others=(), **chains):
    """A table ``filter`` with a base chain ``base`` of these rules, and further chains."""

    def of_table(**content):
        return {"family": family, "table": "filter", **content}

    objects = [{"metainfo": {}}, {"table": {"family": family, "name": "filter"}}]
    base = {"name": "base", "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    objects.append({"chain": of_table(**base)})
    objects += [{"chain": of_table(name=name)} for name in chains]
    objects += others
    for name, content in [("base", rules), *chains.items()]:
        objects += [{"rule": of_table(chain=name, expr=expr)} for expr in content]
    return {"nftables": objects}


def ours(family, table):
    return (family, table) == ("inet", "wireguard_wg0")


def blocked(rules, traffic=PORT, **options):
    options.setdefault("hook", traffic.hook)
    return bool(_filtering.obstacles(ruleset(rules, **options), ours, [traffic], read_set))


NAMED = [
    {kind: {"family": "inet", "table": "filter", "name": name}}
    for kind, name in [("set", "open"), ("set", "bad"), ("map", "ports")]
]


def read_set(*names):
    """The sets that may be read; the elements of ``bad`` are nobody's business."""
    return {
        ("set", "inet", "filter", "open"): [22, {"range": [51000, 52000]}],
        ("map", "inet", "filter", "ports"): [[53, DROP], [51820, ACCEPT]],
    }[names]


@pytest.mark.parametrize(
    ("expected", "rules"),
    [
        (True, []),
        (True, [[state(["established", "related"]), ACCEPT]]),
        (True, [[meta("iifname", "lo"), ACCEPT]]),
        (True, [[field("tcp", "dport", 51820), ACCEPT]]),
        (True, [[field("udp", "dport", 51821), ACCEPT]]),
        (True, [[field("udp", "dport", 51820, "!="), ACCEPT]]),
        (True, [[meta("iifname", "eth1"), field("udp", "dport", 51820), ACCEPT]]),
        (True, [[meta("nfproto", "ipv6"), ACCEPT]]),
        (True, [[SOME, ACCEPT]]),
        (True, [[LIMIT, ACCEPT]]),
        (True, [[{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT]]),
        (True, [[field("udp", "dport", 51820), DROP], [field("udp", "dport", 51820), ACCEPT]]),
        (True, [[field("udp", "dport", 51820), COUNTER, LOG, REJECT], [ACCEPT]]),
        (True, [[state("new"), {"xt": {"type": "target", "name": "REJECT"}}], [ACCEPT]]),
        (False, [[ACCEPT]]),
        (False, [[COUNTER, ACCEPT]]),
        (False, [[field("udp", "dport", 51820), COUNTER, ACCEPT]]),
        (False, [[field("th", "dport", 51820), meta("l4proto", "udp"), ACCEPT]]),
        (False, [[field("udp", "dport", {"set": [53, 51820]}), ACCEPT]]),
        (False, [[field("udp", "dport", {"range": [50000, 60000]}), ACCEPT]]),
        (False, [[field("udp", "dport", "@open"), ACCEPT]]),
        (False, [[field("ip", "saddr", "@bad"), DROP], [field("udp", "dport", "@open"), ACCEPT]]),
        (False, [[vmap({"payload": {"protocol": "udp", "field": "dport"}}, "@ports")]]),
        (False, [[state({"set": ["new", "untracked"]}), field("udp", "dport", 51820), ACCEPT]]),
        (False, [[field("udp", "dport", 51820), SOME, ACCEPT]]),
        (False, [[field("udp", "dport", 51820), LIMIT, ACCEPT]]),
        (False, [[meta("iifname", "eth0"), ACCEPT]]),
        (False, [[meta("iifname", "eth*"), ACCEPT]]),
        (False, [[field("ip", "protocol", "udp"), ACCEPT]]),
        (False, [[SOME, DROP], [field("udp", "dport", 51820), ACCEPT]]),
        (False, [[state("invalid"), DROP], [field("udp", "dport", 51820), ACCEPT]]),
        (False, [[{"xt": {"type": "target", "name": "LOG"}}], [ACCEPT]]),
    ],
)
def test_rules_of_an_input_chain_with_policy_drop(expected, rules):
    assert blocked(rules, others=NAMED) is expected


@pytest.mark.parametrize(
    ("expected", "rules"),
    [
        (False, []),
        (False, [[SOME, DROP]]),
        (False, [[meta("l4proto", "tcp"), REJECT]]),
        (True, [[DROP]]),
        (True, [[meta("l4proto", "udp"), REJECT]]),
        (True, [[field("udp", "dport", {"set": [500]}, "!="), DROP]]),
    ],
)
def test_rules_of_an_input_chain_with_policy_accept(expected, rules):
    assert blocked(rules, policy="accept") is expected


@pytest.mark.parametrize(
    ("expected", "rules"),
    [
        (True, [[meta("iifname", "wg1"), ACCEPT]]),
        (True, [[meta("iifname", "docker0"), meta("oifname", "wg0"), ACCEPT]]),
        (True, [[meta("iifname", "wg0"), meta("oifname", "wg0"), field("tcp", "dport", 443), ACCEPT]]),
        (True, [[meta("oifname", "wg0", "!="), ACCEPT]]),
        (False, [[meta("iifname", "wg0"), ACCEPT]]),
        (False, [[meta("iif", "wg0"), meta("oif", "wg0"), ACCEPT]]),
        (False, [[meta("oifname", {"set": ["eth0", "wg0"]}), ACCEPT]]),
    ],
)
def test_rules_of_a_forward_chain_with_policy_drop(expected, rules):
    assert blocked(rules, RELAYED) is expected


def test_answers_need_less():
    rules = [[{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT]]
    assert not blocked(rules, ANSWERS)
    assert blocked(rules, OUT)
    assert not blocked([[state(["established", "related"]), ACCEPT]], ANSWERS)


def test_several_uplinks():
    traffic = PORT._replace(facts={**PORT.facts, "iifname": {"eth0", "eth1"}})
    assert blocked([[meta("iifname", "eth0"), ACCEPT]], traffic)
    assert not blocked([[meta("iifname", "eth0"), ACCEPT], [meta("iifname", "eth0"), DROP]], traffic, policy="accept")


@pytest.mark.parametrize(
    ("expected", "base", "chains"),
    [
        (False, [[jump("allow")]], {"allow": [[field("udp", "dport", 51820), ACCEPT]]}),
        (True, [[jump("deny")], [ACCEPT]], {"deny": [[DROP]]}),
        (False, [[SOME, jump("deny")], [ACCEPT]], {"deny": [[DROP]]}),
        (False, [[SOME, jump("allow")]], {"allow": [[field("udp", "dport", 51820), ACCEPT]]}),
        (True, [[SOME, jump("allow")]], {"allow": [[ACCEPT]]}),
        (False, [[jump("other")], [ACCEPT]], {"other": [[RETURN], [DROP]]}),
        # As ufw's "not-local": what perhaps returned is not dropped for certain.
        (False, [[jump("other")], [ACCEPT]], {"other": [[SOME, RETURN], [DROP]]}),
        (True, [[jump("zone", "goto")], [ACCEPT]], {"zone": [[field("tcp", "dport", 22), ACCEPT]]}),
        (False, [[jump("zone", "goto")], [DROP]], {"zone": [[field("udp", "dport", 51820), ACCEPT]]}),
        (False, [[jump("one")]], {"one": [[jump("two", "goto")], [DROP]], "two": [[ACCEPT]]}),
    ],
)
def test_other_chains(expected, base, chains):
    assert blocked(base, **chains) is expected


def test_verdict_maps():
    by_state = vmap({"ct": {"key": "state"}}, ("established", ACCEPT), ("invalid", DROP))
    assert blocked([[by_state]])
    by_port = vmap({"payload": {"protocol": "udp", "field": "dport"}}, (53, DROP), (51820, ACCEPT))
    assert not blocked([[by_state], [by_port]])
    by_interface = vmap({"meta": {"key": "iifname"}}, ("lo", ACCEPT), ("eth0", jump("wan")))
    assert not blocked([[by_interface]], wan=[[field("udp", "dport", 51820), ACCEPT]])
    assert blocked([[by_interface]], wan=[[field("udp", "dport", 53), ACCEPT]])


def test_versions():
    only_6 = ruleset([], family="ip6")
    assert _filtering.obstacles(only_6, ours, [PORT], read_set) == []
    both = PORT._replace(versions=(4, 6))
    assert len(_filtering.obstacles(only_6, ours, [both], read_set)) == 1
    # Blocked for both versions, told once.
    assert len(_filtering.obstacles(ruleset([]), ours, [both], read_set)) == 1
    assert blocked([[meta("nfproto", "ipv4"), ACCEPT]], both)


def test_own_table_other_hooks_and_other_types_do_not_count():
    rules = ruleset([])
    assert _filtering.obstacles(rules, lambda family, table: table == "filter", [PORT], read_set) == []
    assert _filtering.obstacles(rules, ours, [RELAYED], read_set) == []
    rules["nftables"][2]["chain"]["type"] = "nat"
    assert _filtering.obstacles(rules, ours, [PORT], read_set) == []


def test_what_is_told():
    (found,) = _filtering.obstacles(ruleset([], hook="forward"), ours, [RELAYED], read_set)
    assert found == ("inet", "filter", "base", "forward", 'iifname "wg0" oifname "wg0"')
    assert found.remedy == 'insert rule inet filter base iifname "wg0" oifname "wg0" accept'


def load(name):
    return json.loads((RULESETS / f"{name}.json").read_text())


def add(rules, family, table, chain, *expr):
    rule = {"rule": {"family": family, "table": table, "chain": chain, "expr": list(expr)}}
    return {"nftables": [*rules["nftables"], rule]}


def told(rules, *traffic):
    found = _filtering.obstacles(rules, ours, list(traffic), read_set)
    return [f"{each.family} {each.table} {each.chain}: {each.traffic}" for each in found]


def test_ufw_with_default_deny():
    """The ruleset of ufw 0.36.2 on Debian 13, "ufw enable"."""
    rules = load("ufw")
    assert told(rules, PORT, RELAYED, OUT, ANSWERS) == [
        "ip filter INPUT: udp dport 51820",
        'ip filter FORWARD: iifname "wg0" oifname "wg0"',
        "ip filter FORWARD: out",
    ]
    # ufw allow 51820/udp
    rules = add(rules, "ip", "filter", "ufw-user-input", field("udp", "dport", 51820), COUNTER, ACCEPT)
    assert told(rules, PORT) == []
    # ufw route allow in on wg0 out on wg0
    rules = add(
        rules, "ip", "filter", "ufw-user-forward", meta("iifname", "wg0"), meta("oifname", "wg0"), COUNTER, ACCEPT
    )
    assert told(rules, RELAYED, OUT) == ["ip filter FORWARD: out"]


def test_firewalld_with_the_port_open():
    """The ruleset of firewalld 2.3 on Debian 13, after firewall-cmd --add-port=51820/udp."""
    assert told(load("firewalld"), PORT._replace(versions=(4, 6)), RELAYED, ANSWERS) == [
        'inet firewalld filter_FORWARD: iifname "wg0" oifname "wg0"'
    ]
    closed = PORT._replace(facts={**PORT.facts, "dport": {51821}}, versions=(4, 6))
    assert told(load("firewalld"), closed) == ["inet firewalld filter_INPUT: udp dport 51820"]
