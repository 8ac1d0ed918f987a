# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _ufw

THEIRS = '#!/bin/sh\nset -e\ncase "$1" in\nstart) echo mine;;\nesac\n'
HOOK = '[ "$1" != start ] || sh /etc/wireguard/{0}.iptables  # wirefleet.wireguard: {0}\n'
ENDS = "exit 0  # wirefleet.wireguard: the file had mode 640\n"


def hooked(text, interface="wg0", mode=0o640):
    return _ufw.hooked(text, interface, f"sh /etc/wireguard/{interface}.iptables", mode)


def test_what_nobody_has_run_before_is_not_run_because_of_us():
    text = hooked(THEIRS)
    assert text == THEIRS.replace("sh\n", "sh\n" + HOOK.format("wg0") + ENDS, 1)
    assert _ufw.mode_for(text, THEIRS, 0o640) == 0o750
    # And it is as it was afterwards.
    assert _ufw.unhooked(text, "wg0") == THEIRS
    assert _ufw.mode_for(THEIRS, text, 0o750) == 0o640


def test_what_is_run_stays_so():
    text = hooked(THEIRS, mode=0o755)
    assert text == THEIRS.replace("sh\n", "sh\n" + HOOK.format("wg0"), 1)
    assert _ufw.mode_for(text, THEIRS, 0o755) == 0o755
    assert _ufw.unhooked(text, "wg0") == THEIRS
    assert _ufw.mode_for(THEIRS, text, 0o755) == 0o755


def test_several_interfaces():
    one = hooked(THEIRS)
    both = hooked(one, "wg1", mode=0o750)
    assert both.count("exit 0") == 1
    assert [hooked(both, name, mode=0o750) for name in ("wg0", "wg1")] == [both, both]
    assert _ufw.unhooked(both, "wg1") == one
    assert _ufw.unhooked(_ufw.unhooked(both, "wg0"), "wg1") == THEIRS


def test_an_outdated_line_is_replaced():
    outdated = _ufw.hooked(THEIRS, "wg0", "/bin/sh other", 0o640)
    assert hooked(outdated, mode=0o750) == hooked(THEIRS)


@pytest.mark.parametrize(
    ("command", "settings", "expected"),
    [
        ("/usr/sbin/ufw", "ENABLED=yes\nLOGLEVEL=low\n", True),
        ("/usr/sbin/ufw", "ENABLED=no\n", False),
        ("/usr/sbin/ufw", None, False),
        (None, "ENABLED=yes\n", False),
    ],
)
def test_whether_it_is_active(monkeypatch, tmp_path, command, settings, expected):
    file = tmp_path / "ufw.conf"
    if settings is not None:
        file.write_text(settings)
    monkeypatch.setattr(_ufw, "SETTINGS", str(file))
    monkeypatch.setattr(_ufw, "find", {"ufw": command}.get)
    assert _ufw.is_active() is expected
