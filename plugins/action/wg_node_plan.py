# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import registered_plan

_NOTHING: dict[str, t.Any] = {
    "interfaces": [],
    "sysctl": [],
    "firewall": [],
    "names": [],
    "ping": [],
    "leaving": [],
}


class ActionModule(ActionBase):
    """Gives a host its part of the plan, without templating the parts of all others; see the module's documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns the host's part as plain keys; a host that is in no network gets empty lists."""
        result = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        task_vars = task_vars or {}
        try:
            plan = registered_plan(task_vars)
        except LookupError as error:
            raise AnsibleActionFail(str(error)) from None
        part = plan["hosts"].get(task_vars["inventory_hostname"])
        result.update(json.loads(part) if part else _NOTHING)
        return result
