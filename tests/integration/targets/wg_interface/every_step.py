# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leads wg_interface to and fro between states, and each time kills it, or fails it, at another of its changes.

After a kill the next run must repair everything; after a failure everything must be as it was before. Runs as root in a
box (see setup_box), or on a host with systemd that is there for nothing else, since it makes wg0 there. Prints one line
a way and ends with 1 at the first thing that is wrong.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _apply, _files, _netns, _unit
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_interface

KEYS = [subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout for _number in range(4)]
PEERS = [
    subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout.strip()
    for key in KEYS
]
HOOK_LOG = "/run/hooks-of-every-step"
# The files whose content is part of the state. Hooks are written as they mostly are: up fails if it is up already.
FILES = ("/etc/wireguard/wg0.conf", "/etc/wireguard/wg0.netns", HOOK_LOG)


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
STOPPED = {**SMALL, "started": False}
NAMESPACE = {**FULL, "netns": "vpn", **hooks("namespace")}
STATES = {
    "nothing": ABSENT,
    "small": SMALL,
    "other": OTHER,
    "full tunnel": FULL,
    "stopped": STOPPED,
    "in a namespace": NAMESPACE,
}
# Each is gone both ways.
WAYS = (
    ("nothing", "small"),
    ("small", "other"),
    ("other", "full tunnel"),
    ("full tunnel", "small"),
    ("full tunnel", "nothing"),
    ("small", "stopped"),
    ("nothing", "in a namespace"),
    ("full tunnel", "in a namespace"),
)
# What takes an interface away is not rolled back when it fails: the next run goes on with it.
NOT_ROLLED_BACK = ("nothing", "stopped")


def run_command(_module, argv, data=None, binary_data=False):
    """Does for the module what Ansible's own does, without the copy of the whole process that precedes each command
    there: that is most of the time these tests take under User-Mode Linux."""
    if data is not None and not binary_data:
        data += "\n"
    standard_input = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **standard_input)
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def in_this_process(_module, lock):
    """Does for the module what `changing` does, without a process of its own, whose changes could not be counted."""
    with lock:
        yield


def run(options, module=wg_interface):
    """Run a module in this process; its result."""
    printed = io.StringIO()
    with (
        patch_module_args({"name": "wg0", **options} if module is wg_interface else options),
        mock.patch.object(basic.AnsibleModule, "run_command", run_command),
        mock.patch.object(wg_interface, "changing", in_this_process),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    return json.loads(printed.getvalue())


def is_killed(options, number):
    """Run the module in a process of its own that is killed at a change; False if there are not so many changes."""
    child = os.fork()
    if child == 0:
        with at_change(number, kill):
            result = run(options)
        os._exit(1 if result.get("failed") else 0)
    _pid, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"the module failed without being killed at change {number} of {options}")
    return os.WIFSIGNALED(status)


@contextlib.contextmanager
def at_change(number, act):
    """Do ``act`` in the place of the change with this number (a command or a write); counts from 0."""
    count = itertools.count()
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

    with (
        mock.patch.object(_apply.Applier, "__init__", init),
        mock.patch.object(_unit._Runner, "__init__", unit_init),
        mock.patch.object(_files, "write_atomically", write),
    ):
        yield


def kill(_argv):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(argv):
    if argv[0].startswith("/etc/") or argv[0].startswith("/run/"):
        raise OSError("no space left on this device, says the test")
    return 1, "", "made to fail by the test"


def output(*argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options).stdout


def network():
    """What a run may change where this process is, but for a port, which is not the same when the kernel chooses it."""
    dump = sorted(line.split("\t") for line in output("wg", "show", "wg0", "dump").splitlines())
    peers = [[*line[:4], *line[7:]] for line in dump if len(line) == 8]
    found = {"device": [[*line[:2], line[3]] for line in dump if len(line) == 4], "peers": peers}
    for line in peers:
        line[3] = sorted(line[3].split(","))
    for family in "-4", "-6":
        # One process for all; without a link the last two have no answer.
        questions = "rule\naddress show dev wg0\nroute show table all dev wg0\n"
        answers = [
            json.loads(line)
            for line in output("ip", "-j", family, "-force", "-batch", "-", input=questions).splitlines()
        ]
        rules, links, routes = (answers + [[], []])[:3]
        found[f"rules {family}"] = [{**rule, "priority": None} for rule in rules]
        found[f"mtu {family}"] = [link["mtu"] for link in links]
        found[f"addresses {family}"] = sorted(
            f"{info['local']}/{info['prefixlen']}"
            for link in links
            for info in link["addr_info"]
            if not info["local"].startswith("fe80")
        )
        # The kernel makes its own for an address a moment after it.
        found[f"routes {family}"] = sorted(json.dumps(route) for route in routes if route.get("protocol") != "kernel")
    # By table, since they are listed in the order in which they were made.
    found["nft"] = sorted(output("nft", "list", "ruleset").split("table "))
    return found


def state():
    """All that a run may change, in the host's own network namespace and in another."""
    found = network()
    found["namespace"] = _netns.exists("vpn")
    if found["namespace"]:
        with _netns.entered("vpn"):
            found |= {f"{what} in the namespace": value for what, value in network().items()}
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
    wrong = {key: (wanted[key], found.get(key)) for key in wanted if wanted[key] != found.get(key)}
    if wrong:
        sys.exit(f"{scenario}, {what}: expected and found differ: {json.dumps(wrong, indent=1)}")


def reach(name):
    """Run the module, undisturbed; all there is then."""
    result = run(STATES[name])
    if result.get("failed"):
        sys.exit(f"{name}: {result['msg']}")
    return state()


def kill_at_every_change(ends, wanted):
    """Go to and fro until no change is left to be killed at; how many there were on the way to each end."""
    kills = dict.fromkeys(ends, 0)
    for number in itertools.count():
        for start, end in (ends, ends[::-1]):
            if is_killed(STATES[end], number):
                kills[end] += 1
                way = f"{start} -> {end}, killed at change {number}"
                expect(way, "repaired", wanted[end], reach(end))
                expect(way, "second run", {"changed": False}, run(STATES[end]))
        if number > max(kills.values()):
            break
    return kills


def fail_at_every_change(start, end, changes, wanted):
    """Fail at each of so many changes on the way from ``start`` to ``end``; how often the module failed."""
    failures = 0
    for number in range(changes):
        way = f"{start} -> {end}, change {number} made to fail"
        with at_change(number, fail):
            result = run(STATES[end])
        if not result.get("failed"):
            # A hook that takes down may fail; what it leaves is not ours to clear.
            reach("nothing")
            _files.remove(HOOK_LOG)
            reach(end)
            reach(start)
            continue
        failures += 1
        if end in NOT_ROLLED_BACK:
            expect(way, f"next run after {result['msg']}", wanted[end], reach(end))
            reach(start)
        else:
            if "all changes were rolled back" not in result["msg"]:
                sys.exit(f"{way}: {result}")
            expect(way, result["msg"], wanted[start], state())
    expect(f"{start} -> {end}", "not made to fail", wanted[end], reach(end))
    return failures


def test(ends):
    # What is there in the end depends on the start as well: a peer keeps an endpoint that is no longer declared.
    reach(ends[0])
    wanted = {end: reach(end) for end in reversed(ends)}
    kills = kill_at_every_change(ends, wanted)
    for start, end in (ends, ends[::-1]):
        failures = fail_at_every_change(start, end, kills[end], wanted)
        if not kills[end] or not failures:
            sys.exit(f"{start} -> {end}: nothing was tested")
        then = "finished" if end in NOT_ROLLED_BACK else "rolled back"
        print(f"{start} -> {end}: repaired after {kills[end]} kills, {then} after {failures} failures", flush=True)
    reach("nothing")


def write_keys():
    os.umask(0o077)
    _files.write_atomically("/etc/wireguard/wg0.key", KEYS[3].encode(), 0o600)
    psk = subprocess.run(["wg", "genpsk"], capture_output=True, check=True).stdout
    _files.write_atomically("/etc/wireguard/psk", psk, 0o600)


def main():
    write_keys()
    untouched = state()
    for ends in WAYS:
        test(ends)
    expect("all", "nothing is left", untouched, state())


if __name__ == "__main__":
    main()
