#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module has no code: plugins/action/wg_node_plan.py does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_node_plan
short_description: Take this host's part of the plan
version_added: 0.1.0
description:
  - Returns what M(wirefleet.wireguard.wg_plan) planned for this host, without templating what it planned for all
    others; that is what keeps large fleets fast.
  - The plan must have been registered as C(__plan_whole) in the play. A host that is in no network gets empty lists.
author:
  - wirefleet contributors (@wirefleet)
options: {}
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise, since it changes nothing.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
  action:
    description: Runs on the controller and contacts no host.
    support: full
  bypass_host_loop:
    description: Runs for each host of the play.
    support: none
seealso:
  - module: wirefleet.wireguard.wg_plan
"""

EXAMPLES = r"""
- name: Plan all WireGuard networks
  wirefleet.wireguard.wg_plan:
  run_once: true
  register: __plan_whole

- name: Take this host's part
  wirefleet.wireguard.wg_node_plan:
  register: node

- name: Show this host's peers
  ansible.builtin.debug:
    msg: "{{ node.interfaces | map(attribute='peers') | flatten | map(attribute='name') }}"
"""

RETURN = r"""
interfaces:
  description: The options of M(wirefleet.wireguard.wg_interface) for each network that the host is in and not absent.
  returned: success
  type: list
  elements: dict
sysctl:
  description: The kernel parameters that forwarding needs, each with C(interface), C(name) and C(value).
  returned: success
  type: list
  elements: dict
  sample: [{"interface": "wg0", "name": "net.ipv4.ip_forward", "value": "1"}]
firewall:
  description: The options of M(wirefleet.wireguard.wg_firewall) for each network.
  returned: success
  type: list
  elements: dict
names:
  description:
    - For each network C(interface), C(network) and C(digest), by which a host that has the network's names already is
      known, see M(wirefleet.wireguard.wg_info). Without a digest, it is to have none.
  returned: success
  type: list
  elements: dict
  sample: [{"interface": "wg0", "network": "wg0", "digest": null}]
ping:
  description: The options of M(wirefleet.wireguard.wg_ping) for each network.
  returned: success
  type: list
  elements: dict
leaving:
  description: For each network in which the host is absent C(network), C(interface) and C(private_key_file).
  returned: success
  type: list
  elements: dict
  sample: []
"""
