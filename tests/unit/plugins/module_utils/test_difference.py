# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference between two devices, carried out on a model of the kernel."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _wg_quick
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import Device, Peer, Route
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import difference, routes_of

A, B, C, D = (letter * 42 + "A=" for letter in "abcd")
EMPTY = Device("wg0", "kernel", False, 0, None, None, 0, 0, (), {}, frozenset())
ONE = EMPTY._replace(
    up=True,
    mtu=1420,
    private_key="secret",
    listen_port=51820,
    addresses=("10.44.0.1/24",),
    peers={A: Peer(A, None, "198.51.100.1:1", ("10.44.0.2/32", "10.9.0.0/16"), 25), B: Peer(B, "shared")},
    routes=frozenset({Route("main", "10.9.0.0/16")}),
)


def steps(live, desired, removable=None, labels=None):
    build, clear = difference(live, desired, live.routes if removable is None else removable, labels)
    return [step.text for step in build + clear]


class Kernel:
    """As much of a kernel as steps can change: who has which network, and what goes along with what."""

    def __init__(self, device):
        self.private_key, self.port, self.fwmark = device.private_key, device.listen_port, device.fwmark
        self.up, self.mtu = device.up, device.mtu
        self.addresses = list(device.addresses)
        self.routes = set(device.routes)
        self.peers = {key: peer._replace(allowed_ips=()) for key, peer in device.peers.items()}
        self.owners = {network: key for key, peer in device.peers.items() for network in peer.allowed_ips}

    def run(self, step):
        getattr(self, f"run_{step.tool}")(step)

    def run_wg(self, step):
        words = list(step.words)
        if words[0] == "private-key":
            assert words[1] == "/dev/stdin" and step.data
            self.private_key = step.data.strip()
        elif words[0] == "listen-port":
            self.port = int(words[1])
        elif words[0] == "fwmark":
            self.fwmark = 0 if words[1] == "off" else int(words[1], 16)
        else:
            assert words[0] == "peer"
            self.set_peer(words[1], words[2:])

    def set_peer(self, key, words):
        if words == ["remove"]:
            del self.peers[key]
            self.owners = {network: owner for network, owner in self.owners.items() if owner != key}
            return
        assert key in self.peers
        for option, value in zip(words[::2], words[1::2]):
            if option == "allowed-ips":
                self.give(key, value.split(",") if value else [])
            elif option == "preshared-key":
                assert value == "/dev/null"
                self.peers[key] = self.peers[key]._replace(preshared_key=None)
            else:
                field = {"endpoint": "endpoint", "persistent-keepalive": "persistent_keepalive"}[option]
                value = value if field == "endpoint" else 0 if value == "off" else int(value)
                self.peers[key] = self.peers[key]._replace(**{field: value})

    def give(self, key, networks):
        self.owners = {network: owner for network, owner in self.owners.items() if owner != key}
        self.owners.update(dict.fromkeys(networks, key))

    def run_peers(self, step):
        (section,) = _wg_quick.parse(step.data).peers
        old = self.peers.get(section.public_key, Peer(section.public_key))
        self.peers[section.public_key] = old._replace(
            preshared_key=section.preshared_key,
            endpoint=section.endpoint or old.endpoint,
            persistent_keepalive=section.persistent_keepalive,
        )
        self.give(section.public_key, section.allowed_ips)

    def run_ip(self, step):
        thing, verb = step.words[:2]
        assert "wg0" in step.words
        if thing == "link":
            if step.words[-1] == "up":
                self.up = True
            else:
                self.mtu = int(step.words[-1])
        elif thing == "address":
            if verb == "add":
                same = [one for one in self.addresses if one.split("/")[0] == step.words[2].split("/")[0]]
                assert step.words[2] not in same and not (same and ":" in same[0]), "File exists"
                self.addresses.append(step.words[2])
            elif verb == "del":
                self.addresses.remove(step.words[2])
            else:
                assert verb == "replace" and step.words[2] in self.addresses
        else:
            route = Route(step.words[6] if "table" in step.words else "main", step.words[2])
            if verb == "add":
                assert route not in self.routes, "File exists"
                self.routes.add(route)
            else:
                self.routes.remove(route)

    def run_try_write(self, step):
        assert step.words == ("/proc/sys/net/ipv4/conf/wg0/promote_secondaries", "1")

    def device(self):
        peers = {
            key: peer._replace(allowed_ips=tuple(sorted(net for net, owner in self.owners.items() if owner == key)))
            for key, peer in self.peers.items()
        }
        return Device(
            "wg0", "kernel", self.up, self.mtu, self.private_key, None, self.port, self.fwmark,
            tuple(sorted(self.addresses)), peers, frozenset(self.routes),
        )  # fmt: skip


def normal(device):
    peers = {key: peer._replace(allowed_ips=tuple(sorted(peer.allowed_ips))) for key, peer in device.peers.items()}
    return device._replace(addresses=tuple(sorted(device.addresses)), peers=peers)


NETWORKS = [f"10.0.{number}.0/24" for number in range(6)] + [f"fd00:{number}::/64" for number in (1, 2, 3)]
ADDRESSES = ["10.44.0.1/24", "10.44.0.2/24", "10.44.0.1/32", "10.44.0.1/16", "fd44::1/64", "fd44::1/128", "fd44::2/64"]


@st.composite
def devices(draw):
    keys = draw(st.lists(st.sampled_from([A, B, C, D]), unique=True))
    owners = (
        {network: draw(st.sampled_from(keys)) for network in draw(st.sets(st.sampled_from(NETWORKS)))} if keys else {}
    )
    peers = {}
    for key in keys:
        networks = draw(st.permutations([network for network, owner in owners.items() if owner == key]))
        peers[key] = Peer(
            key,
            draw(st.sampled_from([None, "k" * 42 + "A=", "l" * 42 + "A="])),
            draw(st.sampled_from([None, "198.51.100.1:51820", "[2001:db8::1]:51820"])),
            tuple(networks),
            draw(st.sampled_from([0, 15, 25])),
        )
    texts = draw(st.lists(st.sampled_from(ADDRESSES), unique=True))
    addresses = [
        one for one in texts if ":" not in one or not any(one[:7] == other[:7] for other in texts if other > one)
    ]
    table = draw(st.sampled_from(["auto", "off", "77"]))
    return Device(
        "wg0",
        "kernel",
        draw(st.booleans()),
        draw(st.sampled_from([1280, 1420])),
        draw(st.sampled_from(["key1", "key2"])),
        None,
        draw(st.sampled_from([1000, 2000])),
        draw(st.sampled_from([0, 0xCA6C])),
        tuple(addresses),
        peers,
        routes_of(owners, addresses, table, 0xCA6C),
    )


@settings(max_examples=300, deadline=None)
@given(devices(), devices())
def test_every_device_becomes_every_other_one_without_a_gap(live, desired):
    desired = desired._replace(up=True)
    kernel = Kernel(live)
    build, clear = difference(live, desired, live.routes)
    kept_networks = {one for peer in live.peers.values() for one in peer.allowed_ips}
    kept_networks &= {one for peer in desired.peers.values() for one in peer.allowed_ips}
    kept_addresses = set(live.addresses) & set(desired.addresses)
    kept_routes = live.routes & desired.routes
    untouched = [key for key, peer in desired.peers.items() if live.peers.get(key) == peer]
    for step in build + clear:
        kernel.run(step)
        after = kernel.device()
        assert kept_networks <= kernel.owners.keys()
        assert kept_addresses <= set(after.addresses)
        assert kept_routes <= after.routes
        for key in untouched:
            assert normal(after).peers[key] == normal(desired).peers[key]
    endpoints = {
        key: peer._replace(endpoint=peer.endpoint or (live.peers[key].endpoint if key in live.peers else None))
        for key, peer in desired.peers.items()
    }
    assert kernel.device() == normal(desired._replace(peers=endpoints))
    assert difference(kernel.device(), desired, live.routes) == ([], [])


def test_nothing_differs():
    assert steps(ONE, ONE) == []


def test_order_and_form_do_not_matter():
    """Trap: ``wg show`` tells the same in another order every time."""
    a = ONE.peers[A]
    other = ONE._replace(peers={B: ONE.peers[B], A: a._replace(allowed_ips=a.allowed_ips[::-1])})
    assert steps(ONE, other) == []


def test_what_happened_does_not_matter():
    seen = {key: peer._replace(latest_handshake=9, rx_bytes=9, tx_bytes=9) for key, peer in ONE.peers.items()}
    assert steps(ONE._replace(peers=seen), ONE) == []


def test_creation_in_the_order_of_wg_quick():
    assert steps(EMPTY, ONE, labels={A: "alice"}) == [
        "set the private key",
        "listen on port 51820",
        f"add peer {A} (alice)",
        f"add peer {B}",
        "add address 10.44.0.1/24",
        "set mtu 1420",
        "set up",
        "add route 10.9.0.0/16",
    ]


def test_port_fwmark_and_key_that_shall_stay():
    """Trap: ``wg syncconf`` drops a key and a port that its file leaves out; here they stay."""
    kept = ONE._replace(listen_port=0, private_key=None, mtu=0)
    assert steps(ONE, kept) == []
    assert steps(ONE._replace(fwmark=7), kept) == ["set fwmark off"]


def test_a_roamed_peer_is_not_reset_unless_asked():
    """Trap: an endpoint that is pushed again cuts off a peer that roamed."""
    roamed = ONE._replace(peers={**ONE.peers, A: ONE.peers[A]._replace(endpoint="198.51.100.9:9")})
    quiet = ONE._replace(peers={**ONE.peers, A: ONE.peers[A]._replace(endpoint=None)})
    assert steps(roamed, quiet) == []
    assert steps(roamed, ONE) == [f"change peer {A}: endpoint 198.51.100.1:1"]


def test_preshared_key_and_keepalive_are_cleared_explicitly():
    """Trap: older tools keep what a configuration does not have any more."""
    cleared = ONE._replace(peers={A: ONE.peers[A]._replace(persistent_keepalive=0), B: Peer(B)})
    build, clear = difference(ONE, cleared, ONE.routes)
    assert [step.words for step in build] == [
        ("peer", A, "persistent-keepalive", "off"),
        ("peer", B, "preshared-key", "/dev/null"),
    ]
    assert clear == []


def test_a_new_preshared_key_is_no_argument():
    build, _clear = difference(
        ONE, ONE._replace(peers={**ONE.peers, A: ONE.peers[A]._replace(preshared_key="psk")}), frozenset()
    )
    assert [step.tool for step in build] == ["peers"]
    assert "PresharedKey = psk\n" in build[0].data
    assert "psk" not in build[0].text


def test_a_network_goes_to_another_peer_before_the_old_one_goes():
    """Trap: a network that is given to a second peer silently leaves the first."""
    moved = ONE._replace(peers={B: ONE.peers[B], C: Peer(C, allowed_ips=ONE.peers[A].allowed_ips)})
    assert steps(ONE, moved) == [f"add peer {C}", f"remove peer {A}"]


def test_who_only_loses_a_network_is_not_touched():
    moved = ONE._replace(
        peers={
            A: ONE.peers[A]._replace(allowed_ips=("10.44.0.2/32",)),
            B: ONE.peers[B]._replace(allowed_ips=("10.9.0.0/16",)),
        }
    )
    build, _clear = difference(ONE, moved, frozenset())
    assert [step.words for step in build] == [("peer", A), ("peer", B, "allowed-ips", "10.9.0.0/16")]


def test_very_many_networks_go_through_a_file():
    many = tuple(f"10.{one // 256}.{one % 256}.0/24" for one in range(9000))
    big = ONE._replace(peers={**ONE.peers, B: ONE.peers[B]._replace(allowed_ips=many)})
    build, _clear = difference(ONE, big, frozenset())
    assert [step.tool for step in build] == ["peers"]


def test_only_removable_routes_go():
    less = ONE._replace(routes=frozenset())
    assert steps(ONE, less) == ["remove route 10.9.0.0/16"]
    assert steps(ONE, less, removable=frozenset()) == []


def test_an_address_that_takes_others_along():
    live = ONE._replace(addresses=("10.44.0.1/24",))
    assert steps(live, ONE._replace(addresses=("10.44.0.2/24",))) == [
        "add address 10.44.0.2/24",
        "keep the other addresses of a network when its first one goes",
        "remove address 10.44.0.1/24",
        "keep address 10.44.0.2/24",
    ]


def test_an_ipv6_address_is_there_once():
    live = ONE._replace(addresses=("fd44::1/64",))
    assert steps(live, ONE._replace(addresses=("fd44::1/128",))) == [
        "remove address fd44::1/64",
        "add address fd44::1/128",
    ]


@pytest.mark.parametrize(
    ("addresses", "table", "expected"),
    [
        (["10.44.0.1/32", "fd44::1/128"], "off", []),
        (
            ["10.44.0.1/24"],
            "77",
            [("77", "0.0.0.0/0"), ("77", "10.44.0.2/32"), ("77", "::/0"), ("77", "fd44::2/128")],
        ),
        (
            ["10.44.0.1/32", "fd44::1/128"],
            "auto",
            [("51821", "0.0.0.0/0"), ("51821", "::/0"), ("main", "10.44.0.2/32"), ("main", "fd44::2/128")],
        ),
        # What an address's own network covers needs no route.
        (["10.44.0.1/24", "fd44::1/64"], "auto", [("51821", "0.0.0.0/0"), ("51821", "::/0")]),
        (["10.0.0.1/8", "fd44::2/128"], "auto", [("51821", "0.0.0.0/0"), ("51821", "::/0")]),
    ],
)
def test_routes_of(addresses, table, expected):
    networks = ["0.0.0.0/0", "::/0", "10.44.0.2/32", "fd44::2/128"]
    assert sorted(routes_of(networks, addresses, table, 51821)) == expected
