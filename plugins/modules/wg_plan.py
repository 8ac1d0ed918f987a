#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module has no code: plugins/action/wg_plan.py does the work, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_plan
short_description: Plan all WireGuard networks of the inventory
version_added: 0.1.0
description:
  - Reads the C(wireguard_*) variables of all hosts of the inventory, whatever C(--limit) says, together with the
    registry and the public keys that this run has seen, and derives every network from them; who peers with whom,
    addresses, AllowedIPs, endpoints, forwarding, firewall.
  - Facts never set a variable here, since they are what a host says of itself. A template in a host's own variables may
    use the host's own facts, such as C(ansible_default_ipv4). A host with a C(wireguard_*) name among its facts is left
    out of the run, and so is a host that has the key of another node.
  - An inventory that cannot work is refused with all of its faults in one message.
  - Contacts no host. Writes the registry or the tree of the plan only if asked to.
  - Register the result as C(__plan_whole), where M(wirefleet.wireguard.wg_names) and the other modules that run on the
    controller find it. Use C(run_once) with it.
  - What it plans for a host is one JSON text, since Ansible would go through all structures of all hosts again for each
    of them. The role C(plan) gives every host its own part.
author:
  - wirefleet contributors (@wirefleet)
options:
  record:
    description:
      - Whether to write the registry, if anything in it changed.
      - Left out, the variable C(plan_record) of the role C(plan).
    type: bool
    default: false
  registry_file:
    description:
      - The registry's path on the controller.
      - Left out, the variable C(wireguard_registry_file), else C(.wireguard-registry.yml) beside the first inventory
        source, a name that Ansible never reads as an inventory source.
    type: path
  output_dir:
    description:
      - Folder on the controller for the plan as a tree of files. Left out, the variable C(plan_output_dir) of the role
        C(plan); if both are empty, none is written.
      - Files of hosts that left the inventory are removed; files that the plan did not write are left alone.
      - With C(--limit), only the files of those hosts are written.
    type: path
  partial_inventory:
    description:
      - Says that the inventory is a part of the whole (job slices, pull mode). Nodes that only the registry knows are
        planned from it, and nothing is dropped.
      - Left out, the variable C(wireguard_partial_inventory).
    type: bool
    default: false
  prune:
    description:
      - Allows more than one node and more than a tenth of a network to leave it at once. Otherwise that is refused,
        since it is what a broken inventory looks like.
      - Left out, the variable C(wireguard_prune).
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts exactly; writes neither registry nor plan.
    support: full
  diff_mode:
    description: Shows the registry and the plan's files before and after.
    support: full
  action:
    description: Runs on the controller and contacts no host.
    support: full
  bypass_host_loop:
    description: Runs once for all hosts of the play, with linear strategies only.
    support: full
seealso:
  - module: wirefleet.wireguard.wg_interface
  - module: wirefleet.wireguard.wg_matrix
"""

EXAMPLES = r"""
- name: Plan all WireGuard networks
  wirefleet.wireguard.wg_plan:
  run_once: true
  register: __plan_whole

- name: Show this host's peers
  ansible.builtin.debug:
    msg: "{{ part.interfaces | map(attribute='peers') | flatten | map(attribute='name') }}"
  vars:
    part: "{{ __plan_whole.hosts[inventory_hostname] | from_json }}"

- name: Write the plan for review
  wirefleet.wireguard.wg_plan:
    output_dir: wireguard-plan
  run_once: true
  register: __plan_whole
"""

RETURN = r"""
hosts:
  description:
    - Of every host of a network its part of the plan, as one JSON text.
    - C(interfaces) has the options of M(wirefleet.wireguard.wg_interface) for each network that the host is in and not
      absent, C(firewall) those of M(wirefleet.wireguard.wg_firewall), C(ping) those of M(wirefleet.wireguard.wg_ping).
    - C(sysctl) has the kernel parameters that forwarding needs, each with C(interface), C(name) and C(value).
    - C(names) has for each network C(interface), C(network) and C(digest), by which a host that has the network's names
      already is known, see M(wirefleet.wireguard.wg_info). Without a digest, it is to have none.
    - C(leaving) has for each network in which the host is absent C(network), C(interface) and C(private_key_file).
  returned: success
  type: dict
  sample: {"laptop": "{...}"}
names:
  description:
    - By network the lines that its hosts have in C(/etc/hosts), of the networks with C(wireguard_names).
    - They are the same on all hosts; see M(wirefleet.wireguard.wg_names).
  returned: success
  type: dict
  sample: {"wg0": "10.44.0.1 laptop.wg0\n"}
externals:
  description: The nodes that are not managed, sorted.
  returned: success
  type: list
  elements: str
  sample: [phone]
preshared:
  description: The networks whose pairs of peers have preshared keys.
  returned: success
  type: list
  elements: str
  sample: [wg0]
networks:
  description: How many nodes each network has.
  returned: success
  type: dict
  sample: {"wg0": 5}
registry_file:
  description: The registry's path.
  returned: success
  type: str
  sample: /srv/inventory/.wireguard-registry.yml
keyless:
  description: By network, the nodes that nobody has as a peer, since their public key is not known yet.
  returned: success
  type: dict
  sample: {"wg0": ["laptop"]}
rekeyed:
  description: Nodes that came with another key than the registry knew.
  returned: success
  type: list
  elements: dict
  contains:
    network:
      description: The network.
      type: str
      sample: wg0
    node:
      description: The node.
      type: str
      sample: laptop
    previous:
      description: The public key that the registry knew.
      type: str
      sample: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=
    public_key:
      description: The public key that it has now.
      type: str
      sample: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
departed:
  description: By network, the nodes that left it; the inventory has them no longer, or says that they are absent.
  returned: success
  type: dict
  sample: {"wg0": ["phone"]}
rollout:
  description:
    - The hosts that are managed, in the order in which they should be changed, which is by name and relays last. What
      breaks a node has not broken a relay yet.
    - External nodes take part in the plan and are never contacted, so they are not in it.
  returned: success
  type: list
  elements: str
  sample: [laptop, phone, relay1]
changed_parts:
  description:
    - Of C(rollout), the hosts whose part is not what the plan before this one in the same run said. Without one, all.
  returned: success
  type: list
  elements: str
  sample: [laptop]
left_out:
  description:
    - By host, why its answers are not used in this run. The modules of this collection fail on it with this reason.
    - It stays a peer of the other hosts, as the inventory and the registry have it.
  returned: success
  type: dict
  sample: {"laptop": "laptop is left out of this run: it has wireguard_relay among its facts, ..."}
leaving:
  description: The hosts that are absent in some network.
  returned: success
  type: list
  elements: str
  sample: [phone]
revoking:
  description:
    - The relays, managed ones, of the networks that lose a public key with this plan, since a node departed or came
      with another key.
    - They should be changed before all others, so that a key that is no longer trusted has no way in.
  returned: success
  type: list
  elements: str
  sample: [relay1]
unreachable_nodes:
  description: By network, the nodes without a path to some other node, where C(allow_unreachable) permits that.
  returned: success
  type: dict
  sample: {}
not_told:
  description:
    - Of every host that is not in this run, or fell out of it, the peers whose key is new since the registry was last
      written, which it must still learn by a run of its own. Empty unless O(record=true).
  returned: success
  type: dict
  sample: {"relay1": ["laptop"]}
"""
