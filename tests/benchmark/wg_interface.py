# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times wg_interface with many peers, each with one IPv4 and one IPv6 network. To be run by wg_interface.sh.

Every run is a process of its own that begins as on a managed host: with sources in a zip file, which Python compiles at
each start. So beside the bare commands stands what they take in a module that does nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
import typing as t
import zipfile
from pathlib import Path

from ansible.module_utils import basic

LOOK = (["wg", "show", "wg0", "dump"], ["ip", "-j", "route"])
COLLECTION = "ansible_collections/wirefleet/wireguard"
PAYLOAD = "/run/payload.zip"
START = f"""
import sys
sys.path.insert(0, "{PAYLOAD}")
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
"""
RUN = f"""{START}
from {COLLECTION.replace("/", ".")}.plugins.modules import wg_interface
wg_interface.main()
"""
ONLY_LOOK = f"""{START}
module = basic.AnsibleModule(argument_spec=dict())
for command in {LOOK}:
    module.run_command(command, check_rc=True)
module.exit_json(changed=False)
"""


def pack():
    """Write the zip file: what Ansible would send, and more, of which nothing is imported."""
    ansible, collections = Path(basic.__file__).parents[2], Path(os.environ["ANSIBLE_COLLECTIONS_PATH"])
    sources = {
        str(path.relative_to(root)): path.read_bytes()
        for root, folder in (
            (ansible, "ansible/module_utils"),
            (collections, f"{COLLECTION}/plugins/modules"),
            (collections, f"{COLLECTION}/plugins/module_utils"),
        )
        for path in (root / folder).rglob("*.py")
    }
    packages = {f"{parent}/__init__.py" for name in sources for parent in Path(name).parents if parent.name}
    with zipfile.ZipFile(PAYLOAD, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**dict.fromkeys(packages, b""), **sources}.items():
            archive.writestr(name, text)


def options(count):
    peers = [
        {
            "name": f"host{number}",
            "public_key": base64.b64encode(hashlib.sha256(str(number).encode()).digest()).decode(),
            "allowed_ips": [
                f"10.{50 + (number >> 16)}.{number >> 8 & 255}.{number & 255}/32",
                f"fd50::{number + 1:x}/128",
            ],
        }
        for number in range(count)
    ]
    return {"name": "wg0", "addresses": ["10.44.0.1/24", "fd44::1/64"], "listen_port": 51820, "peers": peers}


class Cost(t.NamedTuple):
    """Of processes that were started and waited for, with all that they started themselves."""

    cpu: float  # seconds, of all CPUs together: other work on the machine does not change it
    wall: float  # seconds
    memory: int = 0  # peak of one process, MiB


@contextlib.contextmanager
def measuring(costs):
    """Append to ``costs`` what the block takes."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    costs.append(Cost(cpu, time.perf_counter() - start))


def run(arguments, script=RUN):
    """Cost and result of one run of the module."""
    costs = []
    with measuring(costs):
        # -I: nothing but the zip file leads to Ansible and the collection.
        words = [sys.executable, "-I", "-S", "-c", script]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        process.stdin.close()
        result = json.loads(process.stdout.read())
        _pid, _status, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    assert not result.get("failed"), result
    return costs[0]._replace(memory=usage.ru_maxrss // 1024), result


def timed(*commands):
    """Cost of the commands, one after the other."""
    costs = []
    with measuring(costs):
        for command in commands:
            subprocess.run(command, capture_output=True, check=True)
    return costs[0]


def best(measure, times=5):
    """The cheapest of several: what it takes when nothing else disturbs."""
    return min(measure() for _attempt in range(times))


def report(what, cost, more=""):
    memory = f"{cost.memory} MiB" if cost.memory else ""
    print(f"  {what:42} {cost.wall:7.3f} s  {cost.cpu:7.3f} s CPU  {memory:8} {more}", flush=True)


def measure(count, compare):
    print(f"{count} peers")
    wish = options(count)
    one = {**wish, "peers": [*wish["peers"][:-1], {**wish["peers"][-1], "persistent_keepalive": 25}]}
    create, _result = run(wish)
    report("create", create)
    look = best(lambda: timed(*LOOK))
    report("wg show dump + ip -j route", look)
    module = best(lambda: run({}, ONLY_LOOK)[0])
    report("the same two in an otherwise empty module", module, f"CPU: {module.cpu / look.cpu:.1f} times the bare two")
    no_op = best(lambda: unchanged(wish))
    ratios = f"{no_op.cpu / look.cpu:.1f} times the bare two, {no_op.cpu / module.cpu:.1f} times the empty module"
    report("no change", no_op, f"CPU: {ratios}")
    change, result = run(one)
    assert result["changed"]
    report("one changed peer", change)
    if compare:
        timed(["wg-quick", "down", "wg0"])
        up = timed(["wg-quick", "up", "wg0"])
        report("wg-quick up", up, f"wall: {up.wall / create.wall:.1f} times create")
    run({"name": "wg0", "state": "absent"})


def unchanged(wish):
    cost, result = run(wish)
    assert not result["changed"], result
    return cost


def main():
    os.umask(0o077)
    with open("/etc/wireguard/wg0.key", "w", encoding="ascii") as file:
        subprocess.run(["wg", "genkey"], stdout=file, check=True)
    pack()
    measure(1, compare=True)
    measure(1000, compare=True)
    measure(10000, compare=False)


if __name__ == "__main__":
    main()
