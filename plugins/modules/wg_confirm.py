#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_confirm
short_description: Roll back a change of a host's tunnels that cuts off the controller
version_added: 0.1.0
description:
  - For changes that can cut off the very connection they are made over, as those of a host that is managed through its
    tunnel.
  - With O(changes), one task does all of it. It arms a rollback on the host, makes the changes, connects to the host
    again and confirms. Each host does so by itself, so one that is cut off does not delay the confirmation of others.
  - Before the change the state of interfaces, firewall, sysctls and files is recorded in two processes on the host,
    which bring it back when O(timeout) is over. They survive the end of the connection and of the controller, and one
    of them the end of the other. They do not survive a reboot within that time, from which the host comes up with its
    files as they are then.
  - When the timeout is over, a change that is still running (a hook that never ends) is killed, and one that has not
    begun yet is refused, if it has C(require_rollback).
author:
  - wirefleet contributors (@wirefleet)
options:
  changes:
    description:
      - Modules to run on the host, in this order, each as a dictionary with its full name as the only key and its
        options as value. Action plugins, such as M(ansible.builtin.copy), cannot be run.
      - When one of them fails, those after it are not run, and all is rolled back at once.
      - A module whose result is lost with the connection is run again over a new one.
    type: list
    elements: dict
  armed:
    description:
      - For O(changes), whether a rollback is armed. If V(false) they are run as tasks of their own would be.
      - Nothing is armed in check mode, nor if check mode predicts that none of O(changes) would change anything.
    type: bool
    default: true
  state:
    description:
      - The steps of O(changes), for tasks of your own.
      - V(armed) before the change. If another run has armed a rollback, this waits for the end of it.
      - V(confirmed) after the change, over a new connection. It fails if the host has rolled back already.
      - V(rolled_back) rolls back at once, after a change that failed.
    type: str
    choices: [armed, confirmed, rolled_back]
  change_id:
    description: Any text. What is armed with one is only confirmed or rolled back with the same one.
    type: str
  timeout:
    description: Seconds from the arming until the host rolls back by itself.
    type: int
    default: 60
  interfaces:
    description:
      - The interfaces that may change. Each includes its file, its service, and the rules that
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
    description: Predicts O(changes). Otherwise it does nothing in check mode, in which there is nothing to roll back.
    support: full
  diff_mode:
    description: Shows the differences of O(changes).
    support: full
seealso:
  - module: wirefleet.wireguard.wg_interface
  - module: wirefleet.wireguard.wg_firewall
"""

EXAMPLES = r"""
- name: Change the interface that this connection runs over, and go back if that cuts it off
  wirefleet.wireguard.wg_confirm:
    timeout: 30
    interfaces: [wg0]
    changes:
      - wirefleet.wireguard.wg_firewall:
          name: wg0
          listen_port: 51820
      - wirefleet.wireguard.wg_interface:
          name: wg0
          addresses: [10.44.0.2/32]
          listen_port: 51820
          peers:
            - public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
              endpoint: relay1.example.net:51820
              allowed_ips: [10.44.0.0/24]

# The same with tasks of your own in between.
- name: Record the state of wg0, and have the host go back to it in 30 seconds
  wirefleet.wireguard.wg_confirm:
    state: armed
    timeout: 30
    interfaces: [wg0]

- name: Remove the interface
  wirefleet.wireguard.wg_interface:
    name: wg0
    state: absent
    require_rollback: true

- name: Use a new connection
  ansible.builtin.meta: reset_connection

- name: Keep the change
  wirefleet.wireguard.wg_confirm:
    state: confirmed
"""

RETURN = r"""
outcome:
  description:
    - V(armed), V(confirmed) or V(rolled_back). V(not_armed) if O(changes) needed no rollback, or if none is armed.
    - V(unknown) if the host could not be reached again.
  returned: always, but not in check mode
  type: str
  sample: confirmed
problems:
  description: What could not be rolled back.
  returned: always, but not in check mode
  type: list
  elements: str
  sample: []
results:
  description: For O(changes), the result of each module that was run, with its name as C(module).
  returned: with O(changes)
  type: list
  elements: dict
  sample:
    - {module: wirefleet.wireguard.wg_interface, changed: true, steps: [add route 10.44.0.0/24]}
"""

import os
import stat
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _firewall, _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import FirewallError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import sysctl_path
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import (
    ARGUMENTS,
    Outcome,
    RollBack,
    Rollback,
)


def note_interface(run_command: RunCommand, name: str) -> RollBack:
    """How an interface is, and the way back. Raises DeviceError and OSError."""
    interface = Interface(run_command, name, warn=lambda message: None)
    with interface.lock():
        before = interface.look(wants_policy=True)

    def roll_back() -> list[str]:
        with interface.lock(by_force=True):
            return interface.roll_back_later(before)

    return roll_back


def note_firewall(run_command: RunCommand, name: str) -> RollBack:
    """Which rules there are for an interface, in any kind of firewall, and the way back. Raises FirewallError and
    OSError.
    """
    before = [(backend, backend.read()) for backend in _firewall.every(run_command, name)]

    def roll_back() -> list[str]:
        problems = []
        for backend, state in before:
            now = backend.read()
            if now != state:
                backend.apply(now, state)
                now = backend.read()
            problems += [f"{what} still differs from what it was" for what in state if now[what] != state[what]]
        return problems

    return roll_back


def note_sysctl(name: str) -> RollBack:
    """The kernel's value of a setting, and the way back. Raises OSError."""
    path = sysctl_path(name)
    before = _files.read(path)

    def roll_back() -> list[str]:
        if before is not None and _files.read(path) != before:
            with open(path, "wb") as file:
                file.write(before)
        return []

    return roll_back


def note_file(path: str) -> RollBack:
    """The content of a file, and the way back. Raises OSError."""
    before = _files.read_own(path)
    mode = 0 if before is None else stat.S_IMODE(os.stat(path).st_mode)

    def roll_back() -> list[str]:
        if before is None:
            _files.remove(path)
        elif _files.read_own(path) != before:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _files.write_atomically(path, before, mode)
        return []

    return roll_back


def arm(module: Module, rollback: Rollback) -> None:
    """Note everything, then arm. Raises ValueError, DeviceError, FirewallError and OSError."""
    params, run_command = module.params, module.run_command
    if params["timeout"] < 1:
        raise ValueError(f"timeout {params['timeout']} is not a number of seconds from 1 on")
    names = [_values.interface(name) for name in params["interfaces"]]

    def note_all() -> list[RollBack]:
        # The firewall goes back first: what it keeps out, no interface brings in.
        return [
            *(note_firewall(run_command, name) for name in names),
            *(note_file(path) for path in params["files"]),
            *(note_interface(run_command, name) for name in names),
            *map(note_sysctl, params["sysctls"]),
        ]

    rollback.arm(run_command, params["timeout"], note_all)


def result_of(state: str, outcome: Outcome) -> dict[str, t.Any]:
    """What the module returns when a change is over; with ``failed`` and ``msg`` if it did not end as asked for."""
    result = {
        "changed": outcome.rolled_back,
        "outcome": "rolled_back" if outcome.rolled_back else "confirmed",
        "problems": list(outcome.problems),
    }
    said = "the host has rolled back its interfaces, firewall, sysctls and files"
    if outcome.problems:
        said = f"the host could not roll back everything: {'; '.join(outcome.problems)}"
    if outcome.rolled_back and state == "confirmed":
        return {**result, "failed": True, "msg": f"the change was not confirmed in time, so {said}"}
    if outcome.problems:
        return {**result, "failed": True, "msg": said}
    return result


def run(module: Module) -> dict[str, t.Any]:
    """Do what the options say; returns the result. Raises ValueError, DeviceError, FirewallError and OSError."""
    state, rollback = module.params["state"], Rollback(change=module.params["change_id"])
    if state == "armed":
        arm(module, rollback)
        return {"changed": False, "outcome": "armed", "problems": []}
    try:
        outcome = rollback.confirm() if state == "confirmed" else rollback.roll_back_now()
    except LookupError:
        msg = "no rollback of this change is armed on this host: a reboot forgets it, and another run replaces it"
        return {"failed": True, "msg": msg, "outcome": "not_armed", "problems": []}
    if not (outcome.rolled_back or outcome.guarded):
        module.warn("the processes that would have rolled back this change were killed, so it was not protected")
    return result_of(state, outcome)


def main() -> None:
    """Entry point of the module."""
    module = Module(**ARGUMENTS, supports_check_mode=True)
    if module.params["changes"] is not None:
        module.fail_json(msg="changes are run by the action plugin wirefleet.wireguard.wg_confirm on the controller")
    if module.check_mode:
        module.exit_json(changed=False)
    try:
        result = run(module)
    except (ValueError, DeviceError, FirewallError, OSError) as error:
        module.fail_json(msg=str(error), outcome="not_armed", problems=[])
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
