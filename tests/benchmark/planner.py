# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the planner's CPU time and memory grow with the network: the library alone, then the whole plan playbook.

Run it as ``make benchmark``. Each size is a process of its own, so that the peak of memory is its own too. The ratio
per doubling is that of the time beside that of the output: time should grow as the output does. Of the playbook,
Ansible's own share is shown beside it: an empty play over the same inventory, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

NETWORKS = {
    # name: (topology, relays, sizes)
    "hub, 10 relays": ("hub", 10, (1250, 2500, 5000, 10000)),
    "mesh": ("mesh", 0, (125, 250, 500, 1000)),
    "auto, 10 relays, 10 public": ("auto", 10, (625, 1250, 2500, 5000)),
}


def hosts_of(topology: str, relays: int, size: int) -> dict[str, dict[str, object]]:
    """{host: its settings}: relays, public nodes, and NAT-ed ones for the rest; a mesh is all public."""
    hosts: dict[str, dict[str, object]] = {}
    for number in range(size):
        public = topology == "mesh" or number < relays + (10 if topology == "auto" else 0)
        hosts[f"node{number}"] = {
            "wireguard_cidr": "10.0.0.0/8",
            "wireguard_topology": topology,
            **({"wireguard_endpoint": f"node{number}.example.net"} if public else {}),
            **({"wireguard_relay": True} if number < relays else {}),
        }
    return hosts


def measure(topology: str, relays: int, size: int) -> dict[str, float]:
    """Plans one network and renders its files, and the registry once more from its own text."""
    from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
    from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
    from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry import parse_registry, render_registry
    from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import host_slice, plan_files
    from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import key_of

    variables = hosts_of(topology, relays, size)
    keys = {name: {"/etc/wireguard/wg0.key": key_of(name)} for name in variables}
    inventory = Inventory({"all": list(variables), "wireguard": list(variables)}, variables)
    started = time.process_time()
    plan = make_plan(inventory, {}, keys)
    derived = time.process_time()
    written = sum(len(text) for text in plan_files(plan).values())
    rendered = time.process_time()
    registry = render_registry(plan.registry)
    parse_registry(registry, "registry")
    stored = time.process_time()
    parts = sum(len(json.dumps(host_slice(parts))) for parts in plan.hosts().values())
    return {
        "make_plan": derived - started,
        "files": rendered - derived,
        "registry": stored - rendered,
        "parts": time.process_time() - stored,
        "output": (written + parts) / 1e6,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


EMPTY_PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: nothing
      run_once: true
"""


def playbooks(topology: str, relays: int, size: int) -> dict[str, float]:
    """CPU seconds of ansible-playbook with its children: an empty play, and the plan playbook twice."""
    with tempfile.TemporaryDirectory(prefix="wirefleet-benchmark-") as folder:
        inventory, empty = os.path.join(folder, "hosts.json"), os.path.join(folder, "empty.yml")
        with open(inventory, "w") as file:
            json.dump({"wireguard": {"hosts": hosts_of(topology, relays, size)}}, file)
        with open(empty, "w") as file:
            file.write(EMPTY_PLAY)

        def seconds(*words: str) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = ["ansible-playbook", "-i", inventory, *words]
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        plan = "wirefleet.wireguard.plan"
        return {"empty": seconds(empty), "first": seconds(plan), "again": seconds(plan)}


def main() -> None:
    """Prints a table for each kind of network, and one for the playbook."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--one", nargs=3, metavar=("TOPOLOGY", "RELAYS", "SIZE"), help="measure one network, print JSON"
    )
    parsed = arguments.parse_args()
    if parsed.one:
        topology, relays, size = parsed.one
        print(json.dumps(measure(topology, int(relays), int(size))))
        return
    for name, (topology, relays, sizes) in NETWORKS.items():
        print(
            f"\n{name}\n  nodes  make_plan    files  registry    parts    total    output    memory"
            "  per doubling: time, output"
        )
        before = None
        for size in sizes:
            run = subprocess.run(
                [sys.executable, __file__, "--one", topology, str(relays), str(size)],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ,
            )
            found = json.loads(run.stdout)
            total = sum(found[part] for part in ("make_plan", "files", "registry", "parts"))
            growth = f"{total / before[0]:.1f}, {found['output'] / before[1]:.1f}" if before else ""
            print(
                f"{size:>7} {found['make_plan']:>8.2f} s {found['files']:>6.2f} s {found['registry']:>7.2f} s "
                f"{found['parts']:>6.2f} s {total:>6.2f} s "
                f"{found['output']:>6.1f} MB {found['memory']:>6.0f} MB  {growth}"
            )
            before = total, found["output"]
    print("\nthe plan playbook, CPU time")
    print("  network                           empty play  plan, first  ratio  plan, unchanged  ratio")
    for topology, relays, size in (("hub", 10, 1000), ("hub", 10, 10000), ("mesh", 0, 500)):
        found = playbooks(topology, relays, size)
        print(
            f"  {topology}, {size} nodes".ljust(34)
            + f"{found['empty']:>10.1f} s {found['first']:>10.1f} s {found['first'] / found['empty']:>6.1f} "
            f"{found['again']:>14.1f} s {found['again'] / found['empty']:>6.1f}"
        )


if __name__ == "__main__":
    main()
