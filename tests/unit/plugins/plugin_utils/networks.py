# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories for the planner's tests, as short as a test can say them."""

from __future__ import annotations

import base64
import hashlib

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan


def key_of(name):
    """A public key that belongs to a name: 32 bytes in base64, no real key."""
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


def inventory_of(hosts, group="wireguard", with_keys=True, **network):
    """An inventory of one group: ``hosts`` {name: settings without wireguard_}, ``network`` settings for all of them."""
    variables = {}
    for name, settings in hosts.items():
        merged = {"cidr": "10.44.0.0/24", **network, **({"public_key": key_of(name)} if with_keys else {}), **settings}
        variables[name] = {f"wireguard_{setting}": value for setting, value in merged.items()}
    return Inventory({"all": list(hosts), group: list(hosts)}, variables)


def plan_of(hosts, registry=None, keys=None, partial=False, prune=False, **network):
    """The plan of such an inventory."""
    return make_plan(inventory_of(hosts, **network), registry or {}, keys or {}, partial=partial, prune=prune)


def peers_of(plan, name):
    """{peer: its entry} of a node of the plan's first network."""
    planned = plan.networks[0]
    return {peer["name"]: peer for peer in planned.derivation.peers(planned.paths.nodes[name])}


RELAY = {"endpoint": "198.51.100.1", "relay": True}
PUBLIC = {"endpoint": "198.51.100.2"}
# The published network "full": https://github.com/pirate/wireguard-docs
FULL = {
    "public-server1": {"endpoint": "198.51.100.1", "relay": True, "address": "10.0.44.1"},
    "public-server2": {"endpoint": "198.51.100.2", "address": "10.0.44.2"},
    "home-server": {"address": "10.0.44.3"},
    "laptop": {"address": "10.0.44.4"},
    "phone": {"address": "10.0.44.5"},
}
