#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module has no code: plugins/action/wg_names.py has ansible.builtin.blockinfile do the work.

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_names
short_description: Write the names of a network's nodes to /etc/hosts
version_added: 0.1.0
description:
  - Keeps a block of C(/etc/hosts) that has every node of a WireGuard network, as C(NODE.NETWORK) in all its addresses,
    with M(ansible.builtin.blockinfile). All other lines stay as they are.
  - The names are those that M(wirefleet.wireguard.wg_plan) has planned, which must have been registered as
    C(__plan_whole) in the play. They are handed to the host without becoming a variable of it, since in a large network
    that would be one copy of them for every host.
notes:
  - With C(--diff), ansible-core before 2.20 cannot show a file that is not in UTF-8, and fails before it is changed.
author:
  - wirefleet contributors (@wirefleet)
options:
  interface:
    description: The interface of the network on this host. It marks the block.
    type: str
    required: true
  network:
    description: The network. Required with O(state=present).
    type: str
  state:
    description: Whether the block is there, or not.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: The file.
    type: path
    default: /etc/hosts
attributes:
  check_mode:
    description: Predicts exactly.
    support: full
  diff_mode:
    description: Shows the file before and after.
    support: full
  action:
    description: Takes the names on the controller.
    support: full
  bypass_host_loop:
    description: Runs for each host of the play.
    support: none
seealso:
  - module: wirefleet.wireguard.wg_plan
  - module: ansible.builtin.blockinfile
"""

EXAMPLES = r"""
- name: Plan all WireGuard networks
  wirefleet.wireguard.wg_plan:
  run_once: true
  register: __plan_whole

- name: Tell the host who is in the network office
  wirefleet.wireguard.wg_names:
    interface: wg0
    network: office

- name: Have it forget them
  wirefleet.wireguard.wg_names:
    interface: wg0
    state: absent
"""

RETURN = r"""
msg:
  description: What was done to the file, in the words of M(ansible.builtin.blockinfile).
  returned: success
  type: str
  sample: Block inserted
"""
