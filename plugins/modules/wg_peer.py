#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_peer
short_description: One peer of a WireGuard interface
version_added: 0.1.0
author: wirefleet contributors (@wirefleet)
description:
  - Adds, changes or removes one peer of an interface that M(wirefleet.wireguard.wg_interface) or a person made, live
    and in its file C(/etc/wireguard/INTERFACE.conf).
  - All other peers, and every other byte of the file, stay as they are.
  - An interface that is down is changed in its file only, one without a file only live.
  - Routes follow O(allowed_ips) as C(wg-quick) makes them, if there is a file.
requirements:
  - wireguard-tools and iproute2 on the host
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    support: full
    description: Returns details on what has changed in the format of C(wg-quick); keys that are secret are not shown.
options:
  interface:
    description: Name of the interface.
    type: str
    required: true
  public_key:
    description: Public key of the peer.
    type: str
    required: true
  state:
    description: Whether the interface has this peer.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Name for people, a comment in the file.
    type: str
  endpoint:
    description:
      - C(HOST:PORT) or C([IPV6]:PORT) where the peer can be reached. If left out, a known peer keeps what it has.
      - It is given to a running interface only if it differs from the one in the file, so a peer that roamed is not
        reset.
      - A name is looked up again whenever the peer does not answer, as M(wirefleet.wireguard.wg_interface) describes.
    type: str
  allowed_ips:
    description:
      - Networks whose packets are sent to this peer and accepted from it. If left out, a known peer keeps what it has.
      - A network that another peer has is refused, unless O(move_allowed_ips=true).
    type: list
    elements: str
  persistent_keepalive:
    description: Seconds between keepalive packets; 0 for none. If left out, a known peer keeps what it has.
    type: int
  preshared_key_file:
    description: File on the host that holds a preshared key for this peer. If left out, a known peer keeps what it has.
    type: path
  generate_preshared_key:
    description: Whether to create O(preshared_key_file) with a new key if it does not exist.
    type: bool
    default: false
  move_allowed_ips:
    description: Whether to take networks of O(allowed_ips) away from the peers that have them.
    type: bool
    default: false
seealso:
  - module: wirefleet.wireguard.wg_interface
"""

EXAMPLES = r"""
- name: A phone may join
  wirefleet.wireguard.wg_peer:
    interface: wg0
    name: phone
    public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
    allowed_ips: [10.44.0.9/32]

- name: The phone is lost
  wirefleet.wireguard.wg_peer:
    interface: wg0
    public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
    state: absent
"""

RETURN = r"""
steps:
  description: What was done, or in check mode would be done, in this order.
  type: list
  elements: str
  returned: always
  sample:
    - "add peer 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM= (phone)"
    - write /etc/wireguard/wg0.conf
config_file:
  description: The file in the format of C(wg-quick).
  type: str
  returned: always
  sample: /etc/wireguard/wg0.conf
"""

import os
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import (
    _full_tunnel,
    _keys,
    _show,
    _values,
    _wg_quick,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import Device, DeviceError, Peer
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step, routes_of
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface, Now, Plan
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import changing
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config, PeerSection


def known_peers(now: Now) -> dict[str, PeerSection]:
    """All peers by public key: as the file has them, else as the device has them."""
    peers = {}
    for key, live in now.device.peers.items() if now.device else ():
        peers[key] = PeerSection(key, None, live.preshared_key, None, live.allowed_ips, live.persistent_keepalive)
    peers.update({peer.public_key: peer for peer in now.config.peers} if now.config else {})
    return peers


def wanted(params: dict[str, t.Any], known: PeerSection | None, preshared_key: str | None) -> PeerSection:
    """The peer of the options; what they leave out is as it was. Raises ValueError."""
    peer = known or PeerSection(_values.public_key(params["public_key"]))
    if params["endpoint"]:
        peer = peer._replace(endpoint_name=None)
    given = {
        "name": params["name"] and _values.line("name", params["name"]),
        "preshared_key": preshared_key,
        "endpoint": params["endpoint"] and _values.endpoint(params["endpoint"]),
        "allowed_ips": None
        if params["allowed_ips"] is None
        else _values.networks("allowed_ips", params["allowed_ips"]),
        "persistent_keepalive": None
        if params["persistent_keepalive"] is None
        else _values.number("persistent_keepalive", params["persistent_keepalive"], 0, 65535),
    }
    return peer._replace(**{field: value for field, value in given.items() if value is not None})


def robbed(peer: PeerSection, peers: t.Mapping[str, PeerSection], now: Now, may_move: bool) -> list[PeerSection]:
    """The other peers that lose a network to this one, without it. Raises ValueError if that was not asked for."""
    losers = []
    for other in peers.values():
        live = now.device.peers.get(other.public_key) if now.device else None
        theirs = set(other.allowed_ips).union(live.allowed_ips if live else ())
        taken = theirs.intersection(peer.allowed_ips)
        if other.public_key == peer.public_key or not taken:
            continue
        if not may_move:
            raise ValueError(
                f"{', '.join(sorted(taken))} is in allowed_ips of peer {other.name or other.public_key}: take it from "
                "there first, or set move_allowed_ips to true"
            )
        losers.append(other._replace(allowed_ips=tuple(one for one in other.allowed_ips if one not in taken)))
    return losers


def desired_device(
    now: Now, config: Config | None, changed: t.Sequence[PeerSection], removed: str | None, push: t.Mapping[str, str],
    fwmark: int,
) -> Device:  # fmt: skip
    """The device with some peers changed and one removed; everything else is left as it is."""
    device = now.device
    peers = {key: live._replace(endpoint=None) for key, live in device.peers.items() if key != removed}
    for peer in changed:
        peers[peer.public_key] = Peer(
            peer.public_key,
            peer.preshared_key,
            push.get(peer.public_key),
            peer.allowed_ips,
            peer.persistent_keepalive,
        )
    routes = device.routes
    if config is not None:

        def made_for(networks: t.Iterable[str], mark: int) -> frozenset:
            return routes_of(networks, device.addresses, config.table, mark)

        touched = {peer.public_key for peer in changed} | {removed}
        before = [network for key, live in device.peers.items() if key in touched for network in live.allowed_ips]
        after = {network for peer in peers.values() for network in peer.allowed_ips}
        routes = routes - made_for(set(before) - after, device.fwmark)
        routes |= made_for([network for peer in changed for network in peer.allowed_ips], fwmark)
    return device._replace(peers=peers, routes=routes, fwmark=fwmark)


def preshared_key_of(module: Module) -> tuple[str | None, list[Step]]:
    """The preshared key that the options name, and the step that creates its file, if it must be."""
    path = module.params["preshared_key_file"]
    if path is None:
        return None, []
    key = _keys.KeyFile(_values.path("preshared_key_file", path)).private_key
    if key is not None:
        return key, []
    if module.params["generate_preshared_key"]:
        key = _keys.encode_key(os.urandom(_keys.KEY_BYTES))
        return key, [Step("file", (path,), f"create {path}", key + "\n")]
    if module.check_mode:
        return _keys.encode_key(os.urandom(_keys.KEY_BYTES)), []  # in its place: it is equal to none, and never shown
    raise ValueError(
        f"preshared_key_file {path} does not exist on this host: create it, or set generate_preshared_key to true"
    )


def run(module: Module, interface: Interface) -> dict[str, t.Any]:
    """What the options ask for; returns the result."""
    params = module.params
    key = _values.public_key(params["public_key"])
    now = interface.look(wants_policy=any(one.endswith("/0") for one in params["allowed_ips"] or ()))
    if now.device is None and now.file is None:
        raise ValueError(
            f"there is no interface {interface.name}, nor a file {interface.path}: create it with wg_interface"
        )
    if now.file is not None:
        try:
            config = _wg_quick.parse(now.file)
        except ValueError as error:
            raise ValueError(f"{interface.path} is not understood, so it is not changed: {error}") from None
        if config.save_config:
            raise ValueError(
                f"{interface.path} has SaveConfig = true, so that wg-quick overwrites it: take that line out"
            )
    peers = known_peers(now)
    if params["state"] == "absent":
        changed, removed, created = [], key, []
    else:
        if now.device and key == now.device.public_key:
            raise ValueError(f"{key} is the public key of {interface.name} itself: it cannot be its own peer")
        preshared_key, created = preshared_key_of(module)
        peer = wanted(params, peers.get(key), preshared_key)
        changed, removed = [*robbed(peer, peers, now, params["move_allowed_ips"]), peer], None
    text = now.file
    push: t.Mapping[str, str] = {}
    if text is not None:
        final, push = interface.addressed(now.config._replace(peers=tuple(changed)), now)
        changed = list(final.peers)
        for one in changed:
            text = _wg_quick.with_peer(text, one)
        text = _wg_quick.without_peer(text, removed) if removed else text
    elif changed:
        push = interface.addressed(Config(peers=tuple(changed)), now)[1]
    config = _wg_quick.parse(text) if text is not None else None
    live: list[Step] = []
    desired = None
    if now.device:
        fwmark = now.device.fwmark
        if config and _full_tunnel.is_wanted(config.allowed_ips, config.table):
            fwmark = fwmark or interface.complete(config, now).fwmark or 0
        elif now.config and _full_tunnel.is_wanted(now.config.allowed_ips, now.config.table):
            fwmark = now.config.fwmark or 0  # the last default route takes its mark along
        desired = desired_device(now, config, changed, removed, push, fwmark)
        live = interface.live_steps(now, now.device, desired, config)
    persist: list[Step] = []
    if text != now.file:
        persist.append(Step("file", (interface.path,), f"write {interface.path}", text))
    if config is not None:
        persist += interface.timer_steps(now, config)
    plan = Plan(prepare=tuple(created), live=tuple(live), persist=tuple(persist))
    if plan.steps and not module.check_mode:
        interface.execute(plan, now, config or Config(), desired)
    return {
        "changed": bool(plan.steps),
        "steps": [step.text for step in plan.steps],
        **({"diff": _show.peer_difference(interface, now, text, plan.steps)} if module._diff else {}),
    }


def argument_spec() -> dict[str, t.Any]:
    """The options of DOCUMENTATION."""
    return {
        "interface": {"type": "str", "required": True},
        "public_key": {"type": "str", "required": True, "no_log": False},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str"},
        "endpoint": {"type": "str"},
        "allowed_ips": {"type": "list", "elements": "str"},
        "persistent_keepalive": {"type": "int"},
        "preshared_key_file": {"type": "path", "no_log": False},
        "generate_preshared_key": {"type": "bool", "default": False, "no_log": False},
        "move_allowed_ips": {"type": "bool", "default": False},
    }


def main() -> None:
    """Run as a module."""
    module = Module(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_if=[("generate_preshared_key", True, ["preshared_key_file"])],
    )
    with module.errors_reported(ValueError, DeviceError, OSError):
        name = _values.interface(module.params["interface"])
        interface = Interface(module.run_command, name, module.warn)
        with changing(module, interface.lock()):
            result = run(module, interface)
    module.exit_json(config_file=interface.path, **result)


if __name__ == "__main__":
    main()
