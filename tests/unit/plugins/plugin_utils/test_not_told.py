# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import not_told
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import FULL, RELAY, plan_of

OTHER_KEY = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
TWO_RELAYS = {"relay1": RELAY, "relay2": {**RELAY, "endpoint": "198.51.100.9"}, "old": {"via": "relay2"}}


def waiting(before, after, reached, **network):
    """Who waits for a run, when a run that reached some hosts turns one inventory into the other."""
    registry = plan_of(before, cidr="10.0.0.0/16", **network).registry
    return not_told(plan_of(after, registry, cidr="10.0.0.0/16", **network), registry, reached)


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ({"newcomer"}, {"public-server1": ["newcomer"], "public-server2": ["newcomer"]}),
        ({"newcomer", "public-server1"}, {"public-server2": ["newcomer"]}),
        ({"newcomer", "public-server1", "public-server2"}, {}),
    ],
)
def test_a_newcomer(reached, expected):
    assert waiting(FULL, {**FULL, "newcomer": {}}, reached) == expected


def test_only_the_relays_of_a_hub_must_learn_of_a_newcomer_at_home_at_one_of_them():
    after = {**TWO_RELAYS, "newcomer": {"via": "relay1"}}
    assert waiting(TWO_RELAYS, after, {"newcomer"}, topology="hub") == {"relay1": ["newcomer"], "relay2": ["newcomer"]}


def test_a_changed_key():
    after = {**FULL, "public-server2": {**FULL["public-server2"], "public_key": OTHER_KEY}}
    assert waiting(FULL, after, {"public-server2", "phone"}) == {
        name: ["public-server2"] for name in ("home-server", "laptop", "public-server1")
    }


def test_nothing_new():
    assert waiting(FULL, FULL, set()) == {}


def test_externals_and_hosts_that_have_no_key_yet_are_not_told_by_a_run():
    before = {**FULL, "tablet": {"external": True}, "unborn": {"public_key": None}}
    after = {**before, "public-server2": {**FULL["public-server2"], "public_key": OTHER_KEY}}
    assert waiting(before, after, {"home-server", "laptop", "phone"}) == {"public-server1": ["public-server2"]}
