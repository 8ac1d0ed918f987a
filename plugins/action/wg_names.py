# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.compat.version import LooseVersion

from ansible_collections.wirefleet.wireguard.plugins.module_utils._names import HOSTS, MARKER
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.host_action import HostAction
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import registered_plan

_ARGUMENTS = {
    "interface": {"type": "str", "required": True},
    "network": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "path": {"type": "path", "default": HOSTS},
}


class ActionModule(HostAction):
    """Has blockinfile write a network's names, which no host's variables ever hold; see the module's documentation."""

    def work(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Returns what blockinfile says, without the text."""
        _validated, arguments = self.validate_argument_spec(
            argument_spec=_ARGUMENTS, required_if=[("state", "present", ["network"])]
        )
        present = arguments["state"] == "present"
        block = {
            "path": arguments["path"],
            "marker": MARKER.format(arguments["interface"]),
            "block": self._names(task_vars, arguments["network"]) if present else "",
            "state": arguments["state"],
            "create": True,
        }
        # From then on it decodes the file, and in this encoding every file can be read and stays as it is.
        if LooseVersion(task_vars["ansible_version"]["full"]) >= LooseVersion("2.20"):
            block["encoding"] = "latin-1"
        return self.ask("ansible.builtin.blockinfile", block, task_vars)

    def _update_module_args(
        self, module_name: str, module_args: dict[str, t.Any], *others: t.Any, **named: t.Any
    ) -> None:
        """Keeps the names of the whole network out of the host's log; the result is not changed by that."""
        super()._update_module_args(module_name, module_args, *others, **named)
        module_args["_ansible_no_log"] = True

    def _names(self, task_vars: t.Mapping[str, t.Any], network: str) -> str:
        try:
            return registered_plan(task_vars)["names"][network]
        except KeyError:
            raise AnsibleActionFail(
                f"no host takes the names of {network}; write wireguard_names: true for the network"
            ) from None
        except LookupError as error:
            raise AnsibleActionFail(str(error)) from None
