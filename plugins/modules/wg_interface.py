#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_interface
short_description: A complete WireGuard interface, changed live
version_added: 0.1.0
author: wirefleet contributors (@wirefleet)
description:
  - Makes a WireGuard interface what its options say, with key, port, firewall mark, MTU, addresses, peers, routes,
    hooks and name servers, writes it down in the format of C(wg-quick) and has it brought up at boot.
  - Compares the options with the kernel's state and with the file, each on its own, and changes only what differs,
    without a restart. Peers that do not differ are not touched, so their sessions and their endpoints, also when they
    roamed, stay.
  - What was changed by hand is seen, shown and repaired.
  - What hooks change about the device itself (peers, addresses, its rules) is taken for a change by hand, and rolled
    back by the next run. Routes of hooks stay, as long as they are not to networks in O(peers[].allowed_ips).
  - What was applied is read back. If a step or this check fails, all changes are rolled back.
  - Where systemd-networkd runs, and a default route goes through the interface, a file
    C(/etc/systemd/networkd.conf.d/70-wireguard-NAME.conf) has it leave the routing rules of others.
  - Where an init system manages the interface, the service C(wg-quick@NAME) (OpenRC C(wg-quick.NAME)) is started and
    enabled. Where the module runs in another network namespace than the init system, there is no service.
requirements:
  - wireguard-tools and iproute2 on the host
  - wireguard-go where the kernel has no WireGuard
  - nftables where a peer has a default route in O(peers[].allowed_ips) and O(table=auto)
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    support: full
    description: Returns details on what has changed in the format of C(wg-quick); keys that are secret are not shown.
options:
  name:
    description: Name of the interface, at most 15 letters, digits and C(_=+.-).
    type: str
    required: true
    aliases: [interface]
  state:
    description:
      - With V(absent) the interface, its file and its service are taken away. The file of the private key stays, see
        M(wirefleet.wireguard.wg_keypair).
    type: str
    choices: [present, absent]
    default: present
  private_key_file:
    description:
      - File on the host that holds the private key, see M(wirefleet.wireguard.wg_keypair).
      - By default C(/etc/wireguard/NAME.key).
    type: path
  addresses:
    description: Addresses of the interface with their prefix length; without one it is 32 or 128.
    type: list
    elements: str
    default: []
  listen_port:
    description:
      - UDP port. If left out, the kernel chooses one when the interface comes up, and a running interface keeps its
        port.
    type: int
  fwmark:
    description:
      - Firewall mark of outgoing encrypted packets, decimal or hexadecimal; V(off) for none.
      - If left out there is none, unless a default route needs one, as described for C(Table) in C(wg-quick(8\)).
    type: str
  netns:
    description:
      - Name of a network namespace, as C(ip netns) has it, in which the interface is to be, with its addresses, routes
        and hooks. Its UDP socket stays in the host's own namespace.
      - If there is no such namespace it is created, with its loopback up, and removed with the interface, unless a
        process or another link that is up is still in it.
      - With O(table=auto) all routes are in the main table of the namespace, a default route too.
      - At boot C(/etc/wireguard/NAME.netns) brings it up in the place of C(wg-quick), which knows no namespaces. Only
        systemd can be told so; elsewhere set O(enabled=false), and run C(/etc/wireguard/NAME.netns up).
      - An interface that is in another namespace, or in the host's own, is taken down and made anew. Its sessions are
        lost by that.
      - For O(state=absent) it is where to look as well, beside where this module has last put it.
    type: str
  mtu:
    description: MTU of the interface. If left out it is computed as C(wg-quick) does, from the way to the endpoints.
    type: int
  table:
    description:
      - Routing table for the routes to O(peers[].allowed_ips). V(auto) uses the main table and policy routing for a
        default route, V(off) makes no routes, a number uses that table for all.
    type: str
    default: auto
  dns:
    description:
      - Addresses of name servers to use while the interface is up. Needs resolvconf, openresolv or systemd-resolved,
        which know no namespaces, so it excludes O(netns).
      - Name servers that somebody took away come back with the next run.
    type: list
    elements: str
    default: []
  dns_search:
    description:
      - Search domains that go with O(dns).
      - A domain behind C(~), such as C(~corp.example), is not searched in. Where there is one, the name servers are
        asked for names in it and in the other domains only, and for all other names those that the host has without
        this interface. That needs systemd-resolved. Where there is none, O(dns) are asked for all names.
    type: list
    elements: str
    default: []
  pre_up:
    description:
      - Commands to run before the interface is created, in this order. C(%i) stands for its name.
      - If any hook changes, the old O(pre_down) and O(post_down) and then the new O(pre_up) and O(post_up) are run
        while the interface stays up, so that no session is lost.
    type: list
    elements: str
    default: []
  post_up:
    description: Commands to run after the interface is up.
    type: list
    elements: str
    default: []
  pre_down:
    description: Commands to run before the interface is taken down.
    type: list
    elements: str
    default: []
  post_down:
    description: Commands to run after the interface is taken down.
    type: list
    elements: str
    default: []
  peers:
    description: All peers. Others are removed from the interface.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name for people, a comment in the file.
        type: str
      public_key:
        description:
          - Public key of the peer.
          - In check mode also C((HOST has no key yet\)), for a key that the run itself would make.
        type: str
        required: true
      endpoint:
        description:
          - C(HOST:PORT) or C([IPV6]:PORT) where the peer can be reached. It is given to a running interface only if
            it differs from the one in the file, so a peer that roamed is not reset.
          - A name is looked up when it is new, and from then on whenever its peer does not answer; see the notes.
          - A name that does not resolve is a warning. A new peer is then without endpoint, a known one keeps the one
            that it had, until the name resolves.
        type: str
      allowed_ips:
        description: Networks whose packets are sent to this peer and accepted from it.
        type: list
        elements: str
        default: []
      persistent_keepalive:
        description: Seconds between keepalive packets; 0 for none.
        type: int
      preshared_key_file:
        description: File on the host that holds a preshared key for this peer.
        type: path
  keep_preshared_keys:
    description:
      - Whether peers without O(peers[].preshared_key_file) keep the preshared key that they have, if any. Otherwise it
        is taken off.
    type: bool
    default: false
  keep_peers:
    description:
      - Names of peers whose public key is not known to who wrote O(peers), so that O(peers) lacks them.
      - Such a peer stays as the file has it. As long as there is such a name, a peer without a name stays too, since it
        may be the one. What another peer of O(peers) has as allowed IPs goes to that one.
    type: list
    elements: str
    default: []
  require_rollback:
    description:
      - Refuse to change anything unless M(wirefleet.wireguard.wg_confirm) has armed a rollback that is still pending.
    type: bool
    default: false
  enabled:
    description: Whether the interface comes up at boot.
    type: bool
    default: true
  started:
    description: Whether the interface is up. If V(false), its file is written all the same.
    type: bool
    default: true
  backend:
    description:
      - What implements the interface. V(auto) is the kernel where it can, else wireguard-go.
      - One that exists and is of the other kind is an error, since replacing it would lose all sessions;
        O(started=false) takes it down for the next run to create it anew.
      - At boot C(wg-quick) takes the kernel where it can, whatever is chosen here.
    type: str
    choices: [auto, kernel, wireguard-go]
    default: auto
notes:
  - >-
    Endpoints that are names. WireGuard knows addresses only. C(wg-quick) looks names up once, when it brings up the
    interface, and if one of them does not resolve, it tries for a long time (at boot for ever) and then brings up none
    of the peers. So a name stands in a comment of the file, C(# EndpointName = NAME:PORT), and C(Endpoint) has an
    address that the name had. C(wg-quick up) needs no name server, at boot or by hand, and all peers work whose
    addresses still are right. That address is not compared with anything; it is looked up anew when the name changes.
  - >-
    The timer C(wireguard-endpoints-NAME.timer) looks up the names, with the script C(/etc/wireguard/NAME.endpoints), 5
    seconds after it was started and then every 30 seconds, for those peers only whose last handshake is more than 135
    seconds ago or has never been. All others keep their endpoints, also when they roamed. It is there as long as a peer
    has a name as endpoint. It is systemd's: on other hosts a name is looked up by the next run only, for a peer
    that has no endpoint.
  - C(wg-quick save) drops comments, and with them the names; the next run brings them back.
seealso:
  - module: wirefleet.wireguard.wg_keypair
  - module: wirefleet.wireguard.wg_peer
  - module: wirefleet.wireguard.wg_info
"""

EXAMPLES = r"""
- name: A key pair that never leaves the host
  wirefleet.wireguard.wg_keypair:
    path: /etc/wireguard/wg0.key

- name: A client of one server
  wirefleet.wireguard.wg_interface:
    name: wg0
    addresses: [10.44.0.2/32]
    peers:
      - name: server
        public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
        endpoint: 198.51.100.1:51820
        allowed_ips: [10.44.0.0/24]
        persistent_keepalive: 25

- name: Everything through the server
  wirefleet.wireguard.wg_interface:
    name: wg0
    addresses: [10.44.0.2/32, fd44::2/128]
    peers:
      - name: server
        public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
        endpoint: 198.51.100.1:51820
        allowed_ips: [0.0.0.0/0, "::/0"]
        persistent_keepalive: 25

- name: Everything of one network namespace through the server, and nothing of the host
  wirefleet.wireguard.wg_interface:
    name: wg0
    netns: vpn
    addresses: [10.44.0.2/32, fd44::2/128]
    peers:
      - name: server
        public_key: 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM=
        endpoint: 198.51.100.1:51820
        allowed_ips: [0.0.0.0/0, "::/0"]
        persistent_keepalive: 25

- name: Gone, but for the key
  wirefleet.wireguard.wg_interface:
    name: wg0
    state: absent
"""

RETURN = r"""
public_key:
  description: Public key of the interface; null in check mode on a host that has no private key yet, and for
    O(state=absent).
  type: str
  returned: always
  sample: o9PH4Txp2Hcr0NZ9W8eJzlIEIOrXBD0Mt0uM2hbzLVI=
steps:
  description: What was done, or in check mode would be done, in this order.
  type: list
  elements: str
  returned: always
  sample:
    - "add peer 3bfbQbb5LT7oT5eMYBpvnvZJyO3FOYUbTNLQFhSTbSM= (server)"
    - add route 10.44.0.0/24
    - write /etc/wireguard/wg0.conf
device:
  description:
    - What implements the interface. V(userspace) is a program other than wireguard-go; null if it is not up.
    - An interface that is made with wireguard-go for lack of a kernel with WireGuard is a warning too.
  type: str
  returned: always
  sample: kernel
config_file:
  description: The file in the format of C(wg-quick).
  type: str
  returned: always
  sample: /etc/wireguard/wg0.conf
"""

import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _show
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._interface import Interface
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import changing
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wanted import (
    argument_spec,
    interface_of,
    making,
)


def ensure_present(module: Module, interface: Interface) -> dict[str, t.Any]:
    """state=present; returns the result."""
    made = making(module.params, interface, module.run_command, module.warn, module.check_mode)
    if made.steps and not module.check_mode:
        with made.departure.carried_out():
            if module.params["started"]:
                interface.execute(made.plan, made.now, made.config, made.desired)
            else:
                interface.execute_down(made.plan, made.now)
    diff = {}
    if module._diff:
        diff = {"diff": _show.difference(interface, made.now, made.config, made.desired, made.steps)}
    return {
        "changed": bool(made.steps),
        "public_key": made.public_key,
        "device": made.kind,
        "steps": [step.text for step in made.steps],
        **diff,
    }


def ensure_absent(module: Module, interface: Interface) -> dict[str, t.Any]:
    """state=absent; returns the result."""
    interface = interface.elsewhere() or interface
    now = interface.look(wants_policy=True)
    plan = interface.plan_absent(now)
    if plan.steps and not module.check_mode:
        interface.execute_down(plan, now)
    return {
        "changed": bool(plan.steps),
        "public_key": None,
        "device": None,
        "steps": [step.text for step in plan.steps],
        **({"diff": _show.removal(interface, now, plan.steps)} if module._diff else {}),
    }


def main() -> None:
    """Run as a module."""
    module = Module(argument_spec=argument_spec(), supports_check_mode=True)
    with module.errors_reported(ValueError, DeviceError, OSError):
        interface = interface_of(module.params, module.run_command, module.warn)
        ensure = ensure_present if module.params["state"] == "present" else ensure_absent
        with changing(module, interface.lock()):
            result = ensure(module, interface)
    module.exit_json(config_file=interface.path, **result)


if __name__ == "__main__":
    main()
