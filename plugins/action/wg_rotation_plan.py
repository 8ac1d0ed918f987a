# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from functools import cache

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

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

_ARGUMENTS = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "network": {"type": "str"},
    "older_than": {"type": "float"},
    "serial": {"type": "raw"},
    "force": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Decides whose keys are rotated and what their peers do, once a play; see the module's documentation."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns the batches, and for those whose next key is known each host's part as one JSON text."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validated, arguments = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        try:
            plan = registered_plan(task_vars)
        except LookupError as error:
            raise AnsibleActionFail(str(error)) from None
        hosts = [plain_text(host) for host in arguments["hosts"]]
        if not hosts:
            raise AnsibleActionFail("wireguard_rotate_hosts matches no host of the inventory; correct the pattern")

        @cache
        def part(host: str) -> dict[str, t.Any] | None:
            text = plan["hosts"].get(host)
            return json.loads(text) if text else None

        raw = {host: task_vars["hostvars"].raw_get(host) for host in hosts}
        rotation = plan_rotation(
            Wish(hosts, arguments["network"], arguments["older_than"], arguments["force"]),
            Seen(frozenset(map(plain_text, task_vars["ansible_play_hosts"])), key_ages(raw), next_keys(raw)),
            lambda host: part(host) and part(host)["interfaces"],
            frozenset(map(plain_text, plan["externals"])),
        )
        try:
            cut = {
                network: batches(names, arguments["serial"] or DEFAULT_SERIAL)
                for network, names in rotation.nodes.items()
            }
        except ValueError as error:
            raise AnsibleActionFail(f"wireguard_serial {error}") from None
        result.update(
            changed=False,
            batches=[{"network": network, "nodes": nodes} for network, parts in cut.items() for nodes in parts],
            nodes=sorted(host for host, part in rotation.hosts.items() if "next_private_key_file" in part),
            hosts={host: json.dumps(part) for host, part in rotation.hosts.items()},
            refused=rotation.refused,
            by_hand=rotation.by_hand,
            lost=rotation.lost,
        )
        return result
