#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_rotate
short_description: Replace WireGuard keys without losing a connection
version_added: 0.1.0
author: wirefleet contributors (@wirefleet)
description:
  - The two halves of a key rotation. The peers of a node announce its next key to their interface with O(peers); then
    the node takes that key with O(next_private_key_file).
  - A peer that has announced a next key leaves a process behind, which gives the AllowedIPs of the present key to the
    next one as soon as that has shaken hands, live and in the file, and removes the present key. Until then the present
    key works. The process ends with that, when the announced peer is removed from the interface, or after O(follow)
    seconds, when it withdraws the announcement.
  - The private key stays on the host, and is never part of a command line, an environment, a result, a diff or a log.
requirements:
  - wireguard-tools on the host
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    support: none
    description: There is no difference to show but the public keys, which are in RV(steps).
options:
  interface:
    description: Name of the interface. It must be up.
    type: str
    required: true
  peers:
    description:
      - Peers that are about to take another key. One whose present key the interface does not have is left out, one
        whose next key is announced already is followed again.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name for people.
        type: str
        required: true
      public_key:
        description: The present public key.
        type: str
        required: true
      next_public_key:
        description: The next public key.
        type: str
        required: true
  follow:
    description: Seconds for which the process that is left behind waits for the next keys of O(peers).
    type: int
    default: 900
  private_key_file:
    description:
      - File that holds the interface's own private key. By default C(/etc/wireguard/INTERFACE.key).
    type: path
  next_private_key_file:
    description:
      - File that holds the next private key of the interface itself, see M(wirefleet.wireguard.wg_keypair). The
        interface takes it at once, it replaces O(private_key_file), and the interface shakes hands with all its peers.
    type: path
seealso:
  - module: wirefleet.wireguard.wg_keypair
  - module: wirefleet.wireguard.wg_rotation_plan
"""

EXAMPLES = r"""
- name: Make the laptop's next key beside its present one
  wirefleet.wireguard.wg_keypair:
    path: /etc/wireguard/wg0.key.next
  delegate_to: laptop
  register: next

- name: Have the relay wait for it
  wirefleet.wireguard.wg_rotate:
    interface: wg0
    peers:
      - name: laptop
        public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
        next_public_key: "{{ next.public_key }}"
  delegate_to: relay

- name: Take it
  wirefleet.wireguard.wg_rotate:
    interface: wg0
    next_private_key_file: /etc/wireguard/wg0.key.next
  delegate_to: laptop
"""

RETURN = r"""
public_key:
  description: Public key of the interface.
  type: str
  returned: success
  sample: o9PH4Txp2Hcr0NZ9W8eJzlIEIOrXBD0Mt0uM2hbzLVI=
steps:
  description: What was done, or in check mode would be done, in this order.
  type: list
  elements: str
  returned: success
  sample: [announce the next key 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM= of laptop]
"""

import contextlib
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _keys, _netns, _rotation, _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._apply import Applier
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface, Now
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module


def wanted(params: dict[str, t.Any]) -> list[_rotation.Successor]:
    """The option ``peers``. Raises ValueError for what is no key."""
    return [
        _rotation.Successor(
            _values.line("name", peer["name"]),
            _values.public_key(peer["public_key"]),
            _values.public_key(peer["next_public_key"]),
        )
        for peer in params["peers"]
    ]


def announce(module: Module, now: Now, successors: list[_rotation.Successor]) -> list[str]:
    """Make next keys known to the device; what was done."""
    steps = _rotation.announcement(now.device.peers, successors)
    if not module.check_mode:
        Applier(module.run_command, module.params["interface"]).apply(steps)
    return [step.text for step in steps]


def take(module: Module, interface: Interface, now: Now) -> tuple[str | None, list[str]]:
    """Give the interface its next key; its public key, and what was done."""
    next_path = module.params["next_private_key_file"]
    path = _values.path("private_key_file", module.params["private_key_file"] or f"/etc/wireguard/{interface.name}.key")
    _keys.KeyFile(path)  # what is there is a key, or nothing: it is replaced
    key = _keys.KeyFile(_values.path("next_private_key_file", next_path)).private_key
    if key is None:
        if module.check_mode:
            return None, ["set the private key"]
        raise ValueError(f"next_private_key_file {next_path} does not exist: create it with wg_keypair")
    key = _keys.clamped(key)
    public_key = _keys.public_key_of(key, module.run_command, find("wg"))
    if not module.check_mode:
        _rotation.take_key(module.run_command, interface, now, key, path, next_path)
    return public_key, [f"set the private key, whose public key is {public_key}"]


def run(module: Module, interface: Interface, successors: list[_rotation.Successor]) -> dict[str, t.Any]:
    """What the options ask for; returns the result."""
    now = interface.look()
    if now.device is None:
        raise ValueError(f"there is no interface {interface.name}: bring it up first, for instance with wg_interface")
    steps = announce(module, now, successors) if successors else []
    public_key = now.device.public_key
    if module.params["next_private_key_file"]:
        # Also those that were announced just now must be greeted: they may have rotated already.
        public_key, taken = take(module, interface, interface.look())
        steps += taken
    return {"changed": bool(steps), "public_key": public_key, "steps": steps}


def argument_spec() -> dict[str, t.Any]:
    """The options of DOCUMENTATION."""
    peer = {
        "name": {"type": "str", "required": True},
        "public_key": {"type": "str", "required": True, "no_log": False},
        "next_public_key": {"type": "str", "required": True, "no_log": False},
    }
    return {
        "interface": {"type": "str", "required": True},
        "peers": {"type": "list", "elements": "dict", "default": [], "options": peer},
        "follow": {"type": "int", "default": 900},
        "private_key_file": {"type": "path", "no_log": False},
        "next_private_key_file": {"type": "path", "no_log": False},
    }


def main() -> None:
    """Run as a module."""
    module = Module(argument_spec=argument_spec(), supports_check_mode=True)
    with module.errors_reported(ValueError, DeviceError, OSError):
        interface = Interface(module.run_command, _values.interface(module.params["interface"]), module.warn)
        successors = wanted(module.params)
        with _netns.entered(interface.netns):
            with contextlib.nullcontext() if module.check_mode else interface.lock():
                result = run(module, interface, successors)
            if not module.check_mode:
                # Not under the lock, which the process would inherit.
                _rotation.Follower(module.run_command, interface, successors).detach(module.params["follow"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
