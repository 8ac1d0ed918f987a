# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an inventory to the verified network: the published network "full" in the lab, told in plain words.

Leaves the lab `demo` up to look around in, and the user's side of it (inventory, registry, plan, log) in .cache/demo.
Ansible and the collection must be on PATH and ANSIBLE_COLLECTIONS_PATH, as the Makefile sees to.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab import CACHE, Lab, LabError, say

NETWORK = Path(__file__).resolve().parent / "full"
PROJECT = CACHE / "demo"
LOG = PROJECT / "ansible.log"
ADDRESSES = {
    "public-server1": "10.0.44.1",
    "public-server2": "10.0.44.2",
    "home-server": "10.0.44.3",
    "laptop": "10.0.44.4",
    "phone": "10.0.44.5",
}
RELAY = "public-server1"
PATHS = {"64": "direct", "63": "relayed"}  # by the ttl with which a reply arrives: a relay takes one off


def shown(path: Path) -> str:
    return os.path.relpath(path)


def playbook(lab: Lab, name: str) -> str:
    """Run a playbook of the collection; says the names of its plays, writes all else to the log, gives its recap."""
    command = ["ansible-playbook", "-i", "inventory.yml", "-i", str(lab.state / "connection.json")]
    command.append(f"wirefleet.wireguard.{name}")
    say(f"\n$ {' '.join(command)}")
    started = time.monotonic()
    recap = ""
    with LOG.open("a") as log:
        process = subprocess.Popen(
            command,
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        )  # fmt: skip
        for line in process.stdout or ():
            log.write(line)
            if play := re.match(r"PLAY \[(.*)\]", line):
                say(f"  {play[1]}")
            recap += line if re.search(r": ok=\d+ .*changed=\d+", line) else ""
    if process.wait() != 0:
        lines = LOG.read_text().splitlines()[-40:]
        raise LabError("\n".join([*lines, "", f"{name} failed, see {shown(LOG)}; the hosts are still up"]))
    say(f"  done in {time.monotonic() - started:.0f} s")
    return recap


def ping_matrix(lab: Lab) -> dict[str, dict[str, str]]:
    """Who reaches whom, and how, by the hosts' own ping: {source: {target: direct, relayed or "no reply"}}."""
    ttls_of = r"ping -n -c 3 -i 0.3 -W 3 ADDRESS | sed -n 's/.* ttl=\([0-9]*\) .*/\1/p' | sort -u"
    processes = {}
    for source in ADDRESSES:
        others = {target: address for target, address in ADDRESSES.items() if target != source}
        pings = [f"echo {target} $({ttls_of.replace('ADDRESS', address)}) &" for target, address in others.items()]
        command = lab.ssh(source, " ".join([*pings, "wait"]))
        processes[source] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    matrix = {}
    for source, process in processes.items():
        replies = [line.split() for line in process.communicate()[0].splitlines()]
        ttls = {target: " ".join(rest) for target, *rest in replies}
        matrix[source] = {
            target: PATHS.get(ttls.get(target, ""), "no reply") for target in ADDRESSES if target != source
        }
    return matrix


def show(matrix: dict[str, dict[str, str]]) -> None:
    say(f"{'':16}" + "".join(f"{target:16}" for target in ADDRESSES))
    for source, row in matrix.items():
        say(f"{source:16}" + "".join(f"{row.get(target, '-'):16}" for target in ADDRESSES))


def main() -> None:
    started = time.monotonic()
    lab = Lab("demo")
    lab.down()
    say("Five hosts with sshd and Python: two on a make-believe internet, three behind NAT routers of their own.")
    lab.up(NETWORK / "network.toml")

    shutil.rmtree(PROJECT, ignore_errors=True)
    PROJECT.mkdir(parents=True)
    shutil.copy(NETWORK / "inventory.yml", PROJECT)
    say(f"\nThe inventory, {shown(PROJECT / 'inventory.yml')}:\n")
    say("".join(f"    {line}\n" for line in (PROJECT / "inventory.yml").read_text().splitlines()).rstrip())

    playbook(lab, "site")
    say("\nThe same once more, which has nothing left to do:")
    recap = playbook(lab, "site")
    say("".join(f"    {line}\n" for line in recap.splitlines()).rstrip())
    if recap.count(" changed=0 ") != len(ADDRESSES):
        raise LabError("the second run changed something; the hosts are still up, make demo-clean removes them")
    playbook(lab, "plan")

    say("\nEvery host pings every other over the network (direct: ttl 64; through the relay: ttl 63):\n")
    matrix = ping_matrix(lab)
    show(matrix)
    reached = sum(path in PATHS.values() for row in matrix.values() for path in row.values())
    say(f"\n{reached} of 20 pairs reach each other.")

    say(f"\n{RELAY}$ wg show")
    subprocess.run(lab.ssh(RELAY, "wg show"), check=True)
    say(f"""
The picture (GitHub and mermaid.live draw it):  {shown(PROJECT / "wireguard-plan/topology.mmd")}
What each host got, for review:                 {shown(PROJECT / "wireguard-plan")}/HOST/
What Ansible said:                              {shown(LOG)}
Look around:                                    make demo-shell HOST=laptop
Remove it all:                                  make demo-clean

Ready after {time.monotonic() - started:.0f} s.""")
    if reached != 20:
        raise LabError("not every pair reaches each other; the hosts are still up, make demo-clean removes them")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        if os.geteuid() != 0:
            raise LabError("namespaces and mounts need root")
        main()
    except (LabError, OSError, subprocess.CalledProcessError) as problem:
        sys.exit(f"\ndemo: {problem}")
    except KeyboardInterrupt:
        sys.exit("\ndemo: interrupted; make demo-clean removes what is there")
