# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that are not simply there, told in order: a name whose record moves, a boot without name servers, and what
NAT routers let through.

The name server is a host of the lab, and the only one that hosts have. `mover` sends nothing unless it is asked, so
that nobody learns of its new address but by its name.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from fleet import Fleet

NODES = ("relay", "mover", "alice", "bob", "carol", "dave")
WITHOUT_VERIFY = ("--skip-tags", "verify")
NAME_SERVER = """
mkdir /run/names
systemd-run --quiet --unit=names dnsmasq --keep-in-foreground --no-resolv --no-hosts --bind-dynamic --local-ttl=0 \
    --listen-address=198.51.100.53 --local=/example/ --hostsdir=/run/names
"""
LOOK_UP = "systemctl start wireguard-endpoints-wg0.service"
UNIT_TOOK = """
systemctl show -P ExecMainStartTimestampMonotonic -P ExecMainExitTimestampMonotonic wg-quick@wg0
"""
TIMER = "systemctl show -P ActiveState -P UnitFileState wireguard-endpoints-wg0.timer"
LEFT = "ls -A /etc/wireguard /etc/systemd/system/*.wants; systemctl list-units --all --plain 'wireguard-*' 'wg-quick@*'"


class Story:
    """The fleet, and the name server."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def answers(self, host: str, address: str, inside: str = "") -> bool:
        """Whether a host, or ``inside`` a network namespace of it, gets an answer from an address in a second."""
        return self.fleet.ssh(host, f"{inside}ping -c 1 -W 1 {address} >/dev/null && echo yes || true") == "yes\n"

    def endpoints(self, host: str) -> set[str]:
        """Where a host's peers are, as it believes."""
        return set(self.fleet.ssh(host, "wg show wg0 endpoints | cut -f 2").split())

    def write(self, **hosts: dict[str, Any]) -> None:
        """The user writes variables of hosts."""
        path = self.fleet.project / "inventory.yml"
        inventory = yaml.safe_load(path.read_text())
        for host, variables in hosts.items():
            inventory["wireguard"]["hosts"][host].update(
                {f"wireguard_{name}": value for name, value in variables.items()}
            )
        path.write_text(yaml.safe_dump(inventory))

    def move(self, old: str, new: str) -> None:
        """Give the mover another address, and its name too."""
        mover = [*self.fleet.inside("mover"), "ip", "address"]
        for change in (["del", f"{old}/24"], ["add", f"{new}/24"]):
            subprocess.run([*mover, *change, "dev", "eth0"], check=True)
        self.tell("mover", new)

    def tell(self, name: str, address: str) -> None:
        """Change the record of a name."""
        self.fleet.ssh("names", f"echo {address} {name}.example >/run/names/{name}; pkill -HUP dnsmasq")


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; fail if it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def story() -> Story:
    story = Story(Fleet())
    story.fleet.ssh("names", NAME_SERVER)
    story.tell("relay", "198.51.100.1")
    story.tell("mover", "198.51.100.2")
    for host in NODES:
        story.fleet.ssh(host, "rm -f /etc/resolv.conf; echo nameserver 198.51.100.53 >/etc/resolv.conf")
    return story


def test_names_become_addresses_beside_which_they_stay(story: Story) -> None:
    # Two that begin at the same moment begin anew after five seconds, on a busy machine more than once.
    run = story.fleet.run("-e", "wireguard_verify_timeout=30")
    assert run.code == 0
    assert "ghost.example:51820 of peer ghost does not resolve on this host" in run.output
    assert "# EndpointName = mover.example:51820\nEndpoint = 198.51.100.2:51820\n" in story.fleet.ssh(
        "alice", "cat /etc/wireguard/wg0.conf"
    )
    for host in NODES:
        assert story.fleet.ssh(host, TIMER).split() == ["active", "enabled"], host


def test_what_nat_routers_let_through(story: Story) -> None:
    """Of 30 pairs only those of carol and the two that punch holes need the relay."""
    ttl = "ping -c 1 -W 5 {} | grep -o 'ttl=..'"
    for host, address, found in (
        ("alice", "10.0.44.4", "64"),  # both routers keep ports
        ("carol", "10.0.44.6", "64"),  # dave's forwards one
        ("carol", "10.0.44.3", "63"),  # carol's chooses another one for everybody
    ):
        assert story.fleet.ssh(host, ttl.format(address)) == f"ttl={found}\n", (host, address)
    assert "198.51.100.102:51820" in story.endpoints("alice")
    assert "198.51.100.101:51820" in story.endpoints("bob")
    assert "198.51.100.104:7000" in story.endpoints("carol")


def test_a_record_that_moves_is_no_change(story: Story) -> None:
    """Trap: what is compared are names, not addresses; and no run pushes an endpoint again."""
    story.fleet.ping("dave", "alice", "10.0.44.3")
    story.move("198.51.100.2", "198.51.100.12")
    assert not story.answers("alice", "10.0.44.2")
    run = story.fleet.run(*WITHOUT_VERIFY)
    assert (run.code, run.hosts("changed")) == (0, set())


def test_a_boot_without_name_servers(story: Story) -> None:
    """Trap: wg-quick would try to resolve for ever, and bring up nothing."""
    names = [*story.fleet.inside("names"), "nft"]
    silent = "table inet silent { chain input { type filter hook input priority filter; udp dport 53 drop; }; }"
    subprocess.run([*names, silent], check=True)
    reboot = "ansible.builtin.reboot", "-a", "reboot_timeout=60"
    subprocess.run(["ansible", "-i", story.fleet.project, "bob", "-b", "-m", *reboot], check=True)
    started, ended = map(int, story.fleet.ssh("bob", UNIT_TOOK).split())
    assert ended - started < 5_000_000  # microseconds; with a name to resolve it would never end
    assert story.answers("bob", "10.0.44.1")
    assert story.endpoints("bob") == {
        "198.51.100.1:51820",
        "198.51.100.2:51820",
        "198.51.100.101:51820",
        "198.51.100.104:7000",
        "(none)",
    }
    assert not story.answers("bob", "10.0.44.2")
    story.tell("ghost", "198.51.100.99")
    subprocess.run([*names, "delete table inet silent"], check=True)
    until(lambda: story.answers("bob", "10.0.44.2"), 60)
    assert "198.51.100.99:51820" in story.endpoints("bob")


def test_only_a_peer_that_does_not_answer_is_looked_up(story: Story) -> None:
    """The limit is lowered from 135 seconds; the mover has not answered for longer, the relay only just has."""
    story.fleet.ssh("alice", "sed -i s/135/20/ /etc/wireguard/wg0.endpoints")
    story.fleet.ssh("relay", "systemctl restart wg-quick@wg0; ping -c 1 -W 5 10.0.44.3; ping -c 1 -W 5 10.0.44.4")
    # The relay cannot send to carol before she has sent.
    story.fleet.ssh("carol", "systemctl restart wg-quick@wg0")
    relay = story.fleet.ssh("relay", "wg show wg0 public-key").strip()
    story.fleet.ssh("alice", f"wg set wg0 peer {relay} endpoint 198.51.100.11:51820; {LOOK_UP}")
    assert {"198.51.100.11:51820", "198.51.100.12:51820"} < story.endpoints("alice")
    until(lambda: story.answers("alice", "10.0.44.2"), 20)
    dave = story.fleet.observe(["dave"])["dave"].pings["alice"]
    assert dave.lost == 0 < dave.sent


def test_a_router_that_keeps_no_ports_lets_nobody_punch(story: Story) -> None:
    """And without names there is nothing to look up."""
    story.write(
        relay={"endpoint": "198.51.100.1"},
        mover={"endpoint": "198.51.100.12"},
        ghost={"state": "absent"},
        carol={"endpoint": "198.51.100.103", "hole_punching": True},
    )
    run = story.fleet.run("-e", "wireguard_verify_timeout=6")
    assert run.hosts("changed") == set(NODES)
    assert set(
        re.findall(r"wg0: (\w+) gets no answer from (\w+) \(10\.0\.44\.\d\) over their own tunnel", run.output)
    ) == {
        ("alice", "carol"),
        ("bob", "carol"),
        ("carol", "alice"),
        ("carol", "bob"),
    }
    for host in NODES:
        left = story.fleet.ssh(host, LEFT)
        assert "wg0.conf" in left
        assert "endpoints" not in left, left
    story.write(carol={"endpoint": None, "hole_punching": False})
    assert story.fleet.run().code == 0


def test_names_are_looked_up_for_an_interface_in_a_network_namespace(story: Story) -> None:
    """The name servers are the host's, the interface is the namespace's."""
    inside = "ip netns exec vpn "
    story.write(relay={"endpoint": "relay.example"}, mover={"endpoint": "mover.example"}, carol={"netns": "vpn"})
    assert story.fleet.run().code == 0
    assert story.answers("carol", "10.0.44.2", inside)
    story.move("198.51.100.12", "198.51.100.13")
    assert not story.answers("carol", "10.0.44.2", inside)
    story.fleet.ssh("carol", f"sed -i s/135/1/ /etc/wireguard/wg0.endpoints; sleep 2; {LOOK_UP}")
    until(lambda: story.answers("carol", "10.0.44.2", inside), 20)
    assert not story.answers("carol", "10.0.44.2")


def test_nothing_is_left(story: Story) -> None:
    assert story.fleet.run(playbook="remove").hosts("changed") == set(NODES)
    for host in NODES:
        left = story.fleet.ssh(host, LEFT)
        assert "wg0" not in left, left
