#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module has no code: plugins/action/wg_rotation_plan.py does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_rotation_plan
short_description: Plan whose keys are rotated, and what their peers do
version_added: 0.1.0
description:
  - Decides which nodes can take a new key, in which order, and what M(wirefleet.wireguard.wg_rotate) is to do on them
    and on their peers.
  - A node is refused if one of its peers is not among the hosts of the play that are left, since it would lose the
    node, and if the inventory states its key.
  - The plan must have been registered as C(__plan_whole) in the play, what M(wirefleet.wireguard.wg_info) tells of the
    key files as C(__install_probe), and the results of M(wirefleet.wireguard.wg_keypair) for next keys as
    C(__rotate_next). Contacts no host. Use C(run_once) with it.
  - Variables are read without the facts of hosts, so that no host can set them.
author:
  - wirefleet contributors (@wirefleet)
options:
  hosts:
    description:
      - The hosts whose keys are to be rotated. Those that are not in the play are left out.
      - Left out, those of the pattern in the variable C(wireguard_rotate_hosts), which is V(all) by default.
    type: list
    elements: str
  network:
    description: Only keys of this network. Left out, those of all.
    type: str
  older_than:
    description: Only keys that are older than so many days. Left out, C(wireguard_rotate_older_than).
    type: float
  serial:
    description:
      - How many nodes are in a batch, as Ansible's C(serial); a number, a percentage, or a list.
      - Left out, C(wireguard_serial), else V([1, "100%"]).
    type: raw
  force:
    description:
      - Whether nodes are rotated although some of their peers cannot be told, and will lose them.
      - Left out, C(wireguard_rotate_force).
    type: bool
    default: false
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
    description: Runs once for all hosts of the play, with linear strategies only.
    support: full
seealso:
  - module: wirefleet.wireguard.wg_plan
  - module: wirefleet.wireguard.wg_rotate
"""

EXAMPLES = r"""
- name: Choose whose keys are rotated
  wirefleet.wireguard.wg_rotation_plan:
    hosts: "{{ ansible_play_hosts }}"
    older_than: 90
  run_once: true
  register: rotation

- name: Show the batches
  ansible.builtin.debug:
    var: rotation.batches
  run_once: true
"""

RETURN = r"""
batches:
  description: The nodes that are rotated, network after network, those with few peers first.
  returned: success
  type: list
  elements: dict
  sample: [{"network": "wg0", "nodes": ["laptop"]}, {"network": "wg0", "nodes": ["nas", "relay1"]}]
nodes:
  description: The nodes that are rotated and whose next key is known.
  returned: success
  type: list
  elements: str
  sample: [laptop]
hosts:
  description:
    - Of every host that has something to do the options of M(wirefleet.wireguard.wg_rotate), as one JSON text. Only
      nodes whose next key is known are in it, and their peers.
  returned: success
  type: dict
  sample: {"laptop": "{...}", "relay1": "{...}"}
refused:
  description: The nodes that keep their keys although they are among O(hosts), and why.
  returned: success
  type: dict
  sample: {"nas": "wireguard_public_key says which key it has; ..."}
by_hand:
  description: Nodes that are not managed, and those of their peers whose new keys they must be given by hand.
  returned: success
  type: dict
  sample: {"phone": ["relay1"]}
lost:
  description: With O(force=true), the hosts that cannot be told, and the nodes that they lose.
  returned: success
  type: dict
  sample: {}
"""
