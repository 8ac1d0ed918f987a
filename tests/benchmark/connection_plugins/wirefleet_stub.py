# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import json
import re

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = r"""
name: wirefleet_stub
short_description: A host that is all in memory, and in order
description: Answers the modules of site as a host does on which nothing is left to do.
author: wirefleet contributors (@wirefleet)
"""

ANSWERS = {
    "ping": {"ping": "pong"},
    "wg_info": {
        "interfaces": [],
        "missing_tools": [],
        "tools": {
            "wg": "1.0.20210914",
            "wg_quick": True,
            "ip": True,
            "nft": "1.1.3",
            "sysctl": True,
            "wireguard_go": False,
            "pynacl": False,
        },
        "kernel": "6.12.38",
        "kernel_wireguard": True,
        "init": "systemd",
        "python": "3.13.5",
        "firewalls": [],
        "preshared_keys": {},
        "names": {},
        "connection": {"client": None, "interface": None},
        "sysctl": {"live": {"net.ipv4.ip_forward": "1"}, "persisted": {"wg0": {"net.ipv4.ip_forward": "1"}}},
        "links": {},
    },
    "wg_firewall": {"backend": "nftables", "persistent": True, "blocked_by": []},
    "wg_interface": {
        "public_key": None,
        "device": "kernel",
        "steps": [],
        "config_file": "/etc/wireguard/wg0.conf",
    },
}
DIGEST = re.compile(rb'\\*"digest\\*": ?\\*"(\w{64})')


class Connection(ConnectionBase):
    """Runs nothing: which module is asked for stands in what pipelining sends."""

    transport = "wirefleet_stub"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        (module,) = set(re.findall(rb"plugins[./]modules[./](wg_\w+)|ansible[./]modules[./](ping)", in_data or b""))
        answer = {"changed": False, **ANSWERS[b"".join(module).decode()]}
        if "sysctl" in answer:
            host = self._play_context.remote_addr
            key = base64.b64encode(hashlib.sha256(host.encode()).digest()).decode()
            # What is compared with the host comes as JSON in JSON, and is as it shall be.
            answer["as_wanted"] = {"wg0": DIGEST.search(in_data)[1].decode()}
            answer["public_keys"] = {"/etc/wireguard/wg0.key": key}
            answer["key_ages"] = {"/etc/wireguard/wg0.key": 1.5}
            if host != "host1":
                answer["sysctl"] = {**answer["sysctl"], "persisted": {}}
        return 0, json.dumps(answer).encode(), b""

    def put_file(self, in_path, out_path):
        raise NotImplementedError

    def fetch_file(self, in_path, out_path):
        raise NotImplementedError

    def close(self):
        self._connected = False
