# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from functools import cache

from ansible.errors import AnsibleActionFail

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rotation import (
    DEFAULT_SERIAL,
    Seen,
    Wish,
    batches,
    plan_rotation,
)
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import (
    key_ages,
    next_keys,
    plain_text,
    registered_plan,
)


class ActionModule(ControllerAction):
    """Decides whose keys are rotated and what their peers do, once a play; see the module's documentation."""

    OPTIONS: t.ClassVar[dict[str, t.Any]] = {
        "hosts": {"type": "list", "elements": "str"},
        "network": {"type": "str"},
        "older_than": {"type": "float"},
        "serial": {"type": "raw"},
        "force": {"type": "bool", "default": False},
    }
    VARIABLES: t.ClassVar[dict[str, str]] = {
        "older_than": "wireguard_rotate_older_than",
        "serial": "wireguard_serial",
        "force": "wireguard_rotate_force",
    }

    def decide(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Returns the batches, and for those whose next key is known each host's part as one JSON text."""
        try:
            plan = registered_plan(self.variables)
        except LookupError as error:
            raise AnsibleActionFail(str(error)) from None
        hosts = options["hosts"]
        if hosts is None:
            hosts = self.believed.matching(self.variable("wireguard_rotate_hosts") or "all")
        if not hosts:
            raise AnsibleActionFail("wireguard_rotate_hosts matches no host of the inventory; correct the pattern")

        @cache
        def part(host: str) -> dict[str, t.Any] | None:
            text = plan["hosts"].get(host)
            return json.loads(text) if text else None

        raw = {host: self.believed.of_host(host) for host in hosts}
        rotation = plan_rotation(
            Wish(hosts, options["network"], options["older_than"] or None, options["force"]),
            Seen(frozenset(self.play_hosts(task_vars)), key_ages(raw), next_keys(raw)),
            lambda host: part(host) and part(host)["interfaces"],
            frozenset(map(plain_text, plan["externals"])),
        )
        try:
            cut = {
                network: batches(names, options["serial"] or DEFAULT_SERIAL)
                for network, names in rotation.nodes.items()
            }
        except ValueError as error:
            raise AnsibleActionFail(f"wireguard_serial {error}") from None
        return {
            "changed": False,
            "batches": [{"network": network, "nodes": nodes} for network, parts in cut.items() for nodes in parts],
            "nodes": sorted(host for host, part in rotation.hosts.items() if "next_private_key_file" in part),
            "hosts": {host: json.dumps(part) for host, part in rotation.hosts.items()},
            "refused": rotation.refused,
            "by_hand": rotation.by_hand,
            "lost": rotation.lost,
        }
