#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_firewall
short_description: Open the firewall of a host for a WireGuard interface
version_added: 0.1.0
description:
  - Lets in the UDP port of a WireGuard interface, lets traffic pass between it and other interfaces, and masquerades.
  - The rules are in an nftables table of their own, C(inet wireguard_NAME), which is replaced in one transaction.
    Nothing else on the host is touched. Each rule counts what it has let pass.
  - The rules are kept in C(/etc/wireguard/NAME.nft). Where systemd runs, the unit C(wireguard-firewall-NAME.service)
    loads them at boot and whenever C(nftables.service) is started, restarted or reloaded. Elsewhere (OpenRC, no init
    system, another network namespace than init's) nothing loads them again, and RV(persistent) says so.
  - In nftables, a packet that one table accepts can still be dropped by another. The module looks for such chains, and
    tells the rule that is missing there.
author:
  - wirefleet contributors (@wirefleet)
options:
  name:
    description: Name of the WireGuard interface. It need not be there yet.
    type: str
    required: true
  state:
    description: With V(absent), or if nothing is asked for, the table, its file and its unit are removed.
    type: str
    choices: [present, absent]
    default: present
  backend:
    description:
      - V(nftables), rules as described.
      - V(none), the firewall of the host is left alone, also what an earlier run made there.
      - V(auto), nftables where the command C(nft) is there. Where it is missing and nothing filters, there is nothing
        to do; it is an error if something filters, or if O(masquerade) is asked for.
    type: str
    choices: [auto, nftables, none]
    default: auto
  listen_port:
    description: UDP port to let in. Left out, none.
    type: int
  forward:
    description:
      - Traffic that may pass between interfaces, in the direction given. Answers may always pass.
      - The size of TCP segments into the tunnel is clamped to what fits.
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description: Name of the interface that packets come in by. Left out, any but O(name).
        type: str
      to:
        description: Name of the interface that they leave by. Left out, any but O(name).
        type: str
      source:
        description: Network of the senders. Left out, any.
        type: str
      destination:
        description: Network of the receivers. Left out, any.
        type: str
  masquerade:
    description: What leaves with the address of this host instead of the sender's.
    type: list
    elements: dict
    default: []
    suboptions:
      source:
        description: Network of the senders. Left out, any.
        type: str
      destination:
        description: Network of the receivers. Left out, any.
        type: str
      from:
        description: Name of the interface that packets came in by, which needs Linux 5.6 or newer. Left out, any.
        type: str
      to:
        description: Name of the interface that they leave by. Left out, any but O(name).
        type: str
  kill_switch:
    description:
      - Reject what the host itself would send past the tunnel, also while the interface is down.
      - Answers to those who reached the host pass, as do WireGuard's own packets and those for neighbours
        (link-local IPv6).
      - What the host forwards, such as the packets of its containers, is not looked at.
    type: dict
    version_added: 0.1.0
    suboptions:
      fwmark:
        description: The mark of WireGuard's own packets, as in O(wirefleet.wireguard.wg_interface#module:fwmark).
        type: int
        required: true
      interfaces:
        description: Other interfaces by which packets may leave, such as those of other WireGuard networks.
        type: list
        elements: str
        default: []
      allowed:
        description: Networks that stay reachable past the tunnel, such as the LAN.
        type: list
        elements: str
        default: []
  require_undo:
    description:
      - Refuse to change anything unless M(wirefleet.wireguard.wg_confirm) has armed an undo that is still pending.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts what would be done.
    support: full
  diff_mode:
    description: Shows the table, its file and its unit, each if it differs.
    support: full
seealso:
  - module: wirefleet.wireguard.wg_interface
"""

EXAMPLES = r"""
- name: Let WireGuard's packets in
  wirefleet.wireguard.wg_firewall:
    name: wg0
    listen_port: 51820

- name: Let a relay forward inside the network as well
  wirefleet.wireguard.wg_firewall:
    name: wg0
    listen_port: 51820
    forward:
      - {from: wg0, to: wg0}

- name: Let the network out to the internet
  wirefleet.wireguard.wg_firewall:
    name: wg0
    listen_port: 51820
    forward:
      - {from: wg0, to: eth0}
    masquerade:
      - {source: 10.44.0.0/24, to: eth0}

- name: Let the network reach the LAN behind this host, and the LAN the network
  wirefleet.wireguard.wg_firewall:
    name: wg0
    forward:
      - {from: wg0, destination: 192.168.1.0/24}
      - {to: wg0, source: 192.168.1.0/24}

- name: Reach the LAN from anywhere in the network, although its hosts know no way back
  wirefleet.wireguard.wg_firewall:
    name: wg0
    forward:
      - {from: wg0, destination: 192.168.1.0/24}
    masquerade:
      - {from: wg0, destination: 192.168.1.0/24}

- name: Send nothing past the tunnel, but to the LAN
  wirefleet.wireguard.wg_firewall:
    name: wg0
    kill_switch:
      fwmark: 51820
      allowed: [192.168.1.0/24]

- name: Remove all of it
  wirefleet.wireguard.wg_firewall:
    name: wg0
    state: absent
"""

RETURN = r"""
backend:
  description: What was used, V(nftables) or V(none).
  returned: success
  type: str
  sample: nftables
persistent:
  description: Whether the rules come back after a reboot and after a reload of nftables. True if there are none.
  returned: success
  type: bool
  sample: true
blocked_by:
  description: Chains outside of the module's table that drop what it lets pass.
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: Family of the table.
      type: str
      sample: inet
    table:
      description: Name of the table.
      type: str
      sample: filter
    chain:
      description: Name of the base chain.
      type: str
      sample: forward
    hook:
      description: V(input) or V(forward).
      type: str
      sample: forward
    traffic:
      description: What it drops, as the match of an nftables rule.
      type: str
      sample: iifname "wg0" oifname "wg0"
    rule:
      description: The nft command that lets it pass, until that ruleset is loaded anew.
      type: str
      sample: insert rule inet filter forward iifname "wg0" oifname "wg0" accept
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _firewall, _nftables
from ansible_collections.wirefleet.wireguard.plugins.module_utils._undo import while_armed


def diff(firewall: _firewall.Nftables, before: _firewall.State, after: _firewall.State) -> list[dict]:
    """One entry for each thing that differs."""

    def entry(title: str, old: str | None, new: str | None) -> dict:
        return {"before_header": title, "after_header": title, "before": old or "", "after": new or ""}

    entries = [
        entry(f"table inet {firewall.table}", before.table, after.table),
        *(entry(path, before.files[path], text) for path, text in after.files.items()),
        entry(firewall.unit, service_text(before), service_text(after)),
    ]
    return [each for each in entries if each["before"] != each["after"]]


def service_text(state: _firewall.State) -> str:
    """The state of the unit in words."""
    return f"{'enabled' if state.enabled else 'disabled'}, {'active' if state.active else 'inactive'}\n"


def run(module: AnsibleModule) -> dict:
    """Do what the options say; returns the result. Raises ValueError and FirewallError."""
    params = module.params
    wish = _nftables.wish(
        params["name"], params["listen_port"], params["forward"], params["masquerade"], params["kill_switch"]
    )
    if params["state"] == "absent":
        wish = _nftables.Wish(params["name"])
    nothing = {"changed": False, "backend": "none", "persistent": True, "blocked_by": []}
    if params["backend"] == "none":
        if wish.kill_switch:
            raise ValueError("backend is none, and kill_switch needs rules: write auto or nftables, or leave it out")
        return nothing
    firewall = _firewall.backend(module.run_command, wish)
    if firewall is None:
        if params["backend"] == "nftables":
            module.fail_json(msg="the command 'nft' is missing on this host: install the package nftables")
        return nothing
    before, after = firewall.read(), firewall.wanted(wish)
    changed = before != after
    if changed and not module.check_mode:
        firewall.apply(before, after)
    persistent = firewall.persistent or wish.is_empty
    if changed and not persistent:
        module.warn(f"nothing on this host loads {firewall.rules_file} at boot: call 'nft --file' with it from there")
    try:
        blocked_by = firewall.obstacles(wish)
    except _firewall.FirewallError as error:
        # The rules are in place; nothing more can be said of those of others (an nft without JSON).
        module.warn(f"cannot tell whether other rules on this host drop what shall pass: {error}")
        blocked_by = []
    for obstacle in blocked_by:
        module.warn(
            f"the chain '{obstacle.chain}' of table {obstacle.family} {obstacle.table} drops {obstacle.traffic}: "
            f"add it to that ruleset. Until that is loaded anew, this does: nft '{obstacle.remedy}'"
        )
    return {
        "changed": changed,
        "diff": diff(firewall, before, after),
        "backend": firewall.name,
        "persistent": persistent,
        "blocked_by": [
            {
                "family": obstacle.family,
                "table": obstacle.table,
                "chain": obstacle.chain,
                "hook": obstacle.hook,
                "traffic": obstacle.traffic,
                "rule": obstacle.remedy,
            }
            for obstacle in blocked_by
        ],
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "backend": {"type": "str", "choices": ["auto", "nftables", "none"], "default": "auto"},
            "listen_port": {"type": "int"},
            "forward": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {option: {"type": "str"} for option in ("from", "to", "source", "destination")},
            },
            "masquerade": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {option: {"type": "str"} for option in ("from", "to", "source", "destination")},
            },
            "kill_switch": {
                "type": "dict",
                "options": {
                    "fwmark": {"type": "int", "required": True},
                    "interfaces": {"type": "list", "elements": "str", "default": []},
                    "allowed": {"type": "list", "elements": "str", "default": []},
                },
            },
            "require_undo": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        with while_armed(module):
            result = run(module)
    except (ValueError, _firewall.FirewallError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
