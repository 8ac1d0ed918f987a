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
  - In V(nftables) the rules are in a table of their own, C(inet wireguard_NAME), which is replaced in one transaction.
    Each rule counts what it has let pass.
  - In V(iptables) and V(ufw) they are in chains of their own, C(wg-in-NAME), C(wg-fwd-NAME) and C(wg-nat-NAME), to each
    of which one jump leads from the head of a built-in chain, in one transaction for IPv4 and one for IPv6.
  - In V(firewalld) there are a zone with the interface, which bears its name and lets in what the default zone does,
    and policies for the port and for what is forwarded; the table of V(nftables) does the rest.
  - Rules of others stay as they are, in their order. Only with O(amend) is anything added to their chains of nftables.
  - The rules are kept in C(/etc/wireguard), in C(NAME.nft), C(NAME.iptables) and C(NAME.amendments). Where systemd
    runs, a unit loads each of them at boot, and a drop-in whenever C(nftables.service) is started, restarted or
    reloaded, or C(iptables.service) and C(ip6tables.service). Elsewhere (OpenRC, no init system, another network
    namespace than init's) nothing loads them again, and RV(persistent) says so. C(netfilter-persistent) and ufw load
    the chains again when they are reloaded, by a plugin and by a line in C(/etc/ufw/after.init).
  - In nftables, a packet that one table accepts can still be dropped by another. The module looks for such chains, and
    tells the rule that is missing there, or adds it.
author:
  - wirefleet contributors (@wirefleet)
options:
  name:
    description: Name of the WireGuard interface. It need not be there yet.
    type: str
    required: true
  state:
    description: With V(absent), or if nothing is asked for, all that the module has made for O(name) is removed.
    type: str
    choices: [present, absent]
    default: present
  backend:
    description:
      - V(nftables), V(iptables), V(ufw) or V(firewalld), rules as described. ufw and firewalld must be active for it.
      - firewalld learns them at a reload only. If that would lose settings of others, which are not permanent, the
        module fails and names them; O(forward) is between O(name) and any or no other interface there.
      - V(none), the firewall of the host is left alone, also what an earlier run made there.
      - V(auto), what runs there. That is V(firewalld) or V(ufw) if one is active; V(iptables) if there are rules
        of others in its chains C(INPUT) and C(FORWARD), or their policy is to drop; else V(nftables). Where the command
        C(nft) is missing and nothing filters, there is nothing to do, or V(iptables) masquerades.
      - What an earlier run made with another one is removed.
    type: str
    choices: [auto, nftables, iptables, ufw, firewalld, none]
    default: auto
  amend:
    description:
      - Add to those base chains of others in nftables that would drop what is to pass the rules that are missing there,
        at their head. They are known again by their comment, C(wireguard NAME), and go when they are no longer needed.
      - Without this, the missing rules are told only.
    type: bool
    default: false
    version_added: 0.1.0
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
  ping:
    description: Let in the pings that come by O(name) and are for this host.
    type: bool
    default: false
    version_added: 0.1.0
  kill_switch:
    description:
      - Reject what the host itself would send past the tunnel, also while the interface is down.
      - Answers to those who reached the host pass, as do WireGuard's own packets and those for neighbours
        (link-local IPv6).
      - TCP connections to this host that are open when it is set go on. For that the kernel is told who opened them,
        which needs its module C(nf_conntrack_netlink).
      - What the host forwards, such as the packets of its containers, is not looked at.
      - It is in a table of nftables, beside whatever O(backend) there is.
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
  require_rollback:
    description:
      - Refuse to change anything unless M(wirefleet.wireguard.wg_confirm) has armed a rollback that is still pending.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts what would be done.
    support: full
  diff_mode:
    description: Shows rules, files and units, each if it differs.
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

- name: Do so on a host whose own ruleset, in nftables, drops all that it does not know
  wirefleet.wireguard.wg_firewall:
    name: wg0
    listen_port: 51820
    ping: true
    backend: nftables
    amend: true

- name: Remove all of it
  wirefleet.wireguard.wg_firewall:
    name: wg0
    state: absent
"""

RETURN = r"""
backend:
  description: What was used, V(nftables), V(iptables), V(ufw), V(firewalld) or V(none).
  returned: success
  type: str
  sample: nftables
persistent:
  description: Whether the rules come back after a reboot and after a reload of the firewall. True if there are none.
  returned: success
  type: bool
  sample: true
blocked_by:
  description: Chains of others in nftables that drop what is to pass. With O(amend) there are none.
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

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _firewall, _wish
from ansible_collections.wirefleet.wireguard.plugins.module_utils._backend import FirewallError, State
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import changing


def diff(before: State, after: State) -> list[dict]:
    """One entry for each thing that differs."""
    return [
        {"before_header": title, "after_header": title, "before": before[title] or "", "after": text or ""}
        for title, text in after.items()
        if before[title] != text
    ]


def run(module: Module) -> dict:
    """Do what the options say; returns the result. Raises ValueError and FirewallError."""
    params, run_command = module.params, module.run_command
    wish = _wish.wish(
        *(params[each] for each in ("name", "listen_port", "forward", "masquerade", "kill_switch", "ping"))
    )
    if params["state"] == "absent":
        wish = _wish.Wish(params["name"])
    nothing = {"changed": False, "backend": "none", "persistent": True, "blocked_by": []}
    if params["backend"] == "none":
        if wish.kill_switch:
            raise ValueError("backend is none, and kill_switch needs rules: write auto or nftables, or leave it out")
        return nothing
    chosen = _firewall.choose(run_command, wish, params["backend"])
    if chosen is None:
        return nothing
    try:
        blocked_by = _firewall.missing(run_command, wish, chosen)
    except FirewallError as error:
        # Of the rules of others nothing can be said (an nft without JSON); ours are made all the same.
        module.warn(f"cannot tell whether other rules on this host drop what shall pass: {error}")
        blocked_by = []
    amended = blocked_by if params["amend"] else []
    differences = []
    for backend, share in _firewall.shares(run_command, wish, chosen, amended):
        before, after = backend.read(), backend.wanted(share)
        differences += diff(before, after)
        if before == after:
            continue
        if not module.check_mode:
            backend.apply(before, after)
        if not (backend.persistent or share.is_empty):
            module.warn(
                f"nothing on this host loads {backend.rules_path} at boot: have it run '{backend.load_command}'"
            )
    for obstacle in blocked_by if not amended else []:
        module.warn(
            f"the chain '{obstacle.chain}' of table {obstacle.family} {obstacle.table} drops {obstacle.traffic}: add "
            "that to its ruleset, or let amend do it. Until that is loaded anew, this does: "
            f"nft '{obstacle.remedy}'"
        )
    return {
        "changed": bool(differences),
        "diff": differences,
        "backend": chosen.name,
        "persistent": chosen.persistent or wish.is_empty,
        "blocked_by": [
            {
                "family": obstacle.family,
                "table": obstacle.table,
                "chain": obstacle.chain,
                "hook": obstacle.hook,
                "traffic": obstacle.traffic,
                "rule": obstacle.remedy,
            }
            for obstacle in ([] if amended else blocked_by)
        ],
    }


def main() -> None:
    """Entry point of the module."""
    module = Module(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "backend": {
                "type": "str",
                "choices": ["auto", "nftables", "iptables", "ufw", "firewalld", "none"],
                "default": "auto",
            },
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
            "ping": {"type": "bool", "default": False},
            "amend": {"type": "bool", "default": False},
            "require_rollback": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    with module.errors_reported(ValueError, FirewallError, OSError), changing(module):
        result = run(module)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
