# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import subprocess
import time

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils._endpoints import State, Timer

ALICE = "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo="
BOB = "Qdg0BEdk/6S+eKbth6+jVvYZtVQddPA+bNpvJygOY3I="
CAROL = "OJSieaXwsUiau0mOYqBJ1Ipqdg+oKEW6917tuxH9dmw="
DAVE = "1PMeaLjRo9wnDJy5lrJvVMnMrYDjnlQlqgLyfHsDoA8="
CONFIG = f"""
[Interface]
# EndpointName = nobody.example:1
[Peer]
# fresh
PublicKey = {ALICE}
# EndpointName = alice.example:1
Endpoint = 198.51.100.1:1

[Peer]
#EndpointName=bob.example:2  # by hand
publickey={BOB}
# [Peer]
# PublicKey = {DAVE}
# # EndpointName = dave.example:4
[Peer]
PublicKey = {CAROL}
Endpoint = 198.51.100.3:3
"""


@pytest.fixture
def timer(tmp_path):
    active = []

    def run_command(argv):
        return (0 if active else 3), "", ""

    timer = Timer(run_command, "wg0", f"{tmp_path}/wg0.conf", units=str(tmp_path))
    timer.active = active
    return timer


def texts(steps):
    return [
        step.text.replace(os.path.dirname(step.words[0]), "") if step.tool == "file" else step.text for step in steps
    ]


INSTALL = [
    "write /wg0.endpoints",
    "write /wireguard-endpoints-wg0.service",
    "write /wireguard-endpoints-wg0.timer",
    "start wireguard-endpoints-wg0.timer",
]
STOP = "stop wireguard-endpoints-wg0.timer"


def test_it_comes_and_goes_with_the_names(timer):
    nothing, all_of_it = timer.wanted(False), timer.wanted(True)
    assert timer.read() == nothing
    assert texts(timer.steps(nothing, all_of_it)) == INSTALL
    assert timer.steps(nothing, nothing) == timer.steps(all_of_it, all_of_it) == []
    removed = [text.replace("write", "remove") for text in INSTALL[:-1]]
    assert texts(timer.steps(all_of_it, nothing)) == [STOP, *removed]


def test_what_a_killed_run_or_an_older_version_left_is_seen(timer, tmp_path):
    wanted = timer.wanted(True)
    *files, _start = timer.steps(timer.wanted(False), wanted)
    for step in files:
        with open(step.words[0], "w") as file:
            file.write(step.data)
    assert texts(timer.steps(timer.read(), wanted)) == [INSTALL[-1]]
    assert texts(timer.steps(timer.read(), timer.wanted(False))) == [
        text.replace("write", "remove") for text in INSTALL[:-1]
    ]
    (tmp_path / "timers.target.wants").mkdir()
    (tmp_path / "timers.target.wants" / timer.name).symlink_to(tmp_path / timer.name)
    timer.active.append(True)
    assert timer.read() == wanted
    (tmp_path / "wg0.endpoints").write_text("old")
    assert texts(timer.steps(timer.read(), wanted)) == [STOP, INSTALL[0], INSTALL[-1]]
    assert timer.steps(timer.read(), timer.read()) == []


def test_the_name_of_its_units_is_escaped(tmp_path):
    state = Timer(None, "a+b=c", "/etc/wireguard/a+b=c.conf").wanted(True)
    assert isinstance(state, State)
    assert list(state.files) == [
        "/etc/wireguard/a+b=c.endpoints",
        r"/etc/systemd/system/wireguard-endpoints-a\x2bb\x3dc.service",
        r"/etc/systemd/system/wireguard-endpoints-a\x2bb\x3dc.timer",
    ]


def test_only_stale_peers_with_a_name_are_looked_up(timer, tmp_path):
    """The script as it is, with a wg that writes down what it is asked to do, and two names that resolve."""
    (tmp_path / "wg0.conf").write_text(CONFIG)
    now = int(time.time())
    shown = "".join(f"{key}\t{age}\n" for key, age in [(ALICE, now - 100), (BOB, now - 140), (CAROL, 0), (DAVE, 0)])
    (tmp_path / "shown").write_text(shown)
    wg = tmp_path / "wg"
    wg.write_text(f'#!/bin/sh\nif [ "$1" = show ]; then cat {tmp_path}/shown; else echo "$*" >>{tmp_path}/did; fi\n')
    getent = tmp_path / "getent"
    getent.write_text(
        """#!/bin/sh
        case "$*" in
            'ahosts alice.example') echo '198.51.100.9    STREAM alice.example' ;;
            'ahosts bob.example') echo '2001:db8::9     STREAM bob.example' ;;
            *) exit 2 ;;
        esac
        """
    )
    for command in (wg, getent):
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    script = next(iter(timer.wanted(True).files.values()))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for expected in (
        [f"set wg0 peer {BOB} endpoint [2001:db8::9]:2"],
        [f"set wg0 peer {ALICE} endpoint 198.51.100.9:1", f"set wg0 peer {BOB} endpoint [2001:db8::9]:2"],
    ):
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "")
        assert sorted((tmp_path / "did").read_text().splitlines()) == sorted(expected)
        (tmp_path / "did").unlink()
        (tmp_path / "shown").write_text(shown.replace(str(now - 100), "0"))
    (tmp_path / "wg0.conf").write_text(CONFIG.replace("bob.example", "dead.example"))
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "dead.example:2 does not resolve\n"
    assert (tmp_path / "did").read_text() == f"set wg0 peer {ALICE} endpoint 198.51.100.9:1\n"


def test_an_interface_in_a_namespace_is_set_there():
    script = next(iter(Timer(None, "wg0", "/etc/wireguard/wg0.conf", "vpn").wanted(True).files.values()))
    assert "nsenter --net=/run/netns/vpn wg set wg0 " in script
    assert "nsenter --net=/run/netns/vpn wg show wg0 " in script


def test_units_that_are_links_are_refused(timer, tmp_path):
    """As systemctl mask makes them: to write there is to write to where they lead."""
    (tmp_path / "wireguard-endpoints-wg0.timer").symlink_to("/dev/null")
    with pytest.raises(OSError, match="wireguard-endpoints-wg0.timer is a symbolic link to /dev/null: it is neither"):
        timer.read()
