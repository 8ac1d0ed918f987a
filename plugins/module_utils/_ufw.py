# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ufw: it runs after.init, if that is executable, whenever it has loaded its own rules (ufw-framework(8)).

ufw's rules are chains of iptables. Ours are beside them, and come back by a line in that file.
"""

from __future__ import annotations

import os
import re
import stat

from ansible_collections.wirefleet.wireguard.plugins.module_utils._files import text_of
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find

SETTINGS = "/etc/ufw/ufw.conf"
AFTER_INIT = "/etc/ufw/after.init"
OURS = "  # wirefleet.wireguard: "
# Keeps what the file says from being run by the change of its mode.
NOTE = f"exit 0{OURS}the file had mode {{:o}}"


def is_active() -> bool:
    """Whether ufw is there, and enabled."""
    return find("ufw") is not None and re.search(r"^ENABLED=yes", text_of(SETTINGS) or "", re.MULTILINE) is not None


def mode() -> int:
    """The mode of the file."""
    return stat.S_IMODE(os.stat(AFTER_INIT).st_mode)


def hooked(text: str, interface: str, command: str, mode_now: int) -> str:
    """The file with a line of an interface that runs a command, ahead of all that others have in it."""
    hook = f'[ "$1" != start ] || {command}{OURS}{interface}\n'
    if hook in text:
        return text
    shebang, *rest = _without(text, interface)
    if not mode_now & 0o111:
        rest.insert(0, NOTE.format(mode_now) + "\n")
    return "".join([shebang, hook, *rest])


def unhooked(text: str, interface: str) -> str:
    """The file without that line; without any such line it is as it was."""
    lines = _without(text, interface)
    ours = [line for line in lines if OURS in line]
    if len(ours) == 1 and ours[0].startswith("exit 0"):
        lines.remove(ours[0])
    return "".join(lines)


def _without(text: str, interface: str) -> list[str]:
    return [line for line in text.splitlines(keepends=True) if not line.endswith(f"{OURS}{interface}\n")]


def mode_for(text: str, text_now: str, mode_now: int) -> int:
    """The mode that the file is to have with a text."""
    if OURS in text:
        return mode_now | 0o110
    noted = re.search(NOTE.format(0)[:-1] + "([0-7]+)", text_now)
    return int(noted[1], 8) if noted else mode_now
