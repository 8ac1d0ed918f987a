# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.preshared import Told, plan_exchange
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import (
    plain_text,
    preshared_keys_told,
    registered_plan,
)


class ActionModule(ActionBase):
    """Decides which pairs exchange preshared keys, once a play; see the module's documentation."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns of every host that has something to do its part as one JSON text, and who takes part."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validated, arguments = self.validate_argument_spec(argument_spec={"renew": {"type": "bool", "default": False}})
        try:
            plan = registered_plan(task_vars)
        except LookupError as error:
            raise AnsibleActionFail(str(error)) from None
        hosts = [plain_text(host) for host in task_vars["ansible_play_hosts"]]
        raw = {host: task_vars["hostvars"].raw_get(host) for host in hosts}
        told = Told(*preshared_keys_told(raw))
        exchange: dict[str, list] = {}
        # Where nobody wants or has one, the hosts' parts need not be read.
        if plan["preshared"] or any(keys for of_host in told.in_use.values() for keys in of_host.values()):
            parts = {
                host: json.loads(plan["hosts"][host])["interfaces"] for host in told.in_use if host in plan["hosts"]
            }
            exchange = plan_exchange(parts, told, arguments["renew"], self._task.check_mode)
        not_asked = [host for host in hosts if host not in told.in_use and _has_interfaces(plan["hosts"].get(host))]
        result.update(
            changed=False,
            hosts={host: json.dumps(part) for host, part in exchange.items()},
            exchanging=hosts if not_asked else sorted(exchange),
        )
        return result


def _has_interfaces(part: str | None) -> bool:
    return bool(part and json.loads(part)["interfaces"])
