# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arms a rollback, kills wg_interface at each of its changes, or hangs it, or interrupts it: what is there afterwards
must be what was there before, by itself.

Runs where every_step.py does. Prints one line for each case and ends with 1 at the first thing that is wrong.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import time

from every_step import SMALL, STATES, WAYS, expect, is_killed, reach, run, state, write_keys

from ansible_collections.wirefleet.wireguard.plugins.modules import wg_confirm

NEVER, SOON = 600, 4
ENDLESS = {**SMALL, "mtu": 1380, "post_up": ["sleep 1000 | sleep 1000"], "post_down": []}
# The module as Ansible runs it: in a process of its own, with all that it does about sessions and signals.
MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_interface
with patch_module_args(json.loads(sys.argv[1])):
    wg_interface.main()
"""
HOLD_LOCK = """
import fcntl, os, time
fcntl.flock(os.open("/etc/wireguard", os.O_RDONLY), fcntl.LOCK_EX)
print(flush=True)
time.sleep(1000)
"""


def confirm(**options):
    return run(options, wg_confirm)


def arm(seconds):
    armed = confirm(state="armed", timeout=seconds, interfaces=["wg0"])
    if armed.get("outcome") != "armed":
        sys.exit(f"not armed: {armed}")


def start(options, **streams):
    arguments = {"name": "wg0", **options}
    return subprocess.Popen([sys.executable, "-c", MODULE, json.dumps(arguments)], **streams)


def until(what, condition):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"never: {what}")
        time.sleep(0.05)


def sleeps():
    """Whether the hook that does not end is running."""
    return subprocess.run(["pgrep", "-x", "sleep"], capture_output=True, check=False).returncode == 0


def roll_back_after_every_kill(name, end):
    # WireGuard cannot take an endpoint away from a peer, so those that may have one have one from the start.
    for there in (end, name, end):
        reach(there)
    before = reach(name)
    for number in itertools.count():
        arm(NEVER)
        killed = is_killed(STATES[end], number)
        way = f"{name} -> {end}, {f'killed at change {number}' if killed else 'complete'}"
        expect(way, "outcome", {"outcome": "rolled_back", "problems": []}, confirm(state="rolled_back"))
        expect(way, "rolled back", before, state())
        if not killed:
            print(f"{name} -> {end}: rolled back after {number} kills, and when complete", flush=True)
            return


def expire(what, before):
    """Wait for the rollback, which must be complete."""
    until(f"{what}, rolled back", lambda: os.path.exists("/run/wg_confirm/done"))
    late = confirm(state="confirmed")
    expect(what, "outcome", {"outcome": "rolled_back", "problems": []}, late)
    expect(what, "rolled back", before, state())


def hook_that_does_not_end():
    before = reach("small")
    arm(SOON)
    process = start({**ENDLESS, "require_rollback": True}, stdout=subprocess.PIPE, text=True)
    until("the hook runs", sleeps)
    expire("hook that does not end", before)
    result = json.loads(process.communicate()[0])
    expect("hook that does not end", "result", {"failed": True}, result)
    if "killed by signal 9" not in result["msg"] or sleeps():
        sys.exit(f"the hook that does not end: {result}")
    print("a hook that does not end is killed, and rolled back", flush=True)


def down_hook_that_does_not_end():
    """Hooks of the rollback itself have a limit."""
    reach("nothing")
    before = state()
    arm(NEVER)
    run({**SMALL, "post_up": [], "post_down": ["sleep 1000"]})
    rolled_back = confirm(state="rolled_back")
    expect("hook of the rollback", "outcome", {"outcome": "rolled_back", "problems": []}, rolled_back)
    expect("hook of the rollback", "rolled back", before, state())
    print("a hook of the rollback that does not end is killed", flush=True)


def held_lock():
    before = reach("small")
    arm(SOON)
    holder = subprocess.Popen([sys.executable, "-c", HOLD_LOCK], stdout=subprocess.PIPE)
    holder.stdout.readline()
    # It waits for the lock until the rollback has taken it, and must change nothing then.
    waiting = start({**STATES["other"], "require_rollback": True}, stdout=subprocess.PIPE, text=True)
    subprocess.run(["ip", "link", "set", "dev", "wg0", "mtu", "1300"], check=True)
    expire("held lock", before)
    result = json.loads(waiting.communicate()[0])
    if holder.wait() != -signal.SIGKILL or "expired before this change started" not in result["msg"]:
        sys.exit(f"held lock: {result}")
    expect("held lock", "after all", before, state())
    print("a held lock is taken by force, and what waited for it is refused", flush=True)


@contextlib.contextmanager
def terminal(options):
    """The module in a terminal, as with `ssh -tt`; yields its process and the terminal's other end."""
    pid, other_end = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", MODULE, json.dumps({"name": "wg0", **options})])
    yield pid, other_end
    os.waitpid(pid, 0)


def interrupted_in_a_hook():
    before = reach("small")

    def hang_up(_pid, other_end):
        os.close(other_end)

    def press_control_c(_pid, other_end):
        os.write(other_end, b"\x03")

    def terminate(pid, _other_end):
        os.kill(pid, signal.SIGTERM)

    for interrupt in hang_up, press_control_c, terminate:
        with terminal(ENDLESS) as (pid, other_end):
            until("the hook runs", sleeps)
            interrupt(pid, other_end)
            until("the hook ends", lambda: not sleeps())
        expect(interrupt.__name__, "rolled back", before, state())
        print(f"{interrupt.__name__} in a hook: rolled back", flush=True)


def hung_up_at_any_moment():
    """It has not begun, or is complete, or was rolled back: never half-way."""
    wanted = reach("other")
    before = reach("small")
    for tenths in range(15):
        with terminal(STATES["other"]) as (_pid, other_end):
            time.sleep(tenths / 10)
            os.close(other_end)
        now = state()
        if now not in (before, wanted):
            expect("hung up", f"after {tenths} tenths of a second", wanted, now)
        reach("small")
    print("hung up at any moment: nothing is left half-way", flush=True)


def without_a_reader():
    """With its output closed, as where the connection is gone, it is completed."""
    wanted = reach("other")
    reach("small")
    reader, writer = os.pipe()
    os.close(reader)
    process = start(STATES["other"], stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)
    process.wait()
    expect("without a reader", "completed", wanted, state())
    print("without a reader: completed", flush=True)


def main():
    write_keys()
    untouched = state()
    for way in WAYS:
        roll_back_after_every_kill(*way)
        roll_back_after_every_kill(*reversed(way))
    hook_that_does_not_end()
    down_hook_that_does_not_end()
    held_lock()
    interrupted_in_a_hook()
    hung_up_at_any_moment()
    without_a_reader()
    reach("nothing")
    expect("all", "nothing is left", untouched, state())


if __name__ == "__main__":
    main()
