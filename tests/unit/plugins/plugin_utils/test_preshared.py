# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pairs exchange preshared keys: never one end alone."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.faults import PlanRefusedError
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.preshared import NO_KEY, TO_COME, Told, plan_exchange
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import host_slice
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import FULL, key_of, plan_of

PAIRS = {
    ("home-server", "public-server1"),
    ("home-server", "public-server2"),
    ("laptop", "public-server1"),
    ("laptop", "public-server2"),
    ("phone", "public-server1"),
    ("phone", "public-server2"),
    ("public-server1", "public-server2"),
}


def parts_of(reached=tuple(FULL), wanted=True, hosts=None):
    plan = plan_of(hosts or FULL, cidr="10.0.44.0/24", preshared_keys=wanted)
    return {host: host_slice(found)["interfaces"] for host, found in plan.hosts().items() if host in reached}


def by_host(told):
    """{(host, peer): something} as hosts tell it."""
    found = {host: {"wg0": {}} for host in FULL}
    for (host, peer), what in told.items():
        found[host]["wg0"][key_of(peer)] = what
    return found


def exchange(parts, in_use=(), offered=(), accepted=(), **how):
    """What is planned, as {step: {(host, peer): what}}."""
    told = Told(by_host(dict(in_use)), by_host(dict(offered)), by_host(dict(accepted)))
    name_of = {key_of(name): name for name in FULL}
    steps = {"offer": {}, "accept": {}, "use": {}}
    for host, found in plan_exchange(parts, told, **how).items():
        (part,) = found
        assert (part["interface"], part["private_key_file"]) == ("wg0", "/etc/wireguard/wg0.key")
        steps["offer"].update({(host, name_of[key]): True for key in part["offer"]})
        steps["accept"].update({(host, name_of[one["public_key"]]): one["sealed"] for one in part["accept"]})
        steps["use"].update({(host, name_of[one["public_key"]]): one["fingerprint"] for one in part["use"]})
    return steps


def both(one, other, what):
    return {(one, other): what, (other, one): what}


AGREED = {pair: f"{one}+{other}" for one, other in PAIRS for pair in ((one, other), (other, one))}


def test_each_pair_of_direct_peers_once():
    assert exchange(parts_of()) == {"offer": dict.fromkeys(PAIRS, True), "accept": {}, "use": {}}


def test_both_ends_take_part_from_the_start():
    reached = ("laptop", "public-server1")
    told = Told(by_host({}), {}, {})
    assert plan_exchange(parts_of(reached), told).keys() == set(reached)


def test_what_was_sealed_goes_to_the_other_one_and_is_not_used_yet():
    offered = {("laptop", "public-server2"): {"sealed": "text", "fingerprint": "f"}}
    found = exchange(parts_of(), offered=offered)
    assert found["accept"] == {("public-server2", "laptop"): "text"}
    assert found["use"] == {}


def test_used_by_both_when_both_have_it():
    offered = {("laptop", "public-server2"): {"sealed": "text", "fingerprint": "f"}}
    accepted = {("public-server2", "laptop"): "f"}
    assert exchange(parts_of(), offered=offered, accepted=accepted)["use"] == both("laptop", "public-server2", "f")
    assert exchange(parts_of(), offered=offered, accepted={("public-server2", "laptop"): "other"})["use"] == {}


def test_not_used_if_one_of_them_is_lost_meanwhile():
    offered = {("laptop", "public-server2"): {"sealed": "text", "fingerprint": "f"}}
    accepted = {("public-server2", "laptop"): "f"}
    assert exchange(parts_of(FULL.keys() - {"laptop"}), offered=offered, accepted=accepted)["use"] == {}


def test_nothing_to_do_where_all_agree():
    assert plan_exchange(parts_of(), Told(by_host(AGREED), {}, {})) == {}


@pytest.mark.parametrize("change", [{("laptop", "public-server1"): "other"}, {("laptop", "public-server1"): None}])
def test_a_pair_that_does_not_agree_gets_a_new_one(change):
    in_use = {pair: mark for pair, mark in {**AGREED, **change}.items() if mark}
    assert exchange(parts_of(), in_use=in_use)["offer"] == {("laptop", "public-server1"): True}


@pytest.mark.parametrize("wanted", [True, False])
def test_pairs_that_are_not_complete_keep_what_they_have(wanted):
    reached = {"laptop", "phone", "home-server"}
    nothing = {"offer": {}, "accept": {}, "use": {}}
    assert exchange(parts_of(reached, wanted), in_use=AGREED) == nothing
    assert exchange(parts_of(reached, wanted), in_use={("laptop", "public-server1"): "x"}, renew=True) == nothing


def test_renewed_on_demand():
    found = exchange(parts_of({"laptop", "public-server1", "phone"}), in_use=AGREED, renew=True)
    assert found["offer"].keys() == {("laptop", "public-server1"), ("phone", "public-server1")}


def test_taken_off_where_nobody_wants_them():
    in_use = {**both("laptop", "public-server1", "x"), ("phone", "public-server1"): "y"}
    found = exchange(parts_of(wanted=False), in_use=in_use)
    assert found["use"] == {**both("laptop", "public-server1", NO_KEY), **both("phone", "public-server1", NO_KEY)}
    assert found["offer"] == {}


def test_check_mode_foresees_the_use():
    found = exchange(parts_of({"laptop", "public-server1"}), foresee=True)
    assert found == {"offer": {}, "accept": {}, "use": both("laptop", "public-server1", TO_COME)}


def test_externals_are_left_alone():
    hosts = {**FULL, "phone": {**FULL["phone"], "external": True}}
    found = exchange(parts_of(FULL.keys() - {"phone"}, hosts=hosts))
    assert not any("phone" in pair for pair in found["offer"])


def test_a_network_wants_them_or_does_not():
    hosts = {**FULL, "phone": {**FULL["phone"], "preshared_keys": True}}
    with pytest.raises(PlanRefusedError, match="a network has one preshared_keys: set it for the group"):
        plan_of(hosts, cidr="10.0.44.0/24", preshared_keys=False)
