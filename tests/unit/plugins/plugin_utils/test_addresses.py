# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry import parse_registry, render_registry
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import PUBLIC, RELAY, plan_of


def addresses(plan):
    return {name: [str(address) for address in record.addresses] for name, record in plan.registry["wg0"].items()}


def test_newcomers_get_the_lowest_free_address_in_the_order_of_their_names():
    plan = plan_of({"c": RELAY, "b": {}, "a": {"address": "10.44.0.2"}})
    assert addresses(plan) == {"a": ["10.44.0.2"], "b": ["10.44.0.1"], "c": ["10.44.0.3"]}


def test_an_address_stays_when_others_come_and_go_and_after_a_round_trip_through_the_file():
    first = plan_of({"c": RELAY, "b": {}, "d": {}})
    registry = parse_registry(render_registry(first.registry), "registry")
    second = plan_of({"c": RELAY, "d": {}, "a": {}, "aa": {}}, registry=registry)
    assert addresses(first) == {"b": ["10.44.0.1"], "c": ["10.44.0.2"], "d": ["10.44.0.3"]}
    assert addresses(second) == {"a": ["10.44.0.1"], "aa": ["10.44.0.4"], "c": ["10.44.0.2"], "d": ["10.44.0.3"]}


def test_an_explicit_address_frees_the_allocated_one():
    first = plan_of({"a": RELAY, "b": {}})
    second = plan_of({"a": RELAY, "b": {"address": "10.44.0.77"}, "c": {}}, registry=first.registry)
    assert addresses(second) == {"a": ["10.44.0.1"], "b": ["10.44.0.77"], "c": ["10.44.0.2"]}


def test_a_family_that_is_not_stated_is_allocated():
    plan = plan_of({"a": RELAY, "b": {"address": "10.44.0.9"}}, cidr=["10.44.0.0/24", "fd44::/64"])
    assert addresses(plan) == {"a": ["10.44.0.1", "fd44::1"], "b": ["10.44.0.9", "fd44::2"]}


def test_a_second_family_leaves_the_first_alone():
    first = plan_of({"a": RELAY, "b": {}})
    second = plan_of({"a": RELAY, "b": {}}, registry=first.registry, cidr=["10.44.0.0/24", "fd44::/64"])
    assert addresses(second) == {"a": ["10.44.0.1", "fd44::1"], "b": ["10.44.0.2", "fd44::2"]}


def test_another_cidr_moves_everybody_who_is_outside():
    first = plan_of({"a": RELAY, "b": {}})
    assert addresses(plan_of({"a": RELAY, "b": {}}, registry=first.registry, cidr="10.99.0.0/24")) == {
        "a": ["10.99.0.1"],
        "b": ["10.99.0.2"],
    }


def test_a_full_prefix_goes_on_in_the_next_one():
    plan = plan_of({"a": RELAY, "b": {}, "c": {}}, cidr=["10.44.0.0/30", "10.55.0.0/30"])
    assert addresses(plan) == {"a": ["10.44.0.1"], "b": ["10.44.0.2"], "c": ["10.55.0.1"]}


def test_a_prefix_of_two_addresses_has_two_hosts():
    plan = plan_of({"a": PUBLIC, "b": RELAY}, cidr=["10.44.0.4/31", "fd44::4/127"])
    assert addresses(plan) == {"a": ["10.44.0.4", "fd44::4"], "b": ["10.44.0.5", "fd44::5"]}


def test_a_large_ipv6_prefix_costs_nothing():
    plan = plan_of({"a": RELAY, "b": {"address": "fd00::ffff:ffff:ffff:1"}}, cidr="fd00::/8")
    assert addresses(plan) == {"a": ["fd00::1"], "b": ["fd00::ffff:ffff:ffff:1"]}
