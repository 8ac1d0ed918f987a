# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet, one story, in this order: whatever a run is cut down to, and whatever breaks, nobody loses a peer.

Every run changes something, so that there is something to lose: mostly the MTU, on all hosts that it reaches.
After every chapter, and twice a second in it, nobody's peers may be fewer, in the kernel or in the file; two pings of
20 per second, one over a direct tunnel and one through the relay, go on throughout the story and lose none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import NEWCOMER, READ_ONLY_ETC, Fleet

PUBLIC = {"public-server1", "public-server2"}
BEHIND_NAT = {"home-server", "laptop", "phone"}
OLD = PUBLIC | BEHIND_NAT
WITH_NEWCOMER = ("-i", str(NEWCOMER))
WITHOUT_VERIFY = ("--skip-tags", "verify")
USERS_PLAY = str(Path(__file__).with_name("users.yml"))
# Nothing of WireGuard is left, so that the next run makes a new key.
REINSTALL = "systemctl disable -q --now wg-quick@wg0; rm -f /etc/wireguard/*"


class Story:
    """What everybody has to have as peers by now, written by hand: NAT-ed hosts the public ones, those everyone."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.peers = {host: OLD - {host} if host in PUBLIC else PUBLIC for host in OLD}
        self.registered = OLD
        # Those whom a run that was killed may have made known to some and not to others.
        self.undecided: set[str] = set()
        self._mtu = 1300

    def another_mtu(self) -> tuple[str, str]:
        """Arguments that make every host change something."""
        self._mtu += 1
        return "-e", f"wireguard_mtu={self._mtu}"

    def newcomer_is_known(self) -> None:
        """From now on the public hosts must have the newcomer."""
        self.peers |= {host: self.peers[host] | {"newcomer"} for host in PUBLIC}

    def newcomer_is_forgotten(self) -> None:
        """The public hosts must not have the newcomer, and nobody must have its old key."""
        self.peers = {host: peers - {"newcomer"} for host, peers in self.peers.items() if host != "newcomer"}
        self.registered = OLD

    def heals(self, *arguments: str) -> None:
        """The plain run again: succeeds, and then has nothing left to do."""
        assert self.fleet.run(*arguments, *WITHOUT_VERIFY).code == 0
        again = self.fleet.run(*arguments, *WITHOUT_VERIFY)
        assert (again.code, again.hosts("changed")) == (0, set())


@pytest.fixture(scope="module")
def story() -> Story:
    fleet = Fleet()
    for host in OLD:
        fleet.watch(host)
    fleet.ping("home-server", "direct", "10.0.44.2")
    fleet.ping("home-server", "relayed", "10.0.44.5")
    return Story(fleet)


@pytest.fixture(autouse=True)
def nobody_loses_anything(story: Story, request: pytest.FixtureRequest) -> Iterator[None]:
    before = story.fleet.observe(sorted(story.peers))
    yield
    after = story.fleet.observe(sorted(story.peers))
    for host, now in after.items():
        assert now.peers - story.undecided == now.peers_in_file - story.undecided == story.peers[host], host
        assert not now.strange_files, host
        if host in before:
            kept = before[host].peers & story.peers[host]
            assert now.sampled > 0, host
            assert [sample - kept for sample in now.samples if not kept <= sample] == [], host
    assert story.fleet.project_files() == {*story.fleet.files, ".wireguard-registry.yml"}
    registry = story.fleet.registry()
    assert registry.keys() == story.registered
    assert all("public_key" in registry[host] for host in story.peers)
    pings = after["home-server"].pings
    print(f"\nchapter {request.node.name}: {pings}")
    assert pings.keys() == {"direct", "relayed"}
    assert all(ping.lost == 0 and ping.silent < 2 and ping.sent > 0 for ping in pings.values())


def test_one_host(story: Story) -> None:
    run = story.fleet.run("--limit", "laptop", *story.another_mtu())
    assert (run.code, run.hosts("changed")) == (0, {"laptop"})


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param(["-e", "wireguard_serial=1", "--tags", "apply"], {}, id="serial 1, tags apply"),
        pytest.param(["-e", '{"wireguard_serial": [1, "100%"]}'], {}, id="canary"),
        pytest.param(["--forks", "1"], {"ANSIBLE_STRATEGY": "free"}, id="free, forks 1"),
        pytest.param([], {"ANSIBLE_STRATEGY": "host_pinned"}, id="host_pinned"),
    ],
)
def test_other_ways_through_all_hosts(story: Story, arguments: list[str], environment: dict[str, str]) -> None:
    run = story.fleet.run(*arguments, *story.another_mtu(), **environment)
    assert (run.code, run.hosts("changed")) == (0, OLD)


def test_a_play_of_the_users(story: Story) -> None:
    run = story.fleet.run(*story.another_mtu(), playbook=USERS_PLAY)
    assert (run.code, run.hosts("changed")) == (0, OLD - {"public-server1"})


def test_what_is_not_supported_does_nothing_and_says_so(story: Story) -> None:
    run = story.fleet.run("--start-at-task", "Change the host", *story.another_mtu())
    assert (run.recap, "No matching task" in run.output) == ({}, True)
    run = story.fleet.run(*story.another_mtu(), playbook=USERS_PLAY, ANSIBLE_STRATEGY="free")
    assert run.code != 0
    assert "bypasses the host loop" in run.output
    assert run.hosts("changed") == set()


def test_the_registry_is_lost(story: Story) -> None:
    """The controller knows no key but that of the one host of this run, which keeps the peers that it knows itself."""
    (story.fleet.project / ".wireguard-registry.yml").unlink()
    run = story.fleet.run("--limit", "laptop", *story.another_mtu(), *WITHOUT_VERIFY)
    assert (run.code, run.hosts("changed")) == (0, {"laptop"})
    assert story.fleet.observe(sorted(OLD))["laptop"].peers == story.peers["laptop"]
    assert story.fleet.run().code == 0


def test_broken_hosts(story: Story) -> None:
    fleet = story.fleet
    full = "cp -a /etc/wireguard /run/full; mount -t tmpfs -o size=64k,mode=700 full /etc/wireguard; \
        cp -a /run/full/. /etc/wireguard; cat /dev/zero >/etc/wireguard/ballast || rm -r /run/full"
    with (
        fleet.cut_off("phone"),
        fleet.broken("laptop", *READ_ONLY_ETC),
        fleet.broken("public-server2", full, "umount /etc/wireguard"),
        fleet.broken("newcomer", "mv /usr/bin/wg /usr/bin/wg.away", "mv /usr/bin/wg.away /usr/bin/wg"),
    ):
        run = fleet.run(*WITH_NEWCOMER, *story.another_mtu())
    assert run.code != 0
    assert run.hosts("unreachable") == {"phone"}
    assert run.hosts("failed") == {"laptop", "public-server2", "newcomer"}
    assert run.hosts("changed") >= {"home-server", "public-server1"}
    story.heals()


def test_a_host_dies_between_enrolment_and_apply(story: Story) -> None:
    process = story.fleet.start(*story.another_mtu())
    said = story.fleet.until(process, r"PLAY \[Plan with the keys")
    with story.fleet.cut_off("laptop"):
        run = story.fleet.finish(process, said)
    assert run.code != 0
    assert run.hosts("unreachable") == {"laptop"}
    assert run.told_to_run() == [set(), {"laptop"}]
    assert run.hosts("changed") == OLD - {"laptop"}
    story.heals()


def test_a_newcomer_alone(story: Story) -> None:
    run = story.fleet.run(*WITH_NEWCOMER, "--limit", "newcomer")
    assert run.code == 0
    assert run.told_to_run() == [PUBLIC, set()]
    story.fleet.watch("newcomer")
    story.peers["newcomer"] = PUBLIC
    story.registered = OLD | {"newcomer"}


def test_two_controllers_at_once(story: Story) -> None:
    processes = [story.fleet.start(*WITH_NEWCOMER, *story.another_mtu()) for _controller in range(2)]
    for run in map(story.fleet.finish, processes):
        assert "Traceback" not in run.output
        assert all(host in run.hosts("changed") | run.hosts("failed") for host in OLD)
    story.newcomer_is_known()
    story.heals(*WITH_NEWCOMER)


def test_a_host_deleted_from_the_inventory(story: Story) -> None:
    assert story.fleet.run().code == 0
    story.newcomer_is_forgotten()
    story.fleet.ssh("newcomer", "systemctl stop watch-peers")
    story.fleet.ssh("newcomer", REINSTALL)


def test_a_newcomer_that_cannot_make_a_device(story: Story) -> None:
    fleet = story.fleet
    with fleet.broken("newcomer", "mount --bind /dev/null /dev/net/tun", "umount /dev/net/tun"):
        kernel = "ip link add probe type wireguard 2>/dev/null && ip link del probe && echo yes || echo no"
        in_kernel = fleet.ssh("newcomer", kernel) == "yes\n"
        run = fleet.run(*WITH_NEWCOMER, "--limit", "newcomer")
    story.registered = OLD | {"newcomer"}
    assert (run.code == 0) == in_kernel
    assert run.hosts("failed") == (set() if in_kernel else {"newcomer"})
    fleet.ssh("newcomer", REINSTALL)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param([r"TASK .*keypair : Create the private keys"], id="making keys"),
        pytest.param([r"PLAY \[Plan with the keys"], id="keys made"),
        pytest.param([r"PLAY \[Apply the plan\]"], id="registry written"),
        pytest.param([r"TASK .*confirm : Apply"], id="applying"),
        pytest.param([r"TASK .*confirm : Apply", r"^changed: "], id="first host changed"),
    ],
)
def test_the_controller_is_killed(story: Story, moment: list[str]) -> None:
    process = story.fleet.start(*WITH_NEWCOMER, *story.another_mtu())
    for line in moment:
        story.fleet.until(process, line)
    story.fleet.kill(process)
    story.registered = set(story.fleet.registry())
    story.undecided = {"newcomer"}


def test_the_plain_run_after_all_of_this(story: Story) -> None:
    story.heals(*WITH_NEWCOMER)
    assert story.fleet.run(*WITH_NEWCOMER, playbook="verify").code == 0
    story.registered = OLD | {"newcomer"}
    story.undecided = set()
    story.fleet.watch("newcomer")
    story.peers["newcomer"] = PUBLIC
    story.newcomer_is_known()
