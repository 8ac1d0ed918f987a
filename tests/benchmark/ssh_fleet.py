# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `site` costs, beside `ansible -m ping` over the same hosts: first on 20 real SSH hosts of tests/lab, then the
controller's own share on up to 400 hosts whose connection answers from memory (connection_plugins/wirefleet_stub.py).

Run it as ``make benchmark-fleet``, as root; about ten minutes, and no packet leaves the machine. What is compared is
measured in turns, and the medians count, so that a machine that has other work slows all of it alike. Exits 1 if a goal
is missed.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
LAB = [sys.executable, HERE.parent / "lab/lab.py"]
NAME = "benchmark"
HOSTS, PUBLIC = 20, 4  # host1 is the relay; all NAT-ed hosts share a network
REPETITIONS = 3
STUBS = (50, 100, 200, 400)
# Ansible as it comes, and with the one setting that everybody with a fleet makes.
SETTINGS = {"as it comes": {}, "pipelining": {"ANSIBLE_PIPELINING": "1"}}

PING = ("ansible", "all", "-m", "ping")
VERIFIED = ("ansible-playbook", "wirefleet.wireguard.site")
SITE = (*VERIFIED, "--skip-tags", "verify")
BASE, NOTHING_TO_DO, AND_VERIFY = "ansible -m ping", "site --skip-tags verify, nothing to do", "site, nothing to do"
GOALS = {NOTHING_TO_DO: 3.0, AND_VERIFY: 4.5}


class Cost(NamedTuple):
    """What a command took: seconds by the clock, CPU seconds of the controller with ssh, CPU seconds of the hosts."""

    clock: float
    controller: float
    hosts: float


class Project:
    """A user's folder, from which Ansible is run."""

    def __init__(self, folder: Path, *connection: str) -> None:
        self.folder = folder
        self._connection = connection

    def has(self, size: int) -> None:
        """Write the inventory: a relay, other public hosts, and NAT-ed ones."""
        hosts: dict[str, dict[str, object]] = {f"host{number}": {} for number in range(1, size + 1)}
        for number in range(1, PUBLIC + 1):
            hosts[f"host{number}"]["wireguard_endpoint"] = f"198.51.100.{number}"
        hosts["host1"]["wireguard_relay"] = True
        network = {"vars": {"wireguard_cidr": "10.44.0.0/16"}, "hosts": hosts}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump({"wireguard": network}))

    def run(self, command: tuple[str, ...], *more: str, **environment: str) -> str:
        """What Ansible says; it must succeed."""
        done = subprocess.run(
            [*command, "-i", "inventory.yml", *self._connection, *more],
            env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", "ANSIBLE_NOCOLOR": "1", **environment},
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stdout[-5000:]}{done.stderr[-2000:]}")
        return done.stdout

    def cost(self, command: tuple[str, ...], changes: bool = False, **environment: str) -> Cost:
        """What a run takes, which must change something, or nothing."""
        started, controller, hosts = time.monotonic(), children(), cpu_of_hosts()
        said = self.run(command, **environment)
        cost = Cost(time.monotonic() - started, children() - controller, cpu_of_hosts() - hosts)
        if command != PING and changes != bool(re.search(r" changed=[1-9]", said)):
            raise SystemExit(f"{command} was to change {'something' if changes else 'nothing'}:\n{said[-5000:]}")
        return cost


def children() -> float:
    """CPU seconds of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of_hosts() -> float:
    """CPU seconds of the lab's hosts so far."""
    found = [path.read_text() for path in Path("/sys/fs/cgroup").glob(f"**/wf-{NAME}/cpu.stat")]
    return sum(int(text.split()[1]) for text in found) / 1e6


# --- 20 real hosts ----------------------------------------------------------------------------------------------------


def network() -> str:
    """What the lab builds: public hosts on the internet, the others behind one NAT router."""
    text = '[routers.router]\noutside = "internet"\n'
    text += 'links = { internet = ["198.51.100.100/24"], office = ["192.168.3.1/24"] }\n'
    for number in range(1, HOSTS + 1):
        text += f'\n[hosts.host{number}]\ndistribution = "{"bookworm" if number % 2 else "trixie"}"\n'
        if number <= PUBLIC:
            text += f'links = {{ internet = ["198.51.100.{number}/24"] }}\n'
        else:
            text += f'links = {{ office = ["192.168.3.{number + 1}/24"] }}\ngateways = ["192.168.3.1"]\n'
    return text


@contextlib.contextmanager
def project(*connection: str) -> Iterator[Project]:
    """A folder with nothing in it but an empty configuration."""
    with tempfile.TemporaryDirectory(prefix="wirefleet-benchmark-") as folder:
        (Path(folder) / "ansible.cfg").touch()
        yield Project(Path(folder), *connection)


@contextlib.contextmanager
def lab() -> Iterator[Project]:
    """The hosts, and the folder of their user."""
    with project("-i", f"/run/wf-{NAME}/connection.json") as user:
        (user.folder / "network.toml").write_text(network())
        subprocess.run([*LAB, "up", NAME, user.folder / "network.toml"], check=True)
        try:
            yield user
        finally:
            subprocess.run([*LAB, "down", NAME], check=True)


def remote_calls(said: str) -> str:
    """Of a run at -vvv with pipelining, in which each command of ssh is one module: how many a host got."""
    calls = re.findall(r"^<(\S+)> SSH: EXEC ", said, re.MULTILINE)
    per_host = [calls.count(host) for host in sorted(set(calls))]
    return f"{min(per_host)} to {max(per_host)}, {statistics.mean(per_host):.1f} on average"


def measure_fleet() -> bool:
    """Prints a table for each setting; whether the goals are met."""
    met = True
    with lab() as user:
        for setting, environment in SETTINGS.items():
            rows: dict[str, list[Cost]] = {}
            user.has(HOSTS - 1)
            # Connections are open before anything is measured, as they are for whoever runs something twice.
            user.run(PING, **environment)
            rows[f"site --skip-tags verify, first converge of {HOSTS - 1}"] = [user.cost(SITE, True, **environment)]
            user.has(HOSTS)
            user.run(PING, **environment)
            rows[f"site --skip-tags verify, 1 host added to {HOSTS - 1}"] = [user.cost(SITE, True, **environment)]
            user.run(VERIFIED, **environment)  # sessions are there
            for _repetition in range(REPETITIONS):
                for name, command in ((BASE, PING), (NOTHING_TO_DO, SITE), (AND_VERIFY, VERIFIED)):
                    rows.setdefault(name, []).append(user.cost(command, **environment))
            base = median(rows[BASE])
            print(f"\n{HOSTS} SSH hosts, forks 5, {setting}; as multiples of {BASE}")
            print(f"  {'':48} clock   ratio   CPU ratio   CPU controller, hosts")
            for name, costs in sorted(rows.items(), key=lambda row: median(row[1]).clock):
                cost = median(costs)
                ratio, goal = cost.clock / base.clock, GOALS.get(name)
                cpu = (cost.controller + cost.hosts) / (base.controller + base.hosts)
                print(
                    f"  {name:48}{cost.clock:5.1f} s {ratio:6.2f} {cpu:9.2f} "
                    f"{cost.controller:13.1f} s {cost.hosts:7.1f} s"
                    + (f"   goal {goal}: {'met' if ratio <= goal else 'MISSED'}" if goal else "")
                )
                met = met and not (goal and ratio > goal)
            if setting == "pipelining":
                print("  modules per host:")
                for name, command in ((NOTHING_TO_DO, SITE), (AND_VERIFY, VERIFIED)):
                    print(f"  {name:48}{remote_calls(user.run(command, '-vvv', **environment))}")
            user.run(("ansible-playbook", "wirefleet.wireguard.remove"), ANSIBLE_PIPELINING="1")
            (user.folder / ".wireguard-registry.yml").unlink()
    return met


def median(costs: list[Cost]) -> Cost:
    """Of each figure on its own."""
    return Cost(*map(statistics.median, zip(*costs)))


# --- up to 400 hosts of no substance ----------------------------------------------------------------------------------


def measure_controller() -> None:
    """Prints the controller's CPU time over the size of the fleet, and the straight line through it."""
    variables = "ansible_connection: wirefleet_stub\nansible_python_interpreter: /usr/bin/python3\n"
    found: dict[str, list[float]] = {BASE: [], NOTHING_TO_DO: []}
    with project() as user:
        (user.folder / "group_vars").mkdir()
        (user.folder / "group_vars/all.yml").write_text(variables)
        for size in STUBS:
            user.has(size)
            environment = {"ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection_plugins"), "ANSIBLE_PIPELINING": "1"}
            user.run(SITE, **environment)  # the registry is written, so that nothing is left to do
            for name, command in ((BASE, PING), (NOTHING_TO_DO, SITE)):
                found[name].append(user.cost(command, **environment).controller)
    print("\nCPU time of the controller alone, stub hosts; ms per host beyond the first fleet's")
    print(f"  {'':42}" + "".join(f"{size:>10}" for size in STUBS) + "    fit")
    for name, seconds in found.items():
        slope, intercept = statistics.linear_regression(STUBS, seconds)
        worst = max(abs(slope * size + intercept - one) / one for size, one in zip(STUBS, seconds))
        print(
            f"  {name:42}"
            + "".join(f"{one:>8.1f} s" for one in seconds)
            + f"    {intercept:.1f} s + {slope * 1000:.0f} ms a host, off by {worst:.0%} at most"
        )
    ratios = [site / ping for site, ping in zip(found[NOTHING_TO_DO], found[BASE])]
    print(f"  {'ratio':42}" + "".join(f"{ratio:>10.2f}" for ratio in ratios))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    parts = sys.argv[1:] or ["controller", "fleet"]
    if "controller" in parts:
        measure_controller()
    sys.exit("fleet" in parts and not measure_fleet())
