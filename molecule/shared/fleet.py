# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as its user runs it and as its hosts themselves, asked over ssh, say that it is. No module of ours asks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import yaml

NEWCOMER = Path(__file__).resolve().parents[2] / "tests/lab/newcomer/newcomer.yml"
# A fault for `Fleet.broken`, with what mends it.
READ_ONLY_ETC = ("mount --bind /etc /etc; mount -o remount,bind,ro /etc", "umount /etc")
MANAGED_FILES = {"wg0.conf", "wg0.key", "wg0.nft"}

# Twice a second the host writes down whom it has as peers, and without end it pings (name, address) 20 times a second.
WATCH = r"""
systemd-run --quiet --unit=watch-peers bash -c \
    'while sleep 0.5; do echo $(wg show wg0 peers || echo none); done >/run/peers.seen 2>/dev/null'
"""
PING = r"""
systemd-run --quiet --unit=ping-{name} -p StandardOutput=file:/run/ping-{name} ping -n -D -i 0.05 {address}
"""
# Lost are the numbers below the last one that was answered; those above it are still on their way.
OBSERVE = r"""
set -eu
echo "public_key: '$(wg show wg0 public-key)'"
echo "peers: [$(wg show wg0 peers | paste -sd,)]"
echo "peers_in_file: [$(wg-quick strip wg0 | sed -n 's/^PublicKey = //p' | paste -sd,)]"
echo "mtu: $(cat /sys/class/net/wg0/mtu)"
echo "files: [$(ls -A /etc/wireguard | paste -sd,)]"
echo "leftovers: [$(find /etc /run -xdev -regex '.*/\(.*\.new\|.*\.tmp\|\.ansible.*\)' 2>/dev/null | paste -sd,)]"
echo "samples:"
sort /run/peers.seen | uniq -c | while read -r count peers; do echo "- {count: $count, peers: [${peers// /, }]}"; done
: > /run/peers.seen
echo "pings:"
for log in /run/ping-*; do
    [ ! -e "$log" ] || awk -v now="$(date +%s.%N)" -v name="${log#/run/ping-}" '
        match($0, /icmp_seq=[0-9]+/) && / ttl=/ {
            number = substr($0, RSTART + 9, RLENGTH - 9) + 0
            if (!(number in answered)) { answered[number] = 1; count++ }
            if (number > last) { last = number; at = substr($1, 2) }
        }
        END { printf "  %s: {sent: %d, lost: %d, silent: %.1f}\n", name, last, last - count, now - at }' "$log"
done
"""


class Ping(NamedTuple):
    """A continuous ping: how many were sent and lost so far, and the seconds since the last answer."""

    sent: int
    lost: int
    silent: float


class Observed(NamedTuple):
    """What a host says of itself; peers by name. ``samples`` are the sets of peers that it had since the last look."""

    peers: frozenset[str]
    peers_in_file: frozenset[str]
    samples: frozenset[frozenset[str]]
    sampled: int
    mtu: int
    strange_files: frozenset[str]
    pings: dict[str, Ping]


class Run(NamedTuple):
    """A finished ansible-playbook: ``recap`` is {host: {ok, changed, unreachable, failed, ...}}."""

    code: int
    output: str
    recap: dict[str, dict[str, int]]

    def hosts(self, word: str) -> set[str]:
        """The hosts of which the recap counts something under this word."""
        return {host for host, counts in self.recap.items() if counts[word]}

    def told_to_run(self) -> list[set[str]]:
        """Whom the closing words of site name: hosts whose peers have new keys, hosts that did not finish."""
        said = re.search(r"^    msg:\n((?:        .*|      run again.*)\n)+", self.output, re.MULTILINE)
        return [set(hosts) for hosts in yaml.safe_load(said[0])["msg"].values()] if said else []


class Fleet:
    """The hosts of the lab, and the user's folder with inventory and registry."""

    def __init__(self) -> None:
        self.state = Path(os.environ["LAB_STATE"])
        self.project = Path(os.environ["LAB_PROJECT"])
        self.files = self.project_files()

    # --- the user ---

    def start(
        self, *arguments: str, playbook: str = "site", sources: Sequence[Path] = (), **environment: str
    ) -> subprocess.Popen:
        """Start ansible-playbook, of a playbook of the collection's or of a file, in a session of its own.

        ``sources`` are other inventories than the whole one.
        """
        if not playbook.endswith(".yml"):
            playbook = f"wirefleet.wireguard.{playbook}"
        inventories = [word for source in sources or [self.project] for word in ("-i", source)]
        return subprocess.Popen(
            ["ansible-playbook", *inventories, playbook, *arguments],
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def finish(self, process: subprocess.Popen, said: str = "") -> Run:
        """Wait for a run, whose first lines may have been read already; pytest shows what it said if a test fails."""
        output = said + process.communicate()[0]
        print(f"$ {' '.join(map(str, process.args))}\n{output}")
        recap = {
            host: {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", counts)}
            for host, counts in re.findall(r"^(\S+) +: (ok=\d+ .*)$", output, re.MULTILINE)
        }
        return Run(process.returncode, output, recap)

    def run(self, *arguments: str, **how: str) -> Run:
        """A whole run, see `start`."""
        return self.finish(self.start(*arguments, **how))

    def until(self, process: subprocess.Popen, pattern: str) -> str:
        """Read what a run says up to the first line that matches; what was read."""
        said = ""
        for line in process.stdout:
            said += line
            if re.search(pattern, line):
                return said
        raise AssertionError(f"the run never said {pattern!r}:\n{said}")

    def kill(self, process: subprocess.Popen) -> None:
        """SIGKILL the controller and all that it has started; what runs on the hosts already comes to its end."""
        for pid in _stopped_family(process.pid):
            os.kill(pid, signal.SIGKILL)
        self.finish(process)
        assert process.returncode == -signal.SIGKILL
        time.sleep(2)

    def project_files(self) -> set[str]:
        """The names of all that lies beside the inventory."""
        return {path.name for path in self.project.iterdir()}

    def registry(self) -> dict[str, dict]:
        """{node: its record}."""
        return read_registry(self.project)

    # --- the hosts ---

    def ssh(self, host: str, script: str) -> str:
        """Run a script on a host; fails if it fails."""
        command = ["ssh", "-F", self.state / "ssh_config", host, "bash -s"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{host}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def inside(self, host: str) -> list[str]:
        """What to put before a command of this machine, to run it in the network namespace of a host."""
        return ["ip", "netns", "exec", f"{self.state.name}.{host}"]

    def watch(self, host: str) -> None:
        """Have a host write down its peers from now on."""
        self.ssh(host, WATCH)

    def ping(self, host: str, name: str, address: str) -> None:
        """Have a host ping an address 20 times a second, from now on."""
        self.ssh(host, PING.format(name=name, address=address))

    def observe(self, hosts: list[str]) -> dict[str, Observed]:
        """Ask all these hosts at once. A peer that neither they nor the registry know appears by its key."""
        with ThreadPoolExecutor() as pool:
            said = dict(zip(hosts, map(yaml.safe_load, pool.map(lambda host: self.ssh(host, OBSERVE), hosts))))
        registry = self.registry()
        name_of = {record.get("public_key"): name for name, record in registry.items()}
        name_of |= {found["public_key"]: host for host, found in said.items()}

        def named(keys: list[str]) -> frozenset[str]:
            return frozenset(name_of.get(key, key) for key in keys)

        for host, found in said.items():
            assert registry.get(host, {}).get("public_key") in (found["public_key"], None), host
        return {
            host: Observed(
                named(found["peers"]),
                named(found["peers_in_file"]),
                frozenset(named(sample["peers"]) for sample in found["samples"] or ()),
                sum(sample["count"] for sample in found["samples"] or ()),
                found["mtu"],
                frozenset(found["files"]) - MANAGED_FILES | frozenset(found["leftovers"]),
                {name: Ping(**counts) for name, counts in (found["pings"] or {}).items()},
            )
            for host, found in said.items()
        }

    @contextlib.contextmanager
    def cut_off(self, host: str) -> Iterator[None]:
        """Meanwhile sshd refuses everybody, those who are logged in too. The host's tunnels stay."""
        nft = [*self.inside(host), "nft"]
        chain = "chain input { type filter hook input priority -300; tcp dport 22 reject with tcp reset; }"
        subprocess.run([*nft, f"table inet cut_off {{ {chain}; }}"], check=True)
        try:
            yield
        finally:
            subprocess.run([*nft, "delete table inet cut_off"], check=True)

    @contextlib.contextmanager
    def broken(self, host: str, script: str, mend: str) -> Iterator[None]:
        """A host with a fault, which is mended afterwards."""
        self.ssh(host, script)
        try:
            yield
        finally:
            self.ssh(host, mend)


def _stopped_family(pid: int) -> list[int]:
    """A process and its descendants, each stopped before its children are looked for, so that none is born unseen."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return []
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *(one for child in children.stdout.split() for one in _stopped_family(int(child)))]


def read_registry(project: Path) -> dict[str, dict]:
    """{node: its record} of the network of an inventory's folder."""
    return yaml.safe_load((project / ".wireguard-registry.yml").read_text())["networks"]["wg0"]
