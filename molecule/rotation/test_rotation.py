# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet whose keys are rotated, in this order: whoever rotates, is killed or cannot be reached, nobody is lost.

Pings go on throughout, 20 a second. Between nodes that keep their keys, and over relays that keep theirs, none is
lost; where a key changes, at most two seconds of them are, and that is measured for every chapter.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import Fleet, Run

PUBLIC = {"public-server1", "public-server2"}
BEHIND_NAT = {"home-server", "laptop", "phone"}
ALL = PUBLIC | BEHIND_NAT
PEERS = {host: ALL - {host} if host in PUBLIC else PUBLIC for host in ALL}
WITHOUT_VERIFY = ("--skip-tags", "verify")
ALL_AT_ONCE = ("-e", "wireguard_serial=100%")
MOST_LOST = 2 * 20
# {(from, name of the ping): (address, whose keys it depends on)}
PINGS = {
    ("home-server", "to-public"): ("10.0.44.2", {"home-server", "public-server2"}),
    ("home-server", "to-relay"): ("10.0.44.1", {"home-server", "public-server1"}),
    ("home-server", "to-phone"): ("10.0.44.5", {"home-server", "public-server1", "phone"}),
    ("laptop", "to-relay"): ("10.0.44.1", {"laptop", "public-server1"}),
    ("laptop", "to-phone"): ("10.0.44.5", {"laptop", "public-server1", "phone"}),
    ("public-server2", "to-laptop"): ("10.0.44.4", {"laptop", "public-server2"}),
    ("public-server2", "to-relay"): ("10.0.44.1", {"public-server1", "public-server2"}),
}


class Story:
    """The fleet, whose keys a chapter may change, whose it must, and which files it may leave."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.may_rotate: set[str] = set()
        self.must_rotate: set[str] = set()
        self.leftovers: set[str] = set()

    def keys(self) -> dict[str, str]:
        """{node: its public key}, by the registry, which `Fleet.observe` compares with the hosts."""
        return {node: record["public_key"] for node, record in self.fleet.registry().items()}

    def rotate(self, hosts: str, *arguments: str, **how: str) -> Run:
        """The playbook for some hosts."""
        chosen = ("-e", f"wireguard_rotate_hosts={hosts}", *WITHOUT_VERIFY, *arguments)
        return self.fleet.run(*chosen, playbook="rotate", **how)

    def secrets(self) -> set[str]:
        """All private keys, without the last character, which is the same for all."""
        return {self.fleet.ssh(host, "cat /etc/wireguard/wg0.key").strip().rstrip("=") for host in ALL}

    def converged(self) -> None:
        """A plain run finds nothing to do."""
        run = self.fleet.run(*WITHOUT_VERIFY)
        assert (run.code, run.hosts("changed")) == (0, set())


@pytest.fixture(scope="module")
def story() -> Story:
    fleet = Fleet()
    for (host, name), (address, _depends) in PINGS.items():
        fleet.ping(host, name, address)
    time.sleep(1)
    return Story(fleet)


@pytest.fixture(autouse=True)
def nobody_is_lost(story: Story, request: pytest.FixtureRequest) -> Iterator[None]:
    before, keys = story.fleet.observe(sorted(ALL)), story.keys()
    story.may_rotate = story.must_rotate = story.leftovers = set()
    yield
    time.sleep(1)
    after = story.fleet.observe(sorted(ALL))
    rotated = {node for node, key in story.keys().items() if key != keys[node]}
    assert story.must_rotate <= rotated <= story.may_rotate | story.must_rotate
    for host, now in after.items():
        assert now.peers == now.peers_in_file == PEERS[host], host
        assert now.strange_files <= story.leftovers, host
    assert story.fleet.project_files() == {*story.fleet.files, ".wireguard-registry.yml"}
    lost = {ping: after[ping[0]].pings[ping[1]].lost - before[ping[0]].pings[ping[1]].lost for ping in PINGS}
    print(f"\nchapter {request.node.name}: rotated {sorted(rotated)}, pings lost {lost}")
    for ping, (_address, depends) in PINGS.items():
        assert after[ping[0]].pings[ping[1]].silent < 2, ping
        assert lost[ping] <= MOST_LOST * len(depends & (rotated | story.may_rotate)), ping


def test_one_behind_nat(story: Story) -> None:
    story.must_rotate = {"laptop"}
    run = story.rotate("laptop")
    assert (run.code, run.hosts("changed") - {"home-server"}) == (0, {"laptop", *PUBLIC})
    story.converged()


def test_public_ones_and_the_relay_one_by_one(story: Story) -> None:
    story.must_rotate = PUBLIC
    assert story.rotate("public-server*", "-e", "wireguard_serial=1").code == 0
    story.converged()


def test_all_at_once(story: Story) -> None:
    story.must_rotate = ALL
    assert story.rotate("all", *ALL_AT_ONCE).code == 0
    story.converged()
    assert story.fleet.run(playbook="verify").code == 0


def test_only_old_keys(story: Story) -> None:
    story.must_rotate = {"phone"}
    story.fleet.ssh("phone", "touch -d '91 days ago' /etc/wireguard/wg0.key")
    old = ("-e", "wireguard_rotate_older_than=90")
    predicted = story.rotate("all", *old, "--check")
    assert (predicted.code, predicted.hosts("changed")) == (0, {"phone"})
    assert story.rotate("all", *old).code == 0
    assert story.rotate("all", *old).hosts("changed") == set()


def test_a_peer_that_cannot_follow(story: Story) -> None:
    run = story.rotate("laptop", "--limit", "laptop")
    assert run.code != 0
    assert "public-server1, public-server2 could not follow" in run.output
    with story.fleet.cut_off("public-server2"):
        run = story.rotate("laptop:public-server1")
    assert run.hosts("unreachable") == {"public-server2"}
    assert run.hosts("failed") == {"laptop", "public-server1"}
    assert run.output.index("public-server2 could not follow") < run.output.index("PLAY RECAP")
    assert run.hosts("changed") == set()


def test_all_the_same(story: Story) -> None:
    story.must_rotate = {"phone"}
    with story.fleet.cut_off("public-server2"):
        run = story.rotate("phone", "-e", "wireguard_rotate_force=true")
    assert run.hosts("unreachable") == {"public-server2"}
    assert run.hosts("failed") == set()
    assert re.search(r"lose these nodes until site has reached them:\n +public-server2:\n +- phone\n", run.output)
    assert story.fleet.run(*WITHOUT_VERIFY).code == 0


@pytest.mark.parametrize(
    ("moment", "again"),
    [
        pytest.param(r"TASK .*: Plan what the peers must know", "site", id="next key made"),
        pytest.param(r"TASK .*: Announce the next keys", "rotate", id="announcing"),
        pytest.param(r"TASK .*: Take the next key\]", "site", id="taking"),
        pytest.param(r"^included: .*take.yml", "rotate", id="about to take"),
        pytest.param(r"PLAY RECAP|TASK \[See that node", "site", id="recorded"),
    ],
)
def test_the_controller_is_killed(story: Story, moment: str, again: str) -> None:
    story.may_rotate = {"laptop", "public-server2"}
    hosts = ("-e", "wireguard_rotate_hosts=laptop:public-server2", *ALL_AT_ONCE, *WITHOUT_VERIFY)
    process = story.fleet.start(*hosts, playbook="rotate")
    story.fleet.until(process, moment)
    story.fleet.kill(process)
    if again == "rotate":
        story.must_rotate = story.may_rotate
        assert story.fleet.run(*hosts, playbook="rotate").code == 0
    else:
        # The next key waits there for the next rotation.
        story.leftovers = {"wg0.key.next"}
        assert story.fleet.run(*WITHOUT_VERIFY).code == 0


def test_no_secret_leaves_its_host(story: Story, tmp_path: Path) -> None:
    story.must_rotate = ALL
    secrets = story.secrets()
    run = story.rotate("all", "-vvv", "--diff", *ALL_AT_ONCE, ANSIBLE_LOG_PATH=str(tmp_path / "log"))
    assert run.code == 0
    secrets |= story.secrets()
    assert len(secrets) == 2 * len(ALL)
    places = [
        run.output,
        *(path.read_text() for folder in (tmp_path, story.fleet.project) for path in folder.iterdir()),
    ]
    # What is looked for would be found: the public keys are.
    assert all(any(key in place for place in places) for key in story.keys().values())
    assert [secret for secret in secrets if any(secret in place for place in places)] == []
    story.converged()
