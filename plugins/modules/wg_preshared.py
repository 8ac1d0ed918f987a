#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_preshared
short_description: Exchange preshared keys between WireGuard peers
version_added: 0.1.0
author: wirefleet contributors (@wirefleet)
description:
  - The three steps by which two peers get a preshared key that nobody else ever has. One makes it (O(offer)) and seals
    it for the WireGuard key of the other, which opens it (O(accept)). When both have it, both use it (O(use)).
  - Only sealed keys and fingerprints are returned and taken. A sealed key can be opened with the private key of the
    other host alone. What is in the clear is on the two hosts only; until it is used in C(/run), readable by root.
  - A session that exists goes on with the key that it began with, for one minute at least, so that nothing is lost if
    both peers begin to use a key within that time.
requirements:
  - wireguard-tools on the host
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    support: none
    description: There is nothing to show that is not secret but what is in RV(steps).
options:
  interface:
    description: Name of the interface. For O(use) it must be up.
    type: str
    required: true
  private_key_file:
    description: File that holds the interface's private key. By default C(/etc/wireguard/INTERFACE.key).
    type: path
  offer:
    description: Public keys of the peers to make a preshared key for.
    type: list
    elements: str
    default: []
  accept:
    description: Preshared keys that peers have made for this host.
    type: list
    elements: dict
    default: []
    suboptions:
      public_key:
        description: Public key of the peer that has made it.
        type: str
        required: true
      sealed:
        description: The sealed key, from RV(offered).
        type: str
        required: true
  use:
    description: Peers whose preshared key changes, live and in the file.
    type: list
    elements: dict
    default: []
    suboptions:
      public_key:
        description: Public key of the peer.
        type: str
        required: true
      fingerprint:
        description: Fingerprint of a key that was offered or accepted before. Empty for no preshared key.
        type: str
        default: ""
seealso:
  - module: wirefleet.wireguard.wg_preshared_plan
  - module: wirefleet.wireguard.wg_interface
"""

EXAMPLES = r"""
- name: Have the relay make a preshared key for the laptop
  wirefleet.wireguard.wg_preshared:
    interface: wg0
    offer: [3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=]
  delegate_to: relay
  register: made

- name: Have the laptop open it
  wirefleet.wireguard.wg_preshared:
    interface: wg0
    accept:
      - public_key: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
        sealed: "{{ made.offered[0].sealed }}"
  delegate_to: laptop

- name: Take a preshared key off again
  wirefleet.wireguard.wg_preshared:
    interface: wg0
    use:
      - public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
"""

RETURN = r"""
interface:
  description: Name of the interface.
  type: str
  returned: success
  sample: wg0
offered:
  description: For each peer of O(offer) its C(public_key), the C(sealed) preshared key, and the C(fingerprint) of it.
  type: list
  elements: dict
  returned: success
  sample: []
accepted:
  description: For each peer of O(accept) its C(public_key), and the C(fingerprint) of the preshared key.
  type: list
  elements: dict
  returned: success
  sample: [{public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=, fingerprint: 0f343b0931126a20f133d67c2b018a3b}]
steps:
  description: What was done to the interface, or in check mode would be done, in this order.
  type: list
  elements: str
  returned: success
  sample:
    - "change peer 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM= (laptop): preshared key"
    - write /etc/wireguard/wg0.conf
"""

import os
import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files, _keys, _sealing, _secrets, _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface, Plan
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module

# In memory, so that a key that was exchanged and never used is gone with the next boot.
PENDING = "/run/wg_preshared-{}"


class Pending:
    """The keys that were offered or accepted and are not in use yet, in files that are named by their fingerprints."""

    def __init__(self, interface: str) -> None:
        self._folder = PENDING.format(interface)

    def add(self, key: str) -> str:
        """Keep a key; its fingerprint."""
        os.makedirs(self._folder, mode=_keys.DIRECTORY_MODE, exist_ok=True)
        fingerprint = _sealing.fingerprint(key)
        _files.write_atomically(f"{self._folder}/{fingerprint}", f"{key}\n".encode(), _keys.MODE)
        return fingerprint

    def key(self, fingerprint: str) -> str | None:
        """The key of a fingerprint, None if it was never exchanged."""
        if not re.fullmatch("[0-9a-f]{32}", fingerprint):
            return None
        return _keys.KeyFile(f"{self._folder}/{fingerprint}").private_key

    def forget(self, fingerprint: str) -> None:
        """Remove a key that is in use now."""
        _files.remove(f"{self._folder}/{fingerprint}")


def accepted_key(path: str, accept: dict[str, str]) -> str:
    """The key that was sealed for this host. Raises ValueError, which names the peer."""
    own = _keys.KeyFile(path).private_key
    if own is None:
        raise ValueError(f"private_key_file {path} does not exist on this host: create it with wg_keypair")
    try:
        return _sealing.unseal(accept["sealed"], own)
    except ValueError as error:
        raise ValueError(f"the preshared key of peer {accept['public_key']} is refused: {error}") from None


def wanted(pending: Pending, uses: list[dict[str, str]], check_mode: bool) -> dict[str, str | None]:
    """{public key: preshared key} of the option ``use``; in check mode a key may still be to come."""
    found: dict[str, str | None] = {}
    for use in uses:
        key = pending.key(use["fingerprint"]) if use["fingerprint"] else None
        if use["fingerprint"] and key is None:
            if not check_mode:
                raise ValueError(f"no preshared key {use['fingerprint']} was offered or accepted: run again")
            key = _secrets.CHANGED_SECRET
        found[_values.public_key(use["public_key"])] = key
    return found


def use(module: Module, interface: Interface, keys: dict[str, str | None]) -> list[str]:
    """Give peers these preshared keys, live and in the file; what was done."""
    now = interface.look()
    if now.device is None or now.config is None:
        if module.check_mode:
            return ["set preshared keys"]
        raise ValueError(f"{interface.name} or its file is missing: bring it up first, for instance with wg_interface")
    known = {peer.public_key for peer in now.config.peers} & now.device.peers.keys()
    for key in keys.keys() - known:
        raise ValueError(f"{interface.name} has no peer {key}: run again")
    config = now.config._replace(
        peers=tuple(
            peer._replace(preshared_key=keys.get(peer.public_key, peer.preshared_key)) for peer in now.config.peers
        )
    )
    peers = {
        key: peer._replace(endpoint=None, preshared_key=keys.get(key, peer.preshared_key))
        for key, peer in now.device.peers.items()
    }
    desired = now.device._replace(peers=peers)
    text = interface.text_of(config)
    plan = Plan(
        live=tuple(interface.live_steps(now, now.device, desired, config)),
        persist=(Step("file", (interface.path,), f"write {interface.path}", text),) if text != now.file else (),
    )
    if plan.steps and not module.check_mode:
        interface.execute(plan, now, config, desired)
    return [step.text for step in plan.steps]


def run(module: Module, interface: Interface) -> dict[str, t.Any]:
    """What the options ask for; returns the result."""
    params = module.params
    pending = Pending(interface.name)
    path = _values.path("private_key_file", params["private_key_file"] or f"/etc/wireguard/{interface.name}.key")
    offered, accepted = [], []
    for public_key in [] if module.check_mode else params["offer"]:
        key = _keys.encode_key(os.urandom(_keys.KEY_BYTES))
        sealed = _sealing.seal(key, _values.public_key(public_key))
        offered.append({"public_key": public_key, "sealed": sealed, "fingerprint": pending.add(key)})
    for accept in [] if module.check_mode else params["accept"]:
        fingerprint = pending.add(accepted_key(path, accept))
        accepted.append({"public_key": _values.public_key(accept["public_key"]), "fingerprint": fingerprint})
    keys = wanted(pending, params["use"], module.check_mode)
    steps = use(module, interface, keys) if keys else []
    for one in [] if module.check_mode else params["use"]:
        if one["fingerprint"]:
            pending.forget(one["fingerprint"])
    return {
        "changed": bool(params["offer"] or params["accept"] or steps),
        "interface": interface.name,
        "offered": offered,
        "accepted": accepted,
        "steps": steps,
    }


def argument_spec() -> dict[str, t.Any]:
    """The options of DOCUMENTATION."""
    accept = {
        "public_key": {"type": "str", "required": True, "no_log": False},
        "sealed": {"type": "str", "required": True, "no_log": True},
    }
    use_options = {
        "public_key": {"type": "str", "required": True, "no_log": False},
        "fingerprint": {"type": "str", "default": ""},
    }
    return {
        "interface": {"type": "str", "required": True},
        "private_key_file": {"type": "path", "no_log": False},
        "offer": {"type": "list", "elements": "str", "default": []},
        "accept": {"type": "list", "elements": "dict", "default": [], "options": accept},
        "use": {"type": "list", "elements": "dict", "default": [], "options": use_options},
    }


def main() -> None:
    """Run as a module."""
    module = Module(argument_spec=argument_spec(), supports_check_mode=True)
    with module.errors_reported(ValueError, DeviceError, OSError):
        interface = Interface(module.run_command, _values.interface(module.params["interface"]), module.warn)
        if module.check_mode:
            result = run(module, interface)
        else:
            with interface.lock():
                result = run(module, interface)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
