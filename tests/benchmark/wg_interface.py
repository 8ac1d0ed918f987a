# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times wg_interface with many peers, each with one IPv4 and one IPv6 network. To be run by wg_interface.sh.

Every run is a process of its own, as Ansible starts it, so a run's time holds the start of Python as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
import subprocess
import sys
import time

RUN = """
import json, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_interface
wg_interface.main()
"""


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


def run(arguments):
    """Seconds, peak memory in MiB, and the result of one run of the module."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    process.stdin.close()
    result = json.loads(process.stdout.read())
    _pid, _status, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    assert not result.get("failed"), result
    return time.perf_counter() - start, usage.ru_maxrss // 1024, result


def timed(*commands):
    start = time.perf_counter()
    for command in commands:
        subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def best(measure, times=5):
    """The fastest of several: what the machine needs when nothing else disturbs it."""
    return min((measure() for _attempt in range(times)), key=lambda one: one if isinstance(one, float) else one[0])


def report(what, seconds, more=""):
    print(f"  {what:42} {seconds:8.3f} s  {more}", flush=True)


def measure(count, compare):
    print(f"{count} peers")
    wish = options(count)
    one = {**wish, "peers": [*wish["peers"][:-1], {**wish["peers"][-1], "persistent_keepalive": 25}]}
    create, memory, _result = run(wish)
    report("create", create, f"{memory} MiB")
    look = best(lambda: timed(["wg", "show", "wg0", "dump"], ["ip", "-j", "route"]))
    report("wg show dump + ip -j route", look)
    no_op, memory, result = best(lambda: run(wish))
    assert not result["changed"]
    report("no change", no_op, f"{memory} MiB, {no_op / look:.1f} times wg show dump + ip -j route")
    change, _memory, result = run(one)
    assert result["changed"]
    report("one changed peer", change)
    if compare:
        timed(["wg-quick", "down", "wg0"])
        up = timed(["wg-quick", "up", "wg0"])
        report("wg-quick up", up, f"{up / create:.1f} times create")
    run({"name": "wg0", "state": "absent"})


def main():
    os.umask(0o077)
    with open("/etc/wireguard/wg0.key", "w", encoding="ascii") as file:
        subprocess.run(["wg", "genkey"], stdout=file, check=True)
    started = best(lambda: timed([sys.executable, "-c", "import ansible.module_utils.basic"]))
    report("start of Python with Ansible's own code", started)
    measure(1, compare=True)
    measure(1000, compare=True)
    measure(10000, compare=False)
    print(
        f"peak memory of this script's children: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB"
    )


if __name__ == "__main__":
    main()
