# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways on real hosts, told in order: the nodes by their names, LANs reach one another, a LAN without a way back, an
exit, a kill switch.

What counts is which packets arrive, and from whom: hosts of LANs and of the internet answer with the address that they
were asked from. None of them has WireGuard.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fleet import Fleet, read_registry
from packets import ASK, NOBODY, WITHOUT_VERIFY, Story

GATEWAYS = {"montreal", "newyork", "vancouver"}
ALL = {*GATEWAYS, "laptop"}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Which machines of the lab are the hosts of an example, and what its endpoints resolve to.
MACHINES = {
    "client-to-server": {"server": "montreal", "client": "laptop"},
    "server-to-server": {"server1": "montreal", "server2": "newyork"},
    "internet-browsing": {"server": "montreal", "laptop": "laptop", "phone": "vancouver"},
    "lan-bridging": {"montreal": "montreal", "newyork": "newyork", "vancouver": "vancouver2"},
    "smallest": {"relay1": "montreal", "web1": "newyork", "nas": "vancouver", "laptop": "laptop"},
    "namespace": {"server": "montreal", "nas": "laptop"},
}
IN_NAMESPACE = {("namespace", "nas"): "ip netns exec vpn "}
NAMES = """
198.51.100.1 server.example.net server1.example.net montreal.example.net relay1.example.net
198.51.100.2 server2.example.net newyork.example.net web1.example.net
198.51.100.3 vancouver.example.net
"""
ADDRESSES = {
    "desk1": ("192.168.1.10", "fd01::10"),
    "desk2": ("192.168.2.10", "fd02::10"),
    "desk3": ("192.168.3.10", "fd03::10"),
    "printer3": ("192.168.3.20", "fd03::20"),
    "till3": ("192.168.3.30",),
    "desk4": ("192.168.3.10",),
    "minibar": ("192.168.4.20", "fd00:4::20"),
    "server": ("198.51.100.80", "2001:db8::80"),
    "laptop": ("192.168.4.2", "fd00:4::2"),
}
# What the laptop's packets come from: the exit, or the hotel's router.
EXIT, HOTEL = ("198.51.100.1", "2001:db8::1"), ("198.51.100.104", "2001:db8::104")

SEGMENTS = "import socket, sys; print(socket.create_connection((sys.argv[1], 7), timeout=5).recv(100).decode())"
# Lines of others, some of them not ended as Unix ends them, or looking like ours.
FOREIGN = r"""
printf '203.0.113.7\tr\303\251sum\303\251.example # BEGIN wirefleet.wireguard\r\n\n#END\n203.0.113.8 last' >>/etc/hosts
base64 -w 0 /etc/hosts
"""
FORGET_BLOCK = "sed '/^# BEGIN wirefleet.wireguard wg0$/,/^# END wirefleet.wireguard wg0$/d' /etc/hosts | base64 -w 0"
WRITE_NAMES = r"TASK \[wirefleet.wireguard.names : Write the names"
# Whatever comes to the server from the hotel itself.
COUNT = """
table inet seen {
    counter hotel { }
    chain input {
        type filter hook input priority filter
        ip saddr 198.51.100.104 counter name hotel
        ip6 saddr 2001:db8::104 meta l4proto != icmpv6 counter name hotel
    }
}
"""


class Gateways(Story):
    """The fleet, its hosts' files of names, and what the server on the internet notices."""

    def __init__(self) -> None:
        super().__init__(Fleet(), ADDRESSES)
        self.hosts_files = {host: base64.b64decode(self.fleet.ssh(host, FOREIGN)) for host in ALL}

    def delete(self, host: str) -> None:
        """The user deletes a host."""
        path = self.fleet.project / "inventory.yml"
        inventory = yaml.safe_load(path.read_text())
        del inventory["wireguard"]["hosts"][host]
        path.write_text(yaml.safe_dump(inventory))

    def known(self, host: str, node: str) -> set[str]:
        """The addresses by which a host knows a node."""
        return set(self.fleet.ssh(host, f"getent ahosts {node}.wg0 | cut -d ' ' -f 1 || true").split())

    def from_the_hotel(self) -> int:
        """How many packets the server got past the tunnel."""
        return int(self.inside("server", "nft", "list", "counters").split("packets")[1].split()[0])


@pytest.fixture(scope="module")
def story() -> Iterator[Gateways]:
    story = Gateways()
    story.inside("server", "nft", "-f", "-", said=COUNT)
    with story.answering():
        yield story


def test_the_network_is_verified(story: Gateways) -> None:
    assert story.seen_from("laptop", "server") == HOTEL
    assert story.fleet.run().code == 0
    again = story.fleet.run()
    assert again.hosts("changed") == set()
    # Hosts that know the names are not even asked.
    assert not re.search(WRITE_NAMES, again.output)


def test_every_host_knows_every_node_by_name(story: Gateways) -> None:
    addresses = {node: set(record["addresses"]) for node, record in story.fleet.registry().items()}
    assert set(addresses) == ALL | {"phone"}
    for host in sorted(ALL):
        assert {node: story.known(host, node) for node in addresses} == addresses
        # Only the end of the last line of others is ours, where they left it out.
        assert base64.b64decode(story.fleet.ssh(host, FORGET_BLOCK)) == story.hosts_files[host] + b"\n"
    story.fleet.ssh("laptop", "ping -4 -c 1 -W 5 newyork.wg0 && ping -6 -c 1 -W 5 vancouver.wg0")


def test_names_go_with_their_nodes_and_when_they_are_switched_off(story: Gateways) -> None:
    story.write("newyork", names=False)
    story.delete("phone")
    told = story.fleet.run(*WITHOUT_VERIFY, "--check", "--diff")
    assert told.hosts("changed") == ALL
    assert told.output.count("-10.0.44.4 phone.wg0") == len(ALL)
    assert story.known("laptop", "phone")
    story.converge(ALL)
    assert [story.known(host, "phone") for host in ALL] == [set()] * len(ALL)
    assert [host for host in ALL if not story.known(host, "laptop")] == ["newyork"]


def test_lans_reach_one_another_without_translation(story: Gateways) -> None:
    for host, other in itertools.permutations(("desk1", "desk2", "desk3"), 2):
        assert story.seen_from(host, other) == ADDRESSES[host], (host, other)


def test_segments_fit_into_the_tunnel(story: Gateways) -> None:
    assert int(story.inside("desk1", "python3", "-c", SEGMENTS, ADDRESSES["desk2"][0])) <= 1420 - 40
    assert int(story.inside("desk1", "python3", "-c", SEGMENTS, ADDRESSES["desk2"][1])) <= 1420 - 60


def test_the_laptop_is_on_the_internet_as_the_exit(story: Gateways) -> None:
    assert story.seen_from("laptop", "server") == EXIT
    assert story.seen_from("laptop", "desk2") != NOBODY
    # Its own LAN it reaches as ever, and is reached from there.
    assert story.seen_from("laptop", "minibar") == ADDRESSES["laptop"]
    assert story.seen_from("minibar", "laptop") == ADDRESSES["minibar"]
    # Also where the kernel drops what would not be answered on the link that it came from.
    story.fleet.ssh("laptop", "for link in /proc/sys/net/ipv4/conf/*; do echo 1 >$link/rp_filter; done")
    assert story.seen_from("laptop", "server") == EXIT


def test_a_lan_that_knows_no_way_back(story: Gateways) -> None:
    assert story.seen_from("desk1", "printer3") == NOBODY
    story.write("vancouver", subnet_nat=True)
    story.converge({"vancouver"})
    assert story.seen_from("desk1", "printer3") == ("192.168.3.1", "fd03::1")
    assert story.seen_from("laptop", "printer3") == ("192.168.3.1", "fd03::1")
    assert story.seen_from("desk3", "desk1") == ADDRESSES["desk3"]
    story.write("vancouver", subnet_nat=False)
    story.converge({"vancouver"})
    assert story.seen_from("desk1", "printer3") == NOBODY
    assert story.seen_from("desk1", "desk3") == ADDRESSES["desk1"]


def test_a_lan_host_that_takes_all_lans_for_its_own(story: Gateways) -> None:
    assert story.seen_from("desk1", "till3")[0] == ""
    story.write("vancouver", proxy_arp="eth1")
    story.converge({"vancouver"})
    assert story.seen_from("desk1", "till3")[0] == ADDRESSES["desk1"][0]
    assert story.seen_from("till3", "desk2")[0] == ADDRESSES["till3"][0]


def test_nothing_leaks_past_a_kill_switch(story: Gateways) -> None:
    story.fleet.ssh("laptop", "systemctl stop wg-quick@wg0")
    assert story.seen_from("laptop", "server") == HOTEL
    story.write("laptop", kill_switch=True)
    story.converge({"laptop"})
    leaked = story.from_the_hotel()
    assert leaked > 0
    assert story.seen_from("laptop", "server") == EXIT
    for stop, start in (("systemctl stop", "systemctl start"), ("wg-quick down wg0; :", "wg-quick up wg0; :")):
        story.fleet.ssh("laptop", f"{stop} wg-quick@wg0")
        assert story.seen_from("laptop", "server") == NOBODY
        story.fleet.ssh("laptop", "! ping -c 1 -W 1 198.51.100.80 && ! ping -c 1 -W 1 2001:db8::80")
        assert story.seen_from("laptop", "minibar") == NOBODY
        assert story.seen_from("minibar", "laptop") == ADDRESSES["minibar"]
        story.fleet.ssh("laptop", f"{start} wg-quick@wg0")
        assert story.seen_from("laptop", "server") == EXIT
    story.fleet.ssh("laptop", "systemctl stop wg-quick@wg0")
    story.write("laptop", kill_switch_allowed=["192.168.4.0/24"])
    story.converge({"laptop"})
    assert story.seen_from("laptop", "minibar") == (ADDRESSES["laptop"][0], "")
    assert story.seen_from("laptop", "server") == EXIT
    assert story.from_the_hotel() == leaked


def test_a_kill_switch_is_there_after_a_reboot(story: Gateways) -> None:
    leaked = story.from_the_hotel()
    reboot = "ansible.builtin.reboot", "-a", "reboot_timeout=120"
    subprocess.run(["ansible", "-i", story.fleet.project, "laptop", "-b", "-m", *reboot], check=True)
    story.fleet.ssh("laptop", "systemctl stop wg-quick@wg0")
    assert story.seen_from("laptop", "server") == NOBODY
    story.fleet.ssh("laptop", "systemctl start wg-quick@wg0")
    assert story.seen_from("laptop", "server") == EXIT
    assert story.from_the_hotel() == leaked


def test_nothing_is_left(story: Gateways) -> None:
    assert story.fleet.run(playbook="remove").hosts("changed") == ALL
    for host in ALL:
        left = story.fleet.ssh(host, "nft list ruleset; ls -A /etc/wireguard /etc/sysctl.d")
        assert not re.search(r"^table|wg0|wireguard-", left, re.MULTILINE), left
        assert base64.b64decode(story.fleet.ssh(host, "base64 -w 0 /etc/hosts")) == story.hosts_files[host] + b"\n"
    assert story.seen_from("laptop", "server") == HOTEL
    assert story.seen_from("desk1", "desk2") == NOBODY


@pytest.mark.parametrize("example", MACHINES)
def test_examples(story: Gateways, tmp_path: Path, example: str) -> None:
    connections = json.loads((story.fleet.state / "connection.json").read_text())["all"]["hosts"]
    machines = MACHINES[example]
    hosts = {name: {**connections[machine], "ansible_host": machine} for name, machine in machines.items()}
    (tmp_path / "connection.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    shutil.copy(EXAMPLES / f"{example}.yml", tmp_path)
    for machine in machines.values():
        story.fleet.ssh(machine, f"echo '{NAMES}' >>/etc/hosts")
    assert story.fleet.run(sources=[tmp_path]).code == 0
    assert story.fleet.run(sources=[tmp_path]).hosts("changed") == set()
    nodes = read_registry(tmp_path)
    for node, other in itertools.permutations(machines, 2):
        inside = IN_NAMESPACE.get((example, node), "")
        for address in nodes[other]["addresses"]:
            story.fleet.ssh(machines[node], f"{inside}ping -c 1 -W 5 {address}")
    if example == "internet-browsing":
        assert story.seen_from("laptop", "server") == story.seen_from("vancouver", "server") == EXIT
    if example == "namespace":
        ask = f"ip netns exec vpn python3 -c {shlex.quote(ASK)} {' '.join(ADDRESSES['server'])}"
        assert tuple(story.fleet.ssh("laptop", ask).split()) == EXIT
        assert story.seen_from("laptop", "server") == HOTEL
    if example == "lan-bridging":
        for desk, other in itertools.permutations(("desk1", "desk2", "desk4"), 2):
            assert story.seen_from(desk, other)[0] == ADDRESSES[desk][0], (desk, other)
    assert story.fleet.run(playbook="remove", sources=[tmp_path]).hosts("changed") == set(hosts)
