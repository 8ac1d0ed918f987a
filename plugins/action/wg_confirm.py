# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.loader import action_loader

from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import ARGUMENTS
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.confirmed_change import CONFIRM, ConfirmedChange
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.host_action import HostAction

# Of a module's result: what belongs to the task, and what no host may set for others.
_NOT_OF_RESULTS = ("ansible_facts", "deprecations", "diff", "exception", "invocation", "warnings")


class ActionModule(HostAction):
    """Makes changes under a rollback, and confirms them over a new connection; see the module's documentation."""

    _supports_check_mode = True

    def work(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Returns what the module's RETURN says; without ``changes``, what the module on the host returns."""
        _validated, arguments = self.validate_argument_spec(**ARGUMENTS)
        if arguments["changes"] is None:
            options = {name: value for name, value in arguments.items() if name not in ("changes", "armed")}
            return self.ask(CONFIRM, options, task_vars)
        changes = [self._change(number, entry) for number, entry in enumerate(arguments["changes"])]
        return self._confirmed(ConfirmedChange(self, task_vars), changes, arguments)

    def _change(self, number: int, entry: dict[str, t.Any]) -> tuple[str, dict[str, t.Any]]:
        """The module and its options."""
        if len(entry) != 1:
            raise AnsibleActionFail(f"changes[{number}] has {len(entry)} keys; give one, the name of a module")
        [(module, options)] = entry.items()
        plugin = action_loader.get(module, class_only=True)
        if plugin and not issubclass(plugin, HostAction):
            raise AnsibleActionFail(f"changes[{number}]: {module} is an action plugin; use a module")
        return module, options or {}

    def _confirmed(
        self, change: ConfirmedChange, changes: list[tuple[str, dict[str, t.Any]]], arguments: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        if arguments["armed"] and not self._task.check_mode:
            predictions = [(module, change.predict(module, options)) for module, options in changes]
            failed = next((each for each in predictions if each[1].get("failed")), None)
            if failed or not any(prediction.get("changed") for _module, prediction in predictions):
                predicted = self._together(predictions, {"outcome": "not_armed", "problems": []})
                return {**predicted, "changed": False}
            armed = change.arm(arguments["timeout"], arguments["interfaces"], arguments["sysctls"], arguments["files"])
            if armed.get("failed"):
                return armed
        results: list[tuple[str, dict[str, t.Any]]] = []
        for module, options in changes:
            results.append((module, change.run(module, options)))
            if results[-1][1].get("failed"):
                break
        return self._together(results, change.finish())

    def _together(self, results: list[tuple[str, dict[str, t.Any]]], ending: dict[str, t.Any]) -> dict[str, t.Any]:
        """One result of those of all modules, and of what became of them."""
        said = [f"{module}: {result.get('msg', 'failed')}" for module, result in results if result.get("failed")]
        said += [ending["msg"]] if "msg" in ending else []
        alone = [result for _module, result in results]
        together = {
            **ending,
            "changed": any(result.get("changed") for result in alone),
            "results": [
                {"module": module, **{name: result[name] for name in result if name not in _NOT_OF_RESULTS}}
                for module, result in results
            ],
            "warnings": [warning for one in (*alone, ending) for warning in one.get("warnings", [])],
        }
        if said:
            together.update(failed=True, msg="; ".join(said))
        if self._task.diff:
            diffs = [result.get("diff") or [] for result in alone]
            together["diff"] = [one for diff in diffs for one in (diff if isinstance(diff, list) else [diff])]
        if self._task.check_mode:
            together = {name: value for name, value in together.items() if name not in ("outcome", "problems")}
        return together
