# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import time

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _detached
from ansible_collections.wirefleet.wireguard.plugins.module_utils._undo import Outcome, Undo

SOON, NEVER = 0.2, 60


def no_command(argv):
    raise AssertionError(argv)


@pytest.fixture
def undo(tmp_path, monkeypatch):
    # Processes of tests stay in the session of the tests.
    monkeypatch.setattr(_detached, "find", lambda command: None)
    return Undo(str(tmp_path / "undo"))


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "state"
    file.write_text("before")
    return file


def note(*files):
    """As a module does it: what is now, and the way back to it, which tells by whom it was gone."""

    def note_one(file):
        before = file.read_text()

        def put_back():
            # What the test waits for comes last.
            (file.parent / "pid").write_text(str(os.getpid()))
            file.write_text(before)
            return []

        return put_back

    return lambda: [note_one(file) for file in files]


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_not_confirmed_is_undone_by_another_process(undo, file):
    undo.arm(no_command, SOON, note(file))
    file.write_text("after")
    until(lambda: file.read_text() == "before")
    assert int((file.parent / "pid").read_text()) != os.getpid()
    assert undo.call_off() == Outcome(undone=True)


def test_what_is_confirmed_stays(undo, file):
    undo.arm(no_command, SOON, note(file))
    file.write_text("after")
    assert undo.call_off() == Outcome(undone=False)
    time.sleep(3 * SOON)
    assert file.read_text() == "after"
    with pytest.raises(LookupError):
        undo.call_off()


def test_what_failed_is_undone_at_once(undo, file):
    undo.arm(no_command, NEVER, note(file))
    file.write_text("after")
    assert undo.undo_now() == Outcome(undone=True)
    assert file.read_text() == "before"


def test_one_thing_that_cannot_be_put_back_does_not_keep_another_from_it(undo, file):
    def fails():
        raise OSError("disk full")

    undo.arm(no_command, NEVER, lambda: [fails, *note(file)(), lambda: ["a peer is gone"]])
    file.write_text("after")
    assert undo.undo_now() == Outcome(undone=True, problems=("disk full", "a peer is gone"))
    assert file.read_text() == "before"


def test_the_next_run_waits_for_what_is_pending_and_then_looks(undo, file):
    undo.arm(no_command, SOON, note(file))
    file.write_text("unconfirmed")
    undo.arm(no_command, NEVER, note(file))
    assert file.read_text() == "before"
    file.write_text("after")
    undo.undo_now()
    assert file.read_text() == "before"


def test_a_change_that_comes_after_the_undo_is_refused(undo, file):
    undo.arm(no_command, NEVER, note(file))
    with undo.while_armed():
        file.write_text("in time")
    undo.undo_now()
    with pytest.raises(ValueError, match="over before it began"), undo.while_armed():
        file.write_text("too late")
    assert file.read_text() == "before"


def test_the_undo_waits_for_a_change_that_has_begun(undo, file):
    undo.arm(no_command, SOON, note(file))
    with undo.while_armed():
        time.sleep(3 * SOON)
        file.write_text("after the time was over")
    assert undo.call_off() == Outcome(undone=True)
    assert file.read_text() == "before"


def test_a_change_without_any_undo_is_refused(undo):
    with pytest.raises(ValueError, match="over before it began"), undo.while_armed():
        pass


def test_nothing_is_armed(undo):
    for end in (undo.call_off, undo.undo_now):
        with pytest.raises(LookupError):
            end()


def test_what_cannot_be_noted_is_not_armed(undo):
    def fails():
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        undo.arm(no_command, NEVER, fails)
    with pytest.raises(LookupError):
        undo.call_off()


def test_the_waiting_process_was_killed(undo, file, tmp_path):
    def note_pid():
        def never():
            return []

        return [never]

    undo.arm(no_command, NEVER, note_pid)
    [pid] = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and holds(entry, tmp_path / "undo")]
    os.kill(pid, signal.SIGKILL)
    outcome = undo.undo_now()
    assert outcome.undone
    assert "killed" in outcome.problems[0]
    undo.arm(no_command, NEVER, note(file))
    assert undo.call_off() == Outcome(undone=False)


def holds(pid, directory):
    """Whether a process other than this one has that directory open, as the waiting one has."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return int(pid) != os.getpid() and str(directory) in links
