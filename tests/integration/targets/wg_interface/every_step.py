# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs wg_interface again and again, and each time kills it, or fails it, at another of its steps.

After a kill the next run must repair everything; after a failure everything must be as it was before. Runs as root in a
box (see setup_box), or on a host with systemd that is there for nothing else, since it makes wg0 there. Prints one line
a scenario and ends with 1 at the first thing that is wrong.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys

from ansible.module_utils import basic

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _apply, _files, _unit
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_interface

KEYS = [subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout for _number in range(4)]
PEERS = [
    subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout.strip()
    for key in KEYS
]
HOOK_LOG = "/run/hooks-of-every-step"
# The files whose content is part of the state. Hooks are written as they mostly are: up fails if it is up already.
FILES = ("/etc/wireguard/wg0.conf", HOOK_LOG)


def hooks(word):
    return {
        "post_up": [f"test ! -e {HOOK_LOG}", f"echo {word} > {HOOK_LOG}"],
        "post_down": [f"rm {HOOK_LOG}"],
    }


ABSENT = {"state": "absent"}
SMALL = {
    "addresses": ["10.44.0.1/24", "fd44::1/64"],
    "listen_port": 51820,
    "peers": [
        {"public_key": PEERS[0], "allowed_ips": ["10.44.0.2/32", "10.9.0.0/24"], "endpoint": "198.51.100.1:9"},
        {"public_key": PEERS[1], "allowed_ips": ["10.44.0.3/32"], "preshared_key_file": "/etc/wireguard/psk"},
    ],
    **hooks("small"),
}
OTHER = {
    "addresses": ["10.44.0.9/24", "fd44::1/128"],
    "listen_port": 51821,
    "mtu": 1300,
    "fwmark": "0x77",
    "peers": [
        {"public_key": PEERS[1], "allowed_ips": ["10.9.0.0/24", "10.44.0.3/32"], "endpoint": "198.51.100.1:10"},
        {"public_key": PEERS[2], "allowed_ips": ["10.8.0.0/24"], "persistent_keepalive": 25},
    ],
    **hooks("other"),
}
FULL = {
    "addresses": ["10.44.0.2/32", "fd44::2/128"],
    "peers": [{"public_key": PEERS[0], "allowed_ips": ["0.0.0.0/0", "::/0"], "endpoint": "198.51.100.1:9"}],
}
SCENARIOS = {
    "nothing -> small": (ABSENT, SMALL),
    "small -> other": (SMALL, OTHER),
    "other -> full tunnel": (OTHER, FULL),
    "full tunnel -> small": (FULL, SMALL),
    "small -> nothing": (SMALL, ABSENT),
    "full tunnel -> nothing": (FULL, ABSENT),
    "small -> stopped": (SMALL, {**SMALL, "started": False}),
}


class Killed(Exception):
    """The child process was killed where it should be."""


def run(options, prepare=None):
    """Run the module in a child process, changed by ``prepare``; its result."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": {"name": "wg0", **options}}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        if prepare:
            prepare()
        with os.fdopen(writer, "w") as out, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            wg_interface.main()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as result:
        text = result.read()
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise Killed
    return json.loads(text)


def at_change(number, act):
    """``prepare`` that replaces the change number ``number`` (a command or a write) by ``act``; counts from 0."""

    def prepare():
        count = iter(range(10**6))
        real_init, real_write = _apply.Applier.__init__, _files.write_atomically
        real_unit_init = _unit._Runner.__init__

        def counting(run_command):
            def counted(argv, **options):
                reads = argv[1:2] == ["show"]
                return act(argv) if not reads and next(count) == number else run_command(argv, **options)

            return counted

        def init(self, run_command, *arguments):
            real_init(self, counting(run_command), *arguments)

        def unit_init(self, run_command):
            real_unit_init(self, counting(run_command))

        def write(path, *arguments):
            if next(count) == number:
                act([path])
            real_write(path, *arguments)

        _apply.Applier.__init__, _files.write_atomically = init, write
        _unit._Runner.__init__ = unit_init

    return prepare


def kill(_argv):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(argv):
    if argv[0].startswith("/etc/") or argv[0].startswith("/run/"):
        raise OSError("no space left on this device, says the test")
    return 1, "", "made to fail by the test"


def state():
    """All that a run may change."""

    def output(*argv):
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    dump = sorted(line.split("\t") for line in output("wg", "show", "wg0", "dump").splitlines())
    peers = [[*line[:4], *line[7:]] for line in dump if len(line) == 8]
    found = {"device": [line for line in dump if len(line) == 4], "peers": peers}
    for line in peers:
        line[3] = sorted(line[3].split(","))
    for family in "-4", "-6":
        links = json.loads(output("ip", "-j", family, "address", "show", "dev", "wg0") or "[]")
        found[f"addresses {family}"] = sorted(
            f"{info['local']}/{info['prefixlen']}"
            for link in links
            for info in link["addr_info"]
            if not info["local"].startswith("fe80")
        )
        found[f"mtu {family}"] = [link["mtu"] for link in links]
        lines = output("ip", family, "route", "show", "table", "all", "dev", "wg0").splitlines()
        # The kernel makes its own for an address a moment after it.
        found[f"routes {family}"] = sorted(line.strip() for line in lines if "proto kernel" not in line)
        rules = [line.split("\t")[1] for line in output("ip", family, "rule").splitlines()]
        found[f"rules {family}"] = rules
    found["nft"] = [output("nft", "list", "ruleset", family) for family in ("ip", "ip6", "inet")]
    if os.path.isdir("/run/systemd/system"):
        found["unit"] = output("systemctl", "show", "wg-quick@wg0", "--property=ActiveState,UnitFileState")
        found["drop-ins"] = [files for _path, _folders, files in os.walk("/run/systemd/system") if files]
    for path in FILES:
        content = _files.read(path)
        found[path] = None if content is None else content.decode()
    found["left behind"] = sorted(
        name
        for directory in ("/etc/wireguard", "/run")
        for name in os.listdir(directory)
        if name.endswith(".new") or name.startswith("wg_interface")
    )
    return found


def expect(scenario, what, wanted, found):
    wrong = {key: (wanted[key], found[key]) for key in wanted if wanted[key] != found[key]}
    if wrong:
        sys.exit(f"{scenario}, {what}: expected and found differ: {json.dumps(wrong, indent=1)}")


def without_ports(found):
    """A port that the kernel chose, and the mark of a rule, are not the same every time."""
    found = copy.deepcopy(found)
    for line in found["device"]:
        line[2] = "port"
    return found


def reach(options):
    result = run(options)
    assert not result.get("failed"), result
    return without_ports(state())


def test(scenario, start, end):
    reach(ABSENT)
    reach(start)
    wanted = reach(end)
    expect(scenario, "second run", {"changed": False}, run(end))

    kills = failures = 0
    for number in range(1000):
        before = reach(start)
        try:
            run(end, at_change(number, kill))
            break
        except Killed:
            kills += 1
        expect(scenario, f"killed at change {number}", wanted, reach(end))
        expect(scenario, f"second run after a kill at change {number}", {"changed": False}, run(end))

    # What takes an interface away is not undone: the next run goes on.
    undone = end.get("state") != "absent" and end.get("started", True)
    for number in range(1000):
        before = reach(start)
        result = run(end, at_change(number, fail))
        if not result.get("failed"):
            if number >= kills:
                break
            # A hook that takes down may fail; what it leaves is not ours to clear.
            reach(ABSENT)
            _files.remove(HOOK_LOG)
            continue
        failures += 1
        if undone:
            if "all was put back as it was" not in result["msg"]:
                sys.exit(f"{scenario}, change {number} made to fail: {result}")
            expect(scenario, f"change {number} made to fail ({result['msg']})", before, without_ports(state()))
        expect(scenario, f"run after change {number} was made to fail", wanted, reach(end))
    if not kills or not failures:
        sys.exit(f"{scenario}: nothing was tested")
    print(f"{scenario}: repaired after {kills} kills, put back after {failures} failures", flush=True)
    reach(ABSENT)


def main():
    os.umask(0o077)
    _files.write_atomically("/etc/wireguard/wg0.key", KEYS[3].encode(), 0o600)
    psk = subprocess.run(["wg", "genpsk"], capture_output=True, check=True).stdout
    _files.write_atomically("/etc/wireguard/psk", psk, 0o600)
    untouched = without_ports(state())
    for scenario, (start, end) in SCENARIOS.items():
        test(scenario, start, end)
    expect("all", "nothing is left", untouched, without_ports(state()))


if __name__ == "__main__":
    main()
