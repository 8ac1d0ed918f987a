# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _processes

# A module that runs one hook, as a change does; what it prints last is its result.
MODULE = """
import json, subprocess, sys
sys.path[:] = sys.argv[2:]
from ansible_collections.wirefleet.wireguard.plugins.module_utils import _processes

class Module:
    def fail_json(self, **result):
        print(json.dumps(result), flush=True)
        sys.exit(1)

_processes.continue_in_own_session(Module())
_processes.protect()
with _processes.hook():
    code = subprocess.run(["bash", "-c", sys.argv[1]]).returncode
print(json.dumps({"code": code}), flush=True)
"""


@pytest.fixture
def module():
    """``module(hook)`` starts the module and returns its process when the hook has printed a line."""
    started = []

    def start(hook):
        started.append(
            subprocess.Popen([sys.executable, "-c", MODULE, hook, *sys.path], stdout=subprocess.PIPE, text=True)
        )
        assert started[-1].stdout.readline() == "running\n"
        return started[-1]

    yield start
    for process in started:
        _processes.kill(process.pid)
        process.wait()
        process.stdout.close()


def child_of(process):
    [pid] = [one.pid for one in _processes._processes() if one.parent == process.pid]
    return pid


def test_result_of_the_child_is_returned(module):
    process = module("echo running")
    assert json.loads(process.communicate()[0]) == {"code": 0}
    assert process.returncode == 0


def test_module_leads_a_session_of_its_own(module):
    process = module("echo running; sleep 1000")
    child = child_of(process)
    assert os.getsid(child) == child


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_hook_only(module, number):
    process = module("echo running; sleep 1000 | sleep 1000")
    process.send_signal(number)
    assert json.loads(process.communicate(timeout=10)[0]) == {"code": -signal.SIGKILL}


def test_killed_child_is_reported(module):
    process = module("echo running; sleep 1000")
    _processes.kill(child_of(process))
    assert json.loads(process.communicate(timeout=10)[0]) == {
        "msg": "the process that made this change was killed by signal 9"
    }
    assert process.returncode == 1


def test_killed_parent_does_not_stop_the_child(module, tmp_path):
    done = tmp_path / "done"
    process = module(f"echo running; sleep 0.3; touch {done}")
    process.kill()
    deadline = time.monotonic() + 10
    while not done.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_hook_over_its_limit_is_killed():
    code = (
        "import os, subprocess, sys; sys.path[:] = sys.argv[1:]\n"
        "from ansible_collections.wirefleet.wireguard.plugins.module_utils import _processes\n"
        "_processes.protect(0.2)\n"
        "for seconds in '1000', '0':\n"
        "    with _processes.hook():\n"
        "        print(subprocess.run(['sleep', seconds]).returncode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *sys.path], capture_output=True, text=True, start_new_session=True, check=True
    )
    assert done.stdout == "-9\n0\n"
