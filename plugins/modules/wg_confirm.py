#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_confirm
short_description: Undo a change of a host's tunnels unless the controller confirms that it can still reach the host
version_added: 0.1.0
description:
  - For changes that can cut off the very connection they are made over, as those of a host that is managed through its
    tunnel.
  - Before the change, V(armed) notes how interfaces, firewall, sysctls and files are, and leaves a process on the host
    that puts them back when O(timeout) is over. After the change, V(confirmed) over a fresh connection calls it off.
  - That process survives the end of the connection and of the controller. It does not survive a reboot within that
    time, from which the host comes up as its files are then.
author:
  - wirefleet contributors (@wirefleet)
options:
  state:
    description:
      - V(armed) before the change. If another run has armed and neither confirmed nor undone, this waits until it has.
      - V(confirmed) keeps the change. It fails if the host has put back its previous state already.
      - V(undone) puts back at once, after a change that failed.
    type: str
    choices: [armed, confirmed, undone]
    required: true
  timeout:
    description: Seconds from V(armed) until the host puts back its previous state by itself.
    type: int
    default: 60
  interfaces:
    description:
      - The interfaces that may change. With each go its file, its service, and the rules that
        M(wirefleet.wireguard.wg_firewall) has for it.
    type: list
    elements: str
    default: []
  sysctls:
    description: The kernel's settings that may change.
    type: list
    elements: str
    default: []
  files:
    description: Further files that may change, appear or disappear.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Does nothing in check mode, in which there is nothing to undo.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
seealso:
  - module: wirefleet.wireguard.wg_interface
  - module: wirefleet.wireguard.wg_firewall
"""

EXAMPLES = r"""
- name: Note how wg0 is, and have the host go back to that in 30 seconds
  wirefleet.wireguard.wg_confirm:
    state: armed
    timeout: 30
    interfaces: [wg0]

- name: Change the interface that this connection runs over
  wirefleet.wireguard.wg_interface:
    name: wg0
    addresses: [10.44.0.2/32]
    peers:
      - public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
        endpoint: relay1.example.net:51820
        allowed_ips: [10.44.0.0/24]

- name: Reach the host once more
  ansible.builtin.wait_for_connection:
    timeout: 60

- name: Keep the change
  wirefleet.wireguard.wg_confirm:
    state: confirmed
"""

RETURN = r"""
problems:
  description: What could not be put back.
  returned: success, unless O(state=armed)
  type: list
  elements: str
  sample: []
"""

import os
import stat

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _firewall, _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import FirewallError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import sysctl_path
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module
from ansible_collections.wirefleet.wireguard.plugins.module_utils._undo import Outcome, PutBack, Undo


def note_interface(run_command: RunCommand, name: str) -> PutBack:
    """How an interface is, and the way back. Raises DeviceError and OSError."""
    interface = Interface(run_command, name, warn=lambda message: None)
    before = interface.look(wants_policy=True)

    def put_back() -> list[str]:
        with interface.lock():
            return interface.put_back_later(before)

    return put_back


def note_firewall(run_command: RunCommand, name: str) -> PutBack:
    """Which rules there are for an interface, in any kind of firewall, and the way back. Raises FirewallError and
    OSError.
    """
    before = [(backend, backend.read()) for backend in _firewall.every(run_command, name)]

    def put_back() -> list[str]:
        for backend, state in before:
            now = backend.read()
            if now != state:
                backend.apply(now, state)
        return []

    return put_back


def note_sysctl(name: str) -> PutBack:
    """The kernel's value of a setting, and the way back. Raises OSError."""
    path = sysctl_path(name)
    before = _files.read(path)

    def put_back() -> list[str]:
        if before is not None and _files.read(path) != before:
            with open(path, "wb") as file:
                file.write(before)
        return []

    return put_back


def note_file(path: str) -> PutBack:
    """The content of a file, and the way back. Raises OSError."""
    before = _files.read_own(path)
    mode = 0 if before is None else stat.S_IMODE(os.stat(path).st_mode)

    def put_back() -> list[str]:
        if before is None:
            _files.remove(path)
        elif _files.read_own(path) != before:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _files.write_atomically(path, before, mode)
        return []

    return put_back


def arm(module: Module, undo: Undo) -> None:
    """Note everything, then arm. Raises ValueError, DeviceError, FirewallError and OSError."""
    params, run_command = module.params, module.run_command
    if params["timeout"] < 1:
        raise ValueError(f"timeout {params['timeout']} is not a number of seconds from 1 on")
    names = [_values.interface(name) for name in params["interfaces"]]

    def note_all() -> list[PutBack]:
        # The firewall goes back first: what it keeps out, no interface brings in.
        return [
            *(note_firewall(run_command, name) for name in names),
            *(note_file(path) for path in params["files"]),
            *(note_interface(run_command, name) for name in names),
            *map(note_sysctl, params["sysctls"]),
        ]

    undo.arm(run_command, params["timeout"], note_all)


def say(outcome: Outcome) -> str:
    """What became of the change, for people."""
    if outcome.problems:
        return f"the host tried to put back its previous state, which failed: {'; '.join(outcome.problems)}"
    return "the host has put back its previous interfaces, firewall and sysctls"


def main() -> None:
    """Entry point of the module."""
    texts = {"type": "list", "elements": "str", "default": []}
    module = Module(
        argument_spec={
            "state": {"type": "str", "choices": ["armed", "confirmed", "undone"], "required": True},
            "timeout": {"type": "int", "default": 60},
            "interfaces": texts,
            "sysctls": texts,
            "files": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    undo = Undo()
    try:
        if module.params["state"] == "armed":
            arm(module, undo)
            module.exit_json(changed=False)
        outcome = undo.call_off() if module.params["state"] == "confirmed" else undo.undo_now()
    except LookupError:
        module.fail_json(msg="nothing is armed on this host: a reboot forgets it")
    except (ValueError, DeviceError, FirewallError, OSError) as error:
        module.fail_json(msg=str(error))
    if outcome.undone and module.params["state"] == "confirmed":
        module.fail_json(msg=f"the change was not confirmed in time, so {say(outcome)}")
    if outcome.problems:
        module.fail_json(msg=say(outcome))
    module.exit_json(changed=outcome.undone, problems=list(outcome.problems))


if __name__ == "__main__":
    main()
