# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for every network, tried on random ones by walking packets through the rendered files.

Every run draws others; `make test` runs this on each controller Python, which makes thousands of networks.
"""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry import parse_registry, render_registry
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import plan_files
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import inventory_of, key_of
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.simulator import Host, Simulator, Underlay

SITES = ("berlin", "oslo", "quito")


@st.composite
def networks(draw, largest=60):
    """(hosts, network settings) of a network that can work: relays where they are needed, exits only where they can be used."""
    topology = draw(st.sampled_from(["auto", "auto", "hub", "mesh"]))
    count = draw(st.integers(2, largest))
    rng = random.Random(draw(st.integers(0, 2**32)))
    share_of_nat = draw(st.sampled_from([0.0, 0.3, 0.8])) if topology != "mesh" else 0.0
    hosts = {}
    for number in range(count):
        name = f"node{number}"
        host = hosts[name] = {}
        if rng.random() >= share_of_nat:
            host["endpoint"] = (
                f"198.51.{number}.9:{rng.randint(1, 65535)}"
                if rng.random() < 0.7
                else f"[2001:db8::{number + 1:x}]:51820"
            )
            host[rng.choice(["behind_nat", "hole_punching"])] = rng.random() < 0.4
        if rng.random() < 0.4:
            host["site"] = rng.choice(SITES)
            if rng.random() < 0.5:
                host["lan_endpoint"] = f"192.168.7.{number + 1}:51820"
        if rng.random() < 0.2:
            host["subnets"] = [f"172.20.{number}.0/24"] + ([f"fd99:{number:x}::/64"] if rng.random() < 0.5 else [])
    publics = [name for name, host in hosts.items() if "endpoint" in host and not host.get("hole_punching")]
    if not publics:
        publics = ["node0"]
        hosts["node0"].update(endpoint="198.51.0.9:51820", hole_punching=False)
    relays = rng.sample(publics, min(len(publics), draw(st.integers(1, 4))))
    for name in relays:
        hosts[name]["relay"] = True
    for name, host in hosts.items():
        standing = [relay for relay in relays if relay != name and hosts[relay].get("site") == host.get("site")]
        if host.get("site") and standing:
            host.pop("subnets", None)
        if name not in relays and rng.random() < 0.1:
            host["via"] = rng.choice(relays)
    if rng.random() < 0.3:
        exits = rng.sample(relays, rng.randint(1, len(relays)))
        for name in exits:
            hosts[name]["exit"] = True
        for name, host in hosts.items():
            if name not in relays and rng.random() < 0.2 and "via" not in host:
                host["exit_via"] = rng.choice(exits)
    cidr = draw(st.sampled_from([["10.44.0.0/24"], ["10.44.0.0/24", "fd44::/64"], ["fd44::/64"]]))
    return hosts, {"cidr": cidr, "topology": topology}


def simulate(plan, hosts):
    files = plan_files(plan)
    simulated = [Host(name, files[f"{name}/wg0.conf"], files.get(f"{name}/sysctl.conf", "")) for name in hosts]
    public = {host["endpoint"]: name for name, host in hosts.items() if "endpoint" in host}
    site_of = {name: host["site"] for name, host in hosts.items() if "site" in host}
    lan = {(host["site"], host["lan_endpoint"]): name for name, host in hosts.items() if "lan_endpoint" in host}
    return Simulator(simulated, key_of, Underlay(public, lan, site_of))


def may_be_direct(one, other):
    """The contract, for auto: one reaches the other's endpoint, or they share a site with a LAN endpoint. Who punches
    holes is reached by those only whose endpoint it knows."""
    lan = (
        one.get("site") and one.get("site") == other.get("site") and ("lan_endpoint" in one or "lan_endpoint" in other)
    )
    ends = [host for host in (one, other) if "endpoint" in host]
    return bool(lan) or len(ends) == 2 or any(not host.get("hole_punching") for host in ends)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_every_packet_arrives(network):
    hosts, common = network
    plan = make_plan(inventory_of(hosts, **common), {}, {})
    simulator = simulate(plan, hosts)
    simulator.check_peerings()
    homes = plan.networks[0].paths.homes
    address_of = {name: [own.ip for own in simulator.hosts[name].addresses] for name in hosts}
    for source in hosts:
        for target in hosts:
            if source == target:
                continue
            for one, other in zip(address_of[source], address_of[target]):
                passed = simulator.walk(source, one, other)
                check_path(common["topology"], hosts, homes, source, target, passed)
            for subnet in hosts[target].get("subnets", ()):
                check_subnet(simulator, hosts, address_of, source, target, IPNetwork(subnet))


def check_path(topology, hosts, homes, source, target, passed):
    """Direct exactly where the contract says so; else through home relays only."""
    direct = len(passed) == 2
    relays = [bool(hosts[name].get("relay")) for name in (source, target)]
    if topology == "mesh" or all(relays):
        assert direct
    elif topology == "hub":
        assert direct == (homes.get(source) == target or homes.get(target) == source)
    else:
        served_elsewhere = any(
            name in homes and is_relay and homes[name] != other
            for name, other, is_relay in ((source, target, relays[1]), (target, source, relays[0]))
        )
        assert direct == (may_be_direct(hosts[source], hosts[target]) and not served_elsewhere)
    assert set(passed[1:-1]) <= set(homes.values())


def check_subnet(simulator, hosts, address_of, source, owner, subnet):
    """A LAN behind ``owner`` is reached by all but its own site, which stands in it; and by the other LANs, both ways."""
    if hosts[source].get("site") and hosts[source].get("site") == hosts[owner].get("site"):
        return
    inside = IPAddress(subnet.first + 7)
    own = [address for address in address_of[source] if address.version == subnet.version]
    for address in own:
        simulator.walk(source, address, inside, owner_of_subnet=owner)
        simulator.walk(owner, inside, address)
    for other in hosts[source].get("subnets", ()):
        far = IPNetwork(other)
        if far.version == subnet.version:
            simulator.walk(source, IPAddress(far.first + 9), inside, owner_of_subnet=owner)


@settings(max_examples=100, deadline=None)
@given(networks(largest=40), st.randoms(use_true_random=False))
def test_the_same_inventory_gives_the_same_bytes(network, rng):
    hosts, common = network
    plan = make_plan(inventory_of(hosts, **common), {}, {})
    names = list(hosts)
    rng.shuffle(names)
    ordered = inventory_of({name: hosts[name] for name in names}, **common)
    shuffled = Inventory(
        {group: rng.sample(members, len(members)) for group, members in ordered.groups.items()}, ordered.variables
    )
    again = make_plan(shuffled, {}, {})
    assert plan_files(again) == plan_files(plan)
    assert render_registry(again.registry) == render_registry(plan.registry)
    # And once more from its own registry: what was planned stays.
    text = render_registry(plan.registry)
    kept = make_plan(inventory_of(hosts, **common), parse_registry(text, "registry"), {})
    assert plan_files(kept) == plan_files(plan)
    assert render_registry(kept.registry) == text


@settings(max_examples=100, deadline=None)
@given(networks(largest=40), st.randoms(use_true_random=False))
def test_a_slice_plans_what_the_whole_inventory_plans(network, rng):
    hosts, common = network
    whole = make_plan(inventory_of(hosts, **common), {}, {})
    names = sorted(rng.sample(sorted(hosts), rng.randint(1, len(hosts))))
    part = make_plan(inventory_of({name: hosts[name] for name in names}, **common), whole.registry, {}, partial=True)
    assert render_registry(part.registry) == render_registry(whole.registry)
    files = plan_files(whole)
    in_part = {path: text for path, text in plan_files(part).items() if "/" in path}
    assert in_part == {path: text for path, text in files.items() if "/" in path and path.partition("/")[0] in names}


@settings(max_examples=100, deadline=None)
@given(networks(largest=40), st.randoms(use_true_random=False))
def test_adding_a_nat_ed_node_to_a_hub_changes_relays_only(network, rng):
    hosts, common = network
    common["topology"] = "hub"
    before = make_plan(inventory_of(hosts, **common), {}, {})
    newcomer = rng.choice(["aaa", "node1b", "zzz"])
    after = make_plan(inventory_of({**hosts, newcomer: {}}, **common), before.registry, {})
    old, new = plan_files(before), plan_files(after)
    changed = {path.partition("/")[0] for path in old if "/" in path and new[path] != old[path]}
    assert all(hosts[name].get("relay") for name in changed)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(0, 60))
def test_adding_a_relay_moves_only_its_share(relays, nodes):
    def hub(count):
        relay = {f"relay{number}": {"endpoint": f"198.51.100.{number + 1}", "relay": True} for number in range(count)}
        return {**relay, **{f"node{number}": {} for number in range(nodes)}}

    before = make_plan(inventory_of(hub(relays), topology="hub"), {}, {})
    after = make_plan(inventory_of(hub(relays + 1), topology="hub"), before.registry, {})
    old, new = before.networks[0].paths.homes, after.networks[0].paths.homes
    loads = [sum(1 for home in new.values() if home == f"relay{number}") for number in range(relays + 1)]
    assert max(loads) - min(loads) <= 1
    moved = [name for name in old if old[name] != new[name]]
    assert all(new[name] == f"relay{relays}" for name in moved)
    assert len(moved) == nodes // (relays + 1)


@settings(max_examples=100, deadline=None)
@given(networks(largest=30), st.randoms(use_true_random=False))
def test_nobody_moves_when_others_come_and_go(network, rng):
    hosts, common = network
    before = make_plan(inventory_of(hosts, **common), {}, {})
    needed = {host.get("via") for host in hosts.values()} | {host.get("exit_via") for host in hosts.values()}
    leavers = [
        name for name, host in hosts.items() if name not in needed and not host.get("relay") and rng.random() < 0.3
    ]
    newcomers = {
        f"{rng.choice('anz')}ew{number}": {"endpoint": f"198.51.200.{number}:1"} for number in range(rng.randint(0, 5))
    }
    remaining = {name: host for name, host in hosts.items() if name not in leavers}
    after = make_plan(inventory_of({**newcomers, **remaining}, **common), before.registry, {}, prune=True)
    old, new = before.registry["wg0"], after.registry["wg0"]
    assert all(new[name].addresses == old[name].addresses for name in remaining)
    homes = after.networks[0].paths.homes
    assert all(homes[name] == home for name, home in before.networks[0].paths.homes.items() if name in homes)
