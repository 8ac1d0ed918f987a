# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import re

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = r"""
name: wirefleet_liar
short_description: A host that is all in memory, and lies where it is told to
description:
  - Answers the modules of site as a host does on which all is left to do, and notes what it was asked.
  - The lies are in $STUB_FOLDER/lies.json, by host and module, each a text or what to put into the truthful answer.
author: wirefleet contributors (@wirefleet)
"""

# How each core's module wrapper holds the options: a JSON text as a Python literal.
OPTIONS = re.compile(rb"(?:ANSIBALLZ_PARAMS = |\bparams=)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")


def key_of(name):
    """The public key of a host's file."""
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


def mark_of(host, key):
    """The fingerprint of the preshared key that a host makes for a peer; four of them look like the sealed key."""
    return hashlib.sha256((host + key).encode()).hexdigest()[:32]


def truth(module, asked, host):
    """What a host without anything answers."""
    if module == "wg_info":
        return {
            "interfaces": [],
            "public_keys": {path: key_of(host) for path in asked["private_key_files"]},
            "key_ages": dict.fromkeys(asked["private_key_files"], 100.5),
            "preshared_keys": {},
            "as_wanted": {},
            "tools": {
                "wg": "1.0.20210914",
                "wg_quick": True,
                "ip": True,
                "nft": "1.1.3",
                "sysctl": True,
                "wireguard_go": False,
                "pynacl": False,
            },
            "missing_tools": [],
            "kernel": "6.12.38",
            "kernel_wireguard": True,
            "init": "systemd",
            "python": "3.13.5",
            "firewalls": [],
            "names": {},
            "connection": {"client": None, "interface": None},
            "sysctl": {"live": {"net.ipv4.ip_forward": "1"}, "persisted": {}},
            "links": {},
        }
    return {
        "ping": lambda: {"ping": "pong"},
        "setup": lambda: {"ansible_facts": {"ansible_system": "Linux"}},
        "wg_keypair": lambda: {"path": asked["path"], "public_key": key_of(host + asked["path"])},
        "wg_firewall": lambda: {"backend": "nftables", "persistent": True, "blocked_by": []},
        "wg_interface": lambda: {
            "changed": True,
            "public_key": key_of(host),
            "device": "kernel",
            "steps": ["write /etc/wireguard/wg0.conf"],
            "config_file": "/etc/wireguard/wg0.conf",
        },
        "wg_preshared": lambda: {
            "interface": asked["interface"],
            "offered": [
                {"public_key": key, "sealed": mark_of(host, key) * 4, "fingerprint": mark_of(host, key)}
                for key in asked.get("offer", [])
            ],
            "accepted": [
                {"public_key": one["public_key"], "fingerprint": one["sealed"][:32]} for one in asked.get("accept", [])
            ],
            "steps": [],
        },
        "wg_rotate": lambda: {"changed": True, "public_key": key_of(host), "steps": []},
        "wg_ping": lambda: {
            "results": [
                {
                    "name": target["name"],
                    "address": target["address"],
                    "reachable": True,
                    "ttl": 64,
                    "hops": 0,
                    "path": "direct",
                    "rtt_ms": 1.5,
                    "planned_hops": target["hops"],
                    "as_planned": True,
                    "error": None,
                }
                for target in asked["targets"]
            ]
        },
    }[module]()


class Connection(ConnectionBase):
    """Runs nothing: which module is asked for what stands in what pipelining sends."""

    transport = "wirefleet_liar"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        options = json.loads(ast.literal_eval(OPTIONS.search(in_data)[1].decode()))["ANSIBLE_MODULE_ARGS"]
        host, module = self._play_context.remote_addr, options["_ansible_module_name"].rpartition(".")[2]
        folder = os.environ["STUB_FOLDER"]
        asked = {name: value for name, value in options.items() if not name.startswith("_ansible")}
        with open(f"{folder}/asked-{host}", "a") as file:
            file.write(json.dumps([module, asked], sort_keys=True) + "\n")
        with open(f"{folder}/lies.json") as file:
            lie = json.load(file).get(host, {}).get(module, {})
        if isinstance(lie, str):
            return 0, lie.encode(), b""
        return 0, json.dumps({"changed": False, **truth(module, asked, host), **lie}).encode(), b""

    def put_file(self, in_path, out_path):
        raise NotImplementedError

    def fetch_file(self, in_path, out_path):
        raise NotImplementedError

    def close(self):
        self._connected = False
