# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _detached, _rollback
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import Outcome, Rollback, take_lock

SOON, NEVER = 0.2, 60


def no_command(argv):
    raise AssertionError(argv)


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "rollback")


@pytest.fixture
def rollback(directory, monkeypatch):
    # Processes of tests stay in the session of the tests.
    monkeypatch.setattr(_detached, "find", lambda command: None)
    monkeypatch.setattr(take_lock, "__defaults__", (SOON,))
    rollback = Rollback(directory)
    yield rollback
    with contextlib.suppress(LookupError):
        rollback.roll_back_now()


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "state"
    file.write_text("before")
    return file


def note(*files):
    """As a module does it: what is now, and the way back to it, which records by whom it was gone."""

    def note_one(file):
        before = file.read_text()

        def roll_back():
            # What the test waits for comes last.
            (file.parent / "pid").write_text(str(os.getpid()))
            file.write_text(before)
            return []

        return roll_back

    return lambda: [note_one(file) for file in files]


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def guards(directory):
    """The pids of the processes that have the directory open, as guards have."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            links = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
            if int(pid) != os.getpid() and directory in links:
                found.append(int(pid))
    return found


def acting_guard(directory):
    """The guard that holds the lock of the file whose name is the state."""
    until(lambda: _rollback._processes.lock_holders(f"{directory}/armed"))
    [pid] = _rollback._processes.lock_holders(f"{directory}/armed")
    return pid


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not living() & set(pids))


def living():
    """All processes but zombies, which whoever started them has not asked about yet."""
    return {process.pid for process in _rollback._processes._processes()}


@pytest.fixture
def child():
    """``child(code, *arguments)`` runs a script in a session of its own and returns it when it has printed a line."""
    started = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_unconfirmed_change_is_rolled_back_by_another_process(rollback, file):
    rollback.arm(no_command, SOON, note(file))
    file.write_text("after")
    until(lambda: file.read_text() == "before")
    assert int((file.parent / "pid").read_text()) != os.getpid()
    assert rollback.confirm() == Outcome(rolled_back=True)


def test_confirmed_change_stays(rollback, directory, file):
    rollback.arm(no_command, SOON, note(file))
    file.write_text("after")
    assert rollback.confirm() == Outcome(rolled_back=False)
    until(lambda: not guards(directory))
    assert file.read_text() == "after"


def test_failed_change_is_rolled_back_at_once(rollback, file):
    rollback.arm(no_command, NEVER, note(file))
    file.write_text("after")
    assert rollback.roll_back_now() == Outcome(rolled_back=True)
    assert file.read_text() == "before"


def test_answers_stay_the_same_when_repeated(directory, rollback, file):
    first = Rollback(directory, "first")
    first.arm(no_command, NEVER, note(file))
    assert [first.confirm(), first.confirm()] == [Outcome(rolled_back=False)] * 2
    second = Rollback(directory, "second")
    second.arm(no_command, NEVER, note(file))
    assert [second.roll_back_now(), second.confirm()] == [Outcome(rolled_back=True)] * 2


def test_confirmation_of_another_change_is_refused(directory, rollback, file):
    Rollback(directory, "mine").arm(no_command, NEVER, note(file))
    for end in (Rollback(directory, "yours").confirm, Rollback(directory, "yours").roll_back_now):
        with pytest.raises(LookupError):
            end()
    assert Rollback(directory, "mine").confirm() == Outcome(rolled_back=False)


def test_failing_part_does_not_prevent_the_others(rollback, file):
    def fails():
        raise OSError("disk full")

    rollback.arm(no_command, NEVER, lambda: [fails, *note(file)(), lambda: ["a peer is gone"]])
    file.write_text("after")
    assert rollback.roll_back_now() == Outcome(rolled_back=True, problems=("disk full", "a peer is gone"))
    assert file.read_text() == "before"


def test_next_run_waits_for_what_is_pending(rollback, file):
    rollback.arm(no_command, SOON, note(file))
    file.write_text("unconfirmed")
    rollback.arm(no_command, NEVER, note(file))
    assert file.read_text() == "before"
    file.write_text("after")
    rollback.roll_back_now()
    assert file.read_text() == "before"


def test_change_after_the_rollback_is_refused(rollback, file):
    rollback.arm(no_command, NEVER, note(file))
    with rollback.while_armed():
        file.write_text("in time")
    rollback.roll_back_now()
    with pytest.raises(ValueError, match="expired before this change started"), rollback.while_armed():
        file.write_text("too late")
    assert file.read_text() == "before"


def test_change_without_an_armed_rollback_is_refused(rollback):
    with pytest.raises(ValueError, match="expired before this change started"), rollback.while_armed():
        pass


def test_rollback_waits_a_moment_for_a_change(rollback, file):
    rollback.arm(no_command, SOON, note(file))
    with rollback.while_armed():
        until(lambda: not os.path.exists(rollback._armed))
        file.write_text("after the timeout")
    assert rollback.confirm() == Outcome(rolled_back=True)
    assert file.read_text() == "before"


CHANGE = """
import subprocess, sys
sys.path[:] = sys.argv[2:]
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import Rollback
with Rollback(sys.argv[1]).while_armed():
    hook = subprocess.Popen(["sleep", "1000"])
    print("ready", flush=True)
    hook.wait()
"""


def test_change_that_hangs_is_killed(rollback, directory, file, child):
    rollback.arm(no_command, NEVER, note(file))
    change = child(CHANGE, directory, *sys.path)
    file.write_text("after")
    [hook] = [one.pid for one in _rollback._processes._processes() if one.session == change.pid != one.pid]
    assert rollback.roll_back_now() == Outcome(rolled_back=True)
    assert file.read_text() == "before"
    assert change.wait() == -signal.SIGKILL
    assert hook not in living()


LOCK = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("ready", flush=True)
time.sleep(1000)
"""


def test_lock_is_taken_by_force(rollback, tmp_path, child):
    holder = child(LOCK, str(tmp_path))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    take_lock(descriptor, str(tmp_path))
    assert holder.wait() == -signal.SIGKILL
    with pytest.raises(BlockingIOError):
        fcntl.flock(os.open(tmp_path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_lock_that_is_only_waited_for_kills_no_process(rollback, tmp_path, child):
    bystander = child("import os, sys, time; os.open(sys.argv[1], 0); print('ready', flush=True); time.sleep(9)",
                      str(tmp_path))  # fmt: skip
    holder = child(LOCK, str(tmp_path))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    take_lock(descriptor, str(tmp_path))
    os.close(descriptor)
    holder.wait()
    assert bystander.poll() is None


def test_second_guard_takes_the_place_of_a_killed_one(rollback, directory, file):
    rollback.arm(no_command, NEVER, note(file))
    first = acting_guard(directory)
    kill(first)
    file.write_text("after")
    assert acting_guard(directory) != first
    with rollback.while_armed():
        pass
    assert rollback.roll_back_now() == Outcome(rolled_back=True)
    assert file.read_text() == "before"


def test_guard_killed_in_mid_rollback_is_replaced(rollback, file, tmp_path):
    before = file.read_text()

    def dies_once():
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        file.write_text(before)
        return []

    rollback.arm(no_command, NEVER, lambda: [dies_once])
    file.write_text("after")
    assert rollback.roll_back_now() == Outcome(rolled_back=True)
    assert file.read_text() == before


def test_change_without_a_living_guard_is_refused(rollback, directory, file):
    rollback.arm(no_command, NEVER, note(file))
    acting_guard(directory)
    kill(*guards(directory))
    with pytest.raises(ValueError, match="would roll this change back were killed"), rollback.while_armed():
        file.write_text("unguarded")
    assert file.read_text() == "before"
    assert rollback.confirm() == Outcome(rolled_back=False, guarded=False)


def test_rollback_without_a_living_guard_is_reported(rollback, directory, file):
    rollback.arm(no_command, NEVER, note(file))
    acting_guard(directory)
    kill(*guards(directory))
    outcome = rollback.roll_back_now()
    assert (outcome.rolled_back, outcome.guarded) == (True, False)
    assert "killed" in outcome.problems[0]
    rollback.arm(no_command, NEVER, note(file))
    assert rollback.confirm() == Outcome(rolled_back=False)


def test_nothing_is_armed(rollback):
    for end in (rollback.confirm, rollback.roll_back_now):
        with pytest.raises(LookupError):
            end()


def test_what_cannot_be_noted_is_not_armed(rollback):
    def fails():
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        rollback.arm(no_command, NEVER, fails)
    with pytest.raises(LookupError):
        rollback.confirm()
