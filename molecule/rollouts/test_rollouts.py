# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fleet, one story, in this order: what check mode predicts is what the run does; who leaves is gone, and from the
relay first; a rollout that goes wrong stops at its canary; slices of the inventory share the registry; a host that no
controller reaches joins by itself.

Two pings of 20 per second, one over a direct tunnel and one through the relay, go on throughout and lose none.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ansible
import pytest
import yaml
from fleet import NEWCOMER, READ_ONLY_ETC, Fleet

APPLY = ".confirm : Apply"
RELAY = "public-server1"
PUBLIC = {RELAY, "public-server2"}
ALL = {*PUBLIC, "home-server", "laptop", "phone"}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/rollouts.md"
WITHOUT_VERIFY = ("--skip-tags", "verify")
# A key, and what stands for one that the run itself will make.
KEY = re.compile(r"\S{43}=|\(\S+ has no key yet\)")
FOREIGN = """
umask 077
wg genkey >/etc/wireguard/foreign.key
printf '[Interface]\\nPrivateKey = %s\\nAddress = 172.31.0.1/32\\n' "$(cat /etc/wireguard/foreign.key)" \
    >/etc/wireguard/foreign.conf
systemctl enable -q --now wg-quick@foreign
echo net.ipv4.ip_forward=1 >/etc/sysctl.d/50-mine.conf
sysctl -q net.ipv4.ip_forward=1
nft add table inet mine
"""
LEFT = """
echo $(ls -A /etc/wireguard /etc/sysctl.d | grep -v README) $(ls /sys/class/net | grep -v -e eth -e lo) \
    $(nft list tables) forwarding=$(sysctl -n net.ipv4.ip_forward) $(systemctl is-enabled wg-quick@wg0)
"""

Told = list[tuple[str, str, str, str, list[str]]]
"""What a run says, in order: play, task, host, what became of it, and the steps of the modules that tell them.

Steps are sorted: they come by public key, and the keys that a run will make are not known before.
"""


class Story:
    """The fleet, and what its user has changed in the inventory since."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet = fleet
        self.members = set(ALL)
        self._hosts: dict[str, dict[str, Any]] = {}
        self._network: dict[str, Any] = {}
        self._file = folder / "later.yml"
        self.inventory: tuple[str, ...] = ()

    def says(self, host: str, **variables: Any) -> None:
        """The user writes variables of a host."""
        self._hosts.setdefault(host, {}).update(variables)
        self._write()

    def says_of_all(self, **variables: Any) -> None:
        """The user writes variables of the network."""
        self._network.update(variables)
        self._write()

    def deletes(self, host: str) -> None:
        """The user deletes what was written of a host."""
        del self._hosts[host]
        self._write()

    def _write(self) -> None:
        self._file.write_text(yaml.safe_dump({"wireguard": {"hosts": self._hosts, "vars": self._network}}))
        self.inventory = ("-i", str(self._file))

    def site(self, *arguments: str) -> Told:
        """The playbook, which must succeed, in data."""
        how = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
        run = self.fleet.run(*self.inventory, *WITHOUT_VERIFY, *arguments, **how)
        assert run.code == 0
        plays = json.loads(run.output[run.output.index("{\n") : run.output.rindex("}") + 1])["plays"]
        return [
            (
                play["play"]["name"],
                task["task"]["name"],
                host,
                outcome(one),
                sorted(KEY.sub("KEY", step) for step in steps),
            )
            for play in plays
            for task in play["tasks"]
            for host, result in sorted(task["hosts"].items())
            for one in result.get("results", [result])
            for steps in [one.get("steps", [])]
        ]

    def comes_true(self, *arguments: str) -> Told:
        """What check mode tells is what the run then does; what that was."""
        predicted = self.site("--check", *arguments)
        done = self.site(*arguments)
        assert predicted == done
        return done


def outcome(result: dict[str, Any]) -> str:
    """What became of a task, or of an item of its loop."""
    return "skipped" if result.get("skipped") else "changed" if result.get("changed") else "ok"


def changed(told: Told) -> set[str]:
    """The hosts that were changed."""
    return {host for _play, task, host, became, _steps in told if became == "changed" and "Plan all" not in task}


def order(told: Told) -> list[str]:
    """The hosts in the order of the plays and batches in which their interfaces were applied."""
    applied = [host for _play, task, host, became, _steps in told if APPLY in task and became != "skipped"]
    return list(dict.fromkeys(applied))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(Fleet(), tmp_path_factory.mktemp("user"))


@pytest.fixture(autouse=True)
def nobody_loses_anything(story: Story, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    after = story.fleet.observe(sorted(story.members))
    assert story.fleet.registry().keys() == story.members
    for host, now in after.items():
        public = {host for host in story.members if host in PUBLIC}
        assert now.peers == now.peers_in_file == (story.members if host in PUBLIC else public) - {host}, host
    pings = after["home-server"].pings
    print(f"\nchapter {request.node.name}: {pings}")
    assert all(ping.lost == 0 and ping.silent < 2 and ping.sent > 0 for ping in pings.values())


def test_a_fresh_fleet(story: Story) -> None:
    done = story.comes_true()
    assert changed(done) == ALL
    assert story.fleet.run(playbook="verify").code == 0
    story.fleet.ping("home-server", "direct", "10.0.44.2")
    story.fleet.ping("home-server", "relayed", "10.0.44.5")
    time.sleep(1)


def test_a_converged_fleet(story: Story) -> None:
    assert changed(story.comes_true()) == set()


def test_mtu(story: Story) -> None:
    story.says_of_all(wireguard_mtu=1300)
    assert changed(story.comes_true()) == ALL


def test_keepalive(story: Story) -> None:
    story.says_of_all(wireguard_keepalive=20)
    assert changed(story.comes_true()) == ALL - PUBLIC


def test_address(story: Story) -> None:
    story.says("laptop", wireguard_address="10.0.44.44")
    assert changed(story.comes_true()) == {"laptop", *PUBLIC}


def test_listen_port(story: Story) -> None:
    story.says("laptop", wireguard_listen_port=51999)
    assert changed(story.comes_true()) == {"laptop"}


def test_subnet_and_forwarding(story: Story) -> None:
    story.says("laptop", wireguard_subnets=["192.168.4.0/24"])
    assert changed(story.comes_true()) == ALL
    story.says("laptop", wireguard_subnets=[])
    assert changed(story.comes_true()) == ALL


def test_newcomer(story: Story) -> None:
    story.says("newcomer", **yaml.safe_load(NEWCOMER.read_text())["wireguard"]["hosts"]["newcomer"])
    assert changed(story.comes_true()) == {"newcomer", *PUBLIC}
    story.members.add("newcomer")


def test_a_key_that_is_no_longer_trusted_is_replaced_on_the_relay_first(story: Story) -> None:
    story.fleet.ssh("newcomer", "rm /etc/wireguard/wg0.key")
    done = story.comes_true()
    assert changed(done) == {"newcomer", *PUBLIC}
    assert order(done)[0] == RELAY


def test_absent(story: Story) -> None:
    story.fleet.ssh("newcomer", FOREIGN)
    before = story.fleet.registry()["newcomer"]["public_key"]
    story.says("newcomer", wireguard_state="absent")
    done = story.comes_true()
    assert changed(done) == {"newcomer", *PUBLIC}
    assert order(done)[0] == RELAY
    story.members.remove("newcomer")
    left = story.fleet.ssh("newcomer", LEFT).split()
    assert {"foreign.conf", "foreign.key", "50-mine.conf", "foreign", "mine", "forwarding=1", "disabled"} <= {*left}
    assert [word for word in left if "wg0" in word] == []
    for host in ALL:
        assert before not in story.fleet.ssh(host, "wg show all dump; cat /etc/wireguard/*.conf")


def test_deleted_from_the_inventory(story: Story) -> None:
    story.deletes("newcomer")
    story.says("newcomer", wireguard_address="10.0.44.6")
    assert changed(story.comes_true()) == {"newcomer", *PUBLIC}
    story.deletes("newcomer")
    done = story.comes_true()
    assert changed(done) == PUBLIC
    assert order(done)[0] == RELAY


def test_a_broken_canary_stops_the_rollout(story: Story) -> None:
    story.says_of_all(wireguard_mtu=1310)
    rollout = ("-e", '{"wireguard_serial": [1, 3, "100%"]}')
    with story.fleet.broken("home-server", *READ_ONLY_ETC):
        run = story.fleet.run(*story.inventory, *WITHOUT_VERIFY, *rollout)
    assert run.code != 0
    assert (run.hosts("failed"), run.hosts("changed")) == ({"home-server"}, set())
    assert {host: now.mtu for host, now in story.fleet.observe(sorted(ALL)).items()} == dict.fromkeys(ALL, 1300)
    done = story.comes_true(*rollout)
    assert (order(done)[0], order(done)[-1], changed(done)) == ("home-server", RELAY, ALL)


def test_too_many_failures_stop_the_rollout(story: Story) -> None:
    story.says_of_all(wireguard_mtu=1320)
    rollout = ("-e", '{"wireguard_serial": [2, "100%"], "wireguard_max_fail_percentage": 40}')
    with story.fleet.broken("laptop", *READ_ONLY_ETC):
        run = story.fleet.run(*story.inventory, *WITHOUT_VERIFY, *rollout)
    assert (run.code != 0, run.hosts("failed"), run.hosts("changed")) == (True, {"laptop"}, {"home-server"})
    assert changed(story.comes_true()) == ALL - {"home-server"}


def test_a_batch_that_does_not_reach_another_host_stops_the_rollout(story: Story) -> None:
    story.says_of_all(wireguard_mtu=1325)
    rollout = ("-e", '{"wireguard_serial": [1, "100%"], "wireguard_verify_batches": true}')
    drop = "table inet broken { chain output { type filter hook output priority 0; ip daddr 10.0.44.44 drop; }; }"
    with story.fleet.broken("home-server", f"nft '{drop}'", "nft delete table inet broken"):
        run = story.fleet.run(*story.inventory, *WITHOUT_VERIFY, *rollout, "-e", "wireguard_verify_timeout=3")
    assert (run.code != 0, run.hosts("changed")) == (True, {"home-server"})
    assert "home-server gets no answer from laptop (10.0.44.44)" in run.output
    run = story.fleet.run(*story.inventory, *WITHOUT_VERIFY, *rollout)
    assert (run.code, run.hosts("changed")) == (0, ALL - {"home-server"})


def test_slices_at_the_same_time(story: Story, tmp_path: Path) -> None:
    hosts = yaml.safe_load((story.fleet.project / "inventory.yml").read_text())["wireguard"]
    later = yaml.safe_load(Path(story.inventory[1]).read_text())["wireguard"]
    hosts["hosts"]["laptop"] |= later["hosts"]["laptop"]
    hosts["vars"] |= {**later["vars"], "wireguard_mtu": 1330, "wireguard_partial_inventory": True}
    connection = story.fleet.state / "connection.json"
    processes = []
    for number, names in enumerate((("home-server", RELAY), ("laptop", "phone", "public-server2"))):
        part = tmp_path / f"slice{number}.yml"
        mine = {name: hosts["hosts"][name] for name in names}
        part.write_text(yaml.safe_dump({"wireguard": {"hosts": mine, "vars": hosts["vars"]}}))
        connections = json.loads(connection.read_text())["all"]["hosts"]
        reach = tmp_path / f"connection{number}.json"
        reach.write_text(json.dumps({"all": {"hosts": {name: connections[name] for name in names}}}))
        registry = f"wireguard_registry_file={story.fleet.project}/.wireguard-registry.yml"
        processes.append(story.fleet.start("-e", registry, sources=[part, reach]))
    runs = [story.fleet.finish(process) for process in processes]
    assert [run.code for run in runs] == [0, 0]
    assert runs[0].hosts("changed") | runs[1].hosts("changed") == ALL
    story.says_of_all(wireguard_mtu=1330)
    assert changed(story.site()) == set()


def test_too_many_vanish_at_once(story: Story, tmp_path: Path) -> None:
    registry = f"wireguard_registry_file={story.fleet.project}/.wireguard-registry.yml"
    few = tmp_path / "few.yml"
    few.write_text("wireguard: {vars: {wireguard_cidr: 10.0.44.0/24}, hosts: {laptop: }}\n")
    run = story.fleet.finish(story.fleet.start("-e", registry, sources=[few]))
    assert run.code != 0
    assert "no longer has 4 of the 5 nodes that the registry knows" in " ".join(run.output.split())


def test_a_host_that_nobody_can_reach_joins_by_itself(story: Story) -> None:
    fleet = story.fleet
    story.says("newcomer", wireguard_address="10.0.44.6")
    packages = Path(ansible.__file__).parents[1]
    collection = Path(os.environ["ANSIBLE_COLLECTIONS_PATH"]) / "ansible_collections/wirefleet/wireguard"
    needed = ("ansible", "jinja2", "markupsafe", "yaml", "packaging", "resolvelib", "ansible_collections/ansible/posix")
    about = [path.name for name in ("ansible_core", "jinja2") for path in packages.glob(f"{name}-*.dist-info")]
    hand_over(fleet, "/opt/python", packages, *needed, *about)
    target = "/opt/collections/ansible_collections/wirefleet/wireguard"
    hand_over(fleet, target, collection.resolve(), "galaxy.yml", "meta", "playbooks", "plugins", "roles")
    hand_over(fleet, "/root/infra", fleet.project, "inventory.yml", ".wireguard-registry.yml")
    hand_over(fleet, "/root/infra", Path(story.inventory[1]).parent, Path(story.inventory[1]).name)
    (pull,) = re.findall(r"^ansible-playbook (.* --connection local .*)$", DOCUMENT.read_text(), re.MULTILINE)
    said = fleet.ssh(
        "newcomer",
        "export PYTHONPATH=/opt/python ANSIBLE_COLLECTIONS_PATH=/opt/collections LC_ALL=C.UTF-8; cd /root/infra; "
        f"python3 -m ansible playbook -i inventory.yml {pull.replace('inventory.yml', 'later.yml')}",
    )
    print(said)
    assert re.search(r"^newcomer +: .* failed=0 ", said, re.MULTILINE)
    # This is what the host's push and the controller's pull of the registry come to.
    (fleet.project / ".wireguard-registry.yml").write_text(
        fleet.ssh("newcomer", "cat /root/infra/.wireguard-registry.yml")
    )
    with fleet.cut_off("newcomer"):
        assert changed(story.site("--limit", "!newcomer")) == PUBLIC
    story.members.add("newcomer")
    for address, ttl in (("10.0.44.2", 64), ("10.0.44.5", 63)):
        # Who was not answered tries to shake hands every five seconds.
        assert f"ttl={ttl} " in fleet.ssh("newcomer", f"ping -n -c 1 -w 20 {address}")
    assert changed(story.site()) == set()


def hand_over(fleet: Fleet, folder: str, source: Path, *names: str) -> None:
    """Put files of this machine into a folder of the newcomer."""
    packed = subprocess.run(
        ["tar", "-C", source, "--exclude=__pycache__", "-c", *names], capture_output=True, check=True
    ).stdout
    unpack = ["ssh", "-F", fleet.state / "ssh_config", "newcomer", f"mkdir -p {folder} && tar -C {folder} -x"]
    subprocess.run(unpack, input=packed, check=True)


def test_the_plan_in_a_pull_request(story: Story, tmp_path: Path) -> None:
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    job = yaml.safe_load(re.search(r"```yaml\n(# .github/workflows.*?)```", DOCUMENT.read_text(), re.DOTALL)[1])
    *_installation, plan, show = [step["run"] for step in job["jobs"]["plan"]["steps"] if "run" in step]
    for name in ("inventory.yml", ".wireguard-registry.yml"):
        (tmp_path / name).write_bytes((story.fleet.project / name).read_bytes())
    author = ("-c", "user.name=user", "-c", "user.email=user@example.net")
    run(["git", "init", "--quiet"])
    run(["bash", "-ec", f"{plan} -e wireguard_prune=true && git add ."])
    run(["git", *author, "commit", "--quiet", "-m", "as it is"])
    inventory = (tmp_path / "inventory.yml").read_text()
    (tmp_path / "inventory.yml").write_text(inventory + "    tablet: {wireguard_address: 10.0.44.9}\n")
    summary = tmp_path / "summary"
    said = run(["bash", "-ec", f"{plan} -e wireguard_prune=true >&2; {show}"],
               env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)}).stdout  # fmt: skip
    assert summary.read_text() == said
    files = re.findall(r"^\+\+\+ b/wireguard-plan/(\S+)$", said, re.MULTILINE)
    planned = [f"{host}/wg0.conf" for host in (RELAY, "public-server2", "tablet")]
    assert files == [".wireguard-plan", *planned, "topology.json", "topology.mmd"]
    assert said.count("+AllowedIPs = 10.0.44.9/32") == 2
