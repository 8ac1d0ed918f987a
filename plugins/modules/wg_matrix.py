#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module has no code: plugins/action/wg_matrix.py does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_matrix
short_description: Compare the pings of all hosts with the plan
version_added: 0.1.0
description:
  - Puts together what M(wirefleet.wireguard.wg_ping) measured on all hosts of the play, registered there as
    C(__verify_pings), and fails if a pair does not answer, or answers by another path than planned.
  - A silent node that this run did not reach fails nothing; it is told as a warning.
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
    description: Runs once for all hosts of the play, with linear strategies only.
    support: full
seealso:
  - module: wirefleet.wireguard.wg_ping
"""

EXAMPLES = r"""
- name: Ping the other nodes of the network
  wirefleet.wireguard.wg_ping:
    interface: "{{ item.interface }}"
    targets: "{{ item.targets }}"
  loop: "{{ node.ping }}"
  register: __verify_pings

- name: Compare all pings with the plan
  wirefleet.wireguard.wg_matrix:
  run_once: true
"""

RETURN = r"""
msg:
  description: The counts of each network, the matrix of replies where it is small enough, and the failures.
  returned: always
  type: list
  elements: str
  sample: ["wg0: 20 of 20 pings answered, 14 direct, 6 through relays"]
failures:
  description: Every pair that is not as planned, a sentence each.
  returned: always
  type: list
  elements: str
  sample: []
silent:
  description: Nodes that did not answer and that this run did not reach either.
  returned: always
  type: list
  elements: str
  sample: ["laptop"]
"""
