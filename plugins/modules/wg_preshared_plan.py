#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module has no code: plugins/action/wg_preshared_plan.py does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_preshared_plan
short_description: Plan which pairs of peers exchange preshared keys
version_added: 0.1.0
description:
  - Decides which pairs of direct peers need a preshared key, a new one, or none any longer, and what
    M(wirefleet.wireguard.wg_preshared) is to do on both. Only pairs are planned of which both hosts are left in the
    play.
  - It is run before every step of the exchange, since it goes by what the hosts have told so far. The plan must have
    been registered as C(__plan_whole), what M(wirefleet.wireguard.wg_info) tells as C(__install_probe), and the results
    of offering and accepting as C(__preshared_offers) and C(__preshared_accepts).
  - Contacts no host, and sees no key that is not sealed. Use C(run_once) with it.
author:
  - wirefleet contributors (@wirefleet)
options:
  renew:
    description:
      - Whether pairs that have a preshared key get a new one.
      - Left out, C(wireguard_rotate_preshared_keys), which is read without the facts of hosts.
    type: bool
    default: false
attributes:
  check_mode:
    description: Plans the use of keys that are still to be made, so that the hosts predict what they would change.
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
  - module: wirefleet.wireguard.wg_preshared
"""

EXAMPLES = r"""
- name: Plan which pairs need a preshared key
  wirefleet.wireguard.wg_preshared_plan:
  run_once: true
  register: exchange

- name: Show which hosts have something to do
  ansible.builtin.debug:
    msg: "{{ exchange.hosts.keys() | list }}"
  run_once: true
"""

RETURN = r"""
hosts:
  description:
    - Of every host with a pair to change the options of M(wirefleet.wireguard.wg_preshared) for each of its
      interfaces, as one JSON text.
  returned: success
  type: dict
  sample: {"laptop": "[...]", "relay1": "[...]"}
exchanging:
  description: The hosts with a pair to change; all of the play, if some have not told yet what they use.
  returned: success
  type: list
  elements: str
  sample: [laptop, relay1]
"""
