# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of a network's nodes in hosts(5): one marked block for each interface, which blockinfile writes."""

from __future__ import annotations

import hashlib
import re

HOSTS = "/etc/hosts"
# As ansible.builtin.blockinfile takes it, whose words for {mark} are BEGIN and END.
MARKER = "# {{mark}} wirefleet.wireguard {}"
_MARKED = re.compile(rb"# (BEGIN|END) wirefleet\.wireguard (\S+)\n?")


def digest(block: bytes) -> str:
    """What tells whether two blocks are equal."""
    return hashlib.sha256(block).hexdigest()


def digests(content: bytes) -> dict[str, str]:
    """{interface: digest of its block} of a file; of several marks of one kind the last counts, as to blockinfile."""
    lines = content.splitlines(keepends=True)
    marks: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines):
        marked = _MARKED.fullmatch(line)
        if marked:
            marks[marked[2].decode("ascii", "replace"), marked[1].decode()] = number
    return {
        interface: digest(b"".join(lines[begin + 1 : marks[interface, "END"]]))
        for (interface, mark), begin in marks.items()
        if mark == "BEGIN" and (interface, "END") in marks
    }
