# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of /etc/hosts is what blockinfile has written there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible.modules import blockinfile

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _names

BLOCK = "10.44.0.1 a.wg0\nfd44::1 a.wg0\n"


@pytest.fixture
def hosts(tmp_path):
    return tmp_path / "hosts"


@pytest.fixture
def write(run_module, hosts):
    def write(interface, block, state="present"):
        marker = _names.MARKER.format(interface)
        return run_module(blockinfile, path=str(hosts), marker=marker, block=block, state=state, create=True)

    return write


@pytest.mark.parametrize("before", [None, "", "127.0.0.1 localhost", "127.0.0.1 localhost\r\n\n::1 localhost\n"])
def test_the_digest_of_what_was_written(hosts, write, before):
    if before is not None:
        hosts.write_bytes(before.encode())
    assert write("wg0", BLOCK)["changed"]
    assert write("wg1", BLOCK.replace("a", "b"))["changed"]
    found = {"wg0": _names.digest(BLOCK.encode()), "wg1": _names.digest(BLOCK.replace("a", "b").encode())}
    assert _names.digests(hosts.read_bytes()) == found
    assert not write("wg0", BLOCK)["changed"]
    write("wg0", "", "absent")
    assert _names.digests(hosts.read_bytes()) == {"wg1": found["wg1"]}
    write("wg1", "", "absent")
    left = before or ""
    assert hosts.read_bytes() == (left + ("\n" if left and not left.endswith("\n") else "")).encode()


# In a process of its own: what is imported of the controller has modules in the same process warn elsewhere.
ARGUMENTS = """
from ansible.plugins.action import ActionBase
from ansible_collections.wirefleet.wireguard.plugins.action.wg_names import ActionModule

ActionBase._update_module_args = lambda self, _name, given, *_more, **_named: given.update(_ansible_no_log=False)
arguments = {"block": "all names"}
ActionModule._update_module_args(object.__new__(ActionModule), "blockinfile", arguments, {}, ignore_unknown_opts=False)
print(arguments)
"""


def test_the_host_does_not_log_the_names():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", ARGUMENTS], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'block': 'all names', '_ansible_no_log': True}\n"


@pytest.mark.parametrize(
    "damaged",
    [
        "# BEGIN wirefleet.wireguard wg0\n10.44.0.9 x\n",
        "10.44.0.9 x\n# END wirefleet.wireguard wg0\n",
        "# END wirefleet.wireguard wg0\n# BEGIN wirefleet.wireguard wg0\n",
        "# BEGIN wirefleet.wireguard wg0\n" * 2 + "10.44.0.9 x\n# END wirefleet.wireguard wg0\n",
    ],
)
def test_a_block_that_somebody_damaged_is_written_again(hosts, write, damaged):
    hosts.write_text(damaged)
    assert _names.digests(hosts.read_bytes()).get("wg0") != _names.digest(BLOCK.encode())
    write("wg0", BLOCK)
    assert _names.digests(hosts.read_bytes())["wg0"] == _names.digest(BLOCK.encode())
    assert not write("wg0", BLOCK)["changed"]
