#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_ping
short_description: Ping many nodes of a WireGuard network at once
version_added: 0.1.0
description:
  - Sends ICMP and ICMPv6 echo requests through one interface to all targets at once, again and again until they answer
    or the time is over, and tells by which path the answers came.
  - Needs no ping command on the host. Targets that do not answer do not make the module fail.
author:
  - wirefleet contributors (@wirefleet)
options:
  interface:
    description:
      - Name of the interface. Requests leave by it, and only answers that arrive on it count.
      - One that M(wirefleet.wireguard.wg_interface) has put into a network namespace is found there.
    type: str
    required: true
  targets:
    description: The nodes to ping.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the result calls the target. Left out, its address.
        type: str
      address:
        description: IPv4 or IPv6 address.
        type: str
        required: true
      hops:
        description: The number of relays the plan puts in between, V(0) for a direct tunnel. Left out, any will do.
        type: int
  timeout:
    description:
      - Seconds for all targets together. A lost handshake is repeated by WireGuard after 5 seconds only, so less than
        that leaves no second chance.
    type: float
    default: 15
  interval:
    description: Seconds after which a target that has not answered is asked again.
    type: float
    default: 0.5
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise, since it changes nothing.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
seealso:
  - module: wirefleet.wireguard.wg_info
"""

EXAMPLES = r"""
- name: Ping two nodes, one of which lies behind the relay
  wirefleet.wireguard.wg_ping:
    interface: wg0
    targets:
      - {name: relay1, address: 10.44.0.1, hops: 0}
      - {name: laptop, address: 10.44.0.4, hops: 1}
  register: ping

- name: All of them answer, each by its planned path
  ansible.builtin.assert:
    that: ping.results | rejectattr('as_planned') | length == 0
"""

RETURN = r"""
results:
  description: One entry for each of O(targets), in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the target.
      type: str
      sample: laptop
    address:
      description: Its address.
      type: str
      sample: 10.44.0.4
    reachable:
      description: Whether it answered.
      type: bool
      sample: true
    ttl:
      description: Time to live (hop limit) that its first answer arrived with. Null if none did.
      type: int
      sample: 63
    hops:
      description: The relays that the answer passed. Null if there was none.
      type: int
      sample: 1
    path:
      description: V(direct), V(relayed), or V(none) if it did not answer.
      type: str
      sample: relayed
    rtt_ms:
      description: Milliseconds from the request to its answer. Null if there was none.
      type: float
      sample: 1.234
    planned_hops:
      description: The relays that O(targets[].hops) puts in between. Null if that was left out.
      type: int
      sample: 1
    as_planned:
      description: Whether it answered, over the planned number of hops.
      type: bool
      sample: true
    error:
      description: Why there was no answer, as far as this host knows. Null if there was one.
      type: str
      sample: no answer
"""

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _icmp, _netns
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module

CONFIG_FILE = "/etc/wireguard/{}.conf"


def report(target: dict, outcome: _icmp.Reply | str) -> dict:
    """The result for one target."""
    reply = outcome if isinstance(outcome, _icmp.Reply) else None
    hops = _icmp.hops(reply.hop_limit) if reply else None
    return {
        "name": target["name"] or target["address"],
        "address": target["address"],
        "reachable": reply is not None,
        "ttl": reply and reply.hop_limit,
        "hops": hops,
        "path": "none" if hops is None else "relayed" if hops else "direct",
        "rtt_ms": reply and reply.rtt_ms,
        "planned_hops": target["hops"],
        "as_planned": reply is not None and target["hops"] in (None, hops),
        "error": None if reply else outcome,
    }


def main() -> None:
    """Entry point of the module."""
    module = Module(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str"},
                    "address": {"type": "str", "required": True},
                    "hops": {"type": "int"},
                },
            },
            "timeout": {"type": "float", "default": 15},
            "interval": {"type": "float", "default": 0.5},
        },
        supports_check_mode=True,
    )
    params = module.params
    for name in ("timeout", "interval"):
        if not params[name] > 0:
            module.fail_json(msg=f"{name} is {params[name]}: write a number of seconds above 0")
    addresses = [target["address"] for target in params["targets"]]
    try:
        with _netns.entered(_netns.recorded(CONFIG_FILE.format(params["interface"]))):
            outcomes = _icmp.ping(addresses, params["interface"], params["timeout"], params["interval"])
    except ValueError as error:
        module.fail_json(msg=f"targets: {error}")
    except DeviceError as error:
        module.fail_json(msg=str(error))
    except PermissionError:
        module.fail_json(msg="raw sockets are not permitted: run as root (become: true), with the capability NET_RAW")
    module.exit_json(changed=False, results=[report(*pair) for pair in zip(params["targets"], outcomes)])


if __name__ == "__main__":
    main()
