# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.preshared import Told, plan_exchange
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import (
    preshared_keys_told,
    registered_plan,
)


class ActionModule(ControllerAction):
    """Decides which pairs exchange preshared keys, once a play; see the module's documentation."""

    OPTIONS: t.ClassVar[dict[str, t.Any]] = {"renew": {"type": "bool", "default": False}}
    VARIABLES: t.ClassVar[dict[str, str]] = {"renew": "wireguard_rotate_preshared_keys"}

    def decide(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Returns of every host that has something to do its part as one JSON text, and who takes part."""
        try:
            plan = registered_plan(self.variables)
        except LookupError as error:
            raise AnsibleActionFail(str(error)) from None
        hosts = self.play_hosts(task_vars)
        told = Told(*preshared_keys_told({host: self.believed.of_host(host) for host in hosts}))
        exchange: dict[str, list] = {}
        # Where nobody wants or has one, the hosts' parts need not be read.
        if plan["preshared"] or any(keys for of_host in told.in_use.values() for keys in of_host.values()):
            parts = {
                host: json.loads(plan["hosts"][host])["interfaces"] for host in told.in_use if host in plan["hosts"]
            }
            exchange = plan_exchange(parts, told, options["renew"], self._task.check_mode)
        not_asked = [host for host in hosts if host not in told.in_use and _has_interfaces(plan["hosts"].get(host))]
        return {
            "changed": False,
            "hosts": {host: json.dumps(part) for host, part in exchange.items()},
            "exchanging": hosts if not_asked else sorted(exchange),
        }


def _has_interfaces(part: str | None) -> bool:
    return bool(part and json.loads(part)["interfaces"])
