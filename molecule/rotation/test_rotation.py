# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet whose keys are rotated, in this order: whoever rotates, is killed or cannot be reached, nobody is lost.

Pings go on throughout, 20 a second. Between nodes that keep their keys, and over relays that keep theirs, none is
lost; where a key changes, at most two seconds of them are, and that is measured for every chapter.
Preshared keys come first, so that each new key that shakes hands proves that both ends have the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
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
    """The fleet, whose keys a chapter may change, whose it must, which files it may leave, and who is away in it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.may_rotate: set[str] = set()
        self.must_rotate: set[str] = set()
        self.leftovers: set[str] = set()
        self.away: set[str] = set()

    def keys(self) -> dict[str, str]:
        """{node: its public key}, by the registry, which `Fleet.observe` compares with the hosts."""
        return {node: record["public_key"] for node, record in self.fleet.registry().items()}

    def rotate(self, hosts: str, *arguments: str, **how: str) -> Run:
        """The playbook for some hosts."""
        chosen = ("-e", f"wireguard_rotate_hosts={hosts}", *WITHOUT_VERIFY, *arguments)
        return self.fleet.run(*chosen, playbook="rotate", **how)

    def preshared_keys(self) -> dict[frozenset[str], str | None]:
        """{pair of peers: the preshared key that both have on their devices and in their files}."""
        names = {key: node for node, key in self.keys().items()}
        found: dict[tuple[str, str], str | None] = {}
        for host in ALL:
            for line in self.fleet.ssh(host, "wg show wg0 preshared-keys").splitlines():
                peer, key = line.split()
                found[host, names[peer]] = None if key == "(none)" else key
            in_file = self.fleet.ssh(host, "sed -n 's/^PresharedKey = //p' /etc/wireguard/wg0.conf").split()
            assert sorted(in_file) == sorted(key for (one, _peer), key in found.items() if one == host and key)
        assert all(found[one, other] == key for (other, one), key in found.items())
        return {frozenset(pair): key for pair, key in found.items()}

    def ask_for_preshared_keys(self, wanted: bool) -> None:
        """Write it in the inventory, as a user does."""
        path = self.fleet.project / "inventory.yml"
        inventory = yaml.safe_load(path.read_text())
        inventory["wireguard"]["vars"]["wireguard_preshared_keys"] = wanted
        path.write_text(yaml.safe_dump(inventory))

    def secrets(self) -> set[str]:
        """All private and preshared keys, without the last character, which is the same for all."""
        private = {self.fleet.ssh(host, "cat /etc/wireguard/wg0.key").strip() for host in ALL}
        return {key.rstrip("=") for key in (*private, *self.preshared_keys().values()) if key}

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
    story.may_rotate = story.must_rotate = story.leftovers = story.away = set()
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
        assert depends & story.away or lost[ping] <= MOST_LOST * len(depends & (rotated | story.may_rotate)), ping


def changed(before: dict[frozenset[str], str | None], after: dict[frozenset[str], str | None]) -> set[frozenset[str]]:
    """The pairs that have another preshared key."""
    return {pair for pair in after if after[pair] != before[pair]}


def test_preshared_keys_for_some_then_for_all(story: Story) -> None:
    assert set(story.preshared_keys().values()) == {None}
    story.ask_for_preshared_keys(True)
    some = {"laptop", "public-server1"}
    run = story.fleet.run("--limit", ",".join(some), *WITHOUT_VERIFY)
    assert (run.code, run.hosts("changed")) == (0, some)
    assert {pair for pair, key in story.preshared_keys().items() if key} == {frozenset(some)}
    predicted = story.fleet.run("--check", *WITHOUT_VERIFY)
    run = story.fleet.run("-e", "wireguard_serial=3", *WITHOUT_VERIFY)
    assert (run.code, run.hosts("changed")) == (0, ALL)
    assert predicted.hosts("changed") == ALL
    keys = story.preshared_keys()
    assert len(set(keys.values()) - {None}) == len(keys) == 7
    story.converged()


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


def test_new_preshared_keys_where_both_ends_are_reached(story: Story) -> None:
    before = story.preshared_keys()
    with story.fleet.cut_off("public-server2"):
        run = story.fleet.run("-e", "wireguard_rotate_preshared_keys=true", *WITHOUT_VERIFY)
    assert run.hosts("unreachable") == {"public-server2"}
    after = story.preshared_keys()
    assert changed(before, after) == {pair for pair in after if "public-server2" not in pair}
    assert None not in after.values()


@pytest.mark.parametrize(
    ("moments", "outcomes"),
    [
        pytest.param([r"TASK .*: Make keys, each sealed"], {"same"}, id="making"),
        pytest.param([r"TASK .*: Open the keys"], {"same"}, id="made"),
        pytest.param([r"TASK .*: Use the keys"], {"same", "other"}, id="using"),
        pytest.param([r"TASK .*: Use the keys", r"^changed: "], {"other"}, id="used by one"),
    ],
)
def test_the_controller_is_killed_while_preshared_keys_are_exchanged(
    story: Story, moments: list[str], outcomes: set[str]
) -> None:
    before = story.preshared_keys()
    process = story.fleet.start("-e", "wireguard_rotate_preshared_keys=true", "--forks", "1", *WITHOUT_VERIFY)
    for moment in moments:
        story.fleet.until(process, moment)
    story.fleet.kill(process)
    assert story.fleet.run(*WITHOUT_VERIFY).code == 0
    after = story.preshared_keys()
    assert None not in after.values()
    # Before the first host uses its keys, the exchange has changed nothing.
    assert ("other" if changed(before, after) else "same") in outcomes
    story.converged()


def test_a_reinstalled_host_gets_new_preshared_keys(story: Story) -> None:
    story.must_rotate = story.away = {"phone"}
    before = story.preshared_keys()
    story.fleet.ssh("phone", "systemctl disable -q --now wg-quick@wg0; rm -f /etc/wireguard/*")
    assert story.fleet.run(*WITHOUT_VERIFY).code == 0
    after = story.preshared_keys()
    assert changed(before, after) == {pair for pair in after if "phone" in pair}
    assert None not in after.values()


def test_no_secret_leaves_its_host(story: Story, tmp_path: Path) -> None:
    story.must_rotate = ALL
    secrets = story.secrets()
    talkative = {"ANSIBLE_VERBOSITY": "3", "ANSIBLE_DIFF_ALWAYS": "1", "ANSIBLE_LOG_PATH": str(tmp_path / "log")}
    run = story.rotate("all", *ALL_AT_ONCE, **talkative)
    assert run.code == 0
    secrets |= story.secrets()
    renewed = story.fleet.run("-e", "wireguard_rotate_preshared_keys=true", *WITHOUT_VERIFY, **talkative)
    assert renewed.code == 0
    secrets |= story.secrets()
    assert len(secrets) == 2 * len(ALL) + 2 * 7
    files = (path.read_text() for folder in (tmp_path, story.fleet.project) for path in folder.iterdir())
    places = [run.output, renewed.output, *files]
    # What is looked for would be found: the public keys are.
    assert all(any(key in place for place in places) for key in story.keys().values())
    assert [secret for secret in secrets if any(secret in place for place in places)] == []
    story.converged()


def test_preshared_keys_off_again(story: Story) -> None:
    story.ask_for_preshared_keys(False)
    assert story.fleet.run("--limit", "laptop", *WITHOUT_VERIFY).hosts("changed") == set()
    assert None not in story.preshared_keys().values()
    assert story.fleet.run(*WITHOUT_VERIFY).code == 0
    assert set(story.preshared_keys().values()) == {None}
    story.converged()
