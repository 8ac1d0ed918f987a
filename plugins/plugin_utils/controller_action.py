# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the action plugins that run once a play, on the controller, with what all hosts have answered."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from .believed import Believed
from .variables import has_template, plain_text


class ControllerAction(ActionBase):
    """Decides for all hosts. What it decides from are variables without facts: `Believed`.

    An option that a task leaves out is the variable of the run that VARIABLES names, if that is set. Written as a
    template in a task, it would be templated with the facts of the first host, which so could set it for the whole run.
    """

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    OPTIONS: t.ClassVar[dict[str, t.Any]] = {}
    VARIABLES: t.ClassVar[dict[str, str]] = {}

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns the result of `decide`."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        self.believed = Believed(task_vars["hostvars"])
        # The run's variables are those of the first host of the play, also if it has failed since.
        self.variables = self.believed.of_task(self._task, task_vars["ansible_play_hosts_all"][0])
        result.update(self.decide(self._options(), task_vars))
        return result

    def decide(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """The result, from the checked ``options``; of ``task_vars`` only what no fact can set: ansible-core's own."""
        raise NotImplementedError

    def _options(self) -> dict[str, t.Any]:
        given = dict(self._task.args)
        for option, variable in self.VARIABLES.items():
            if given.get(option) is None:
                value = self.variable(variable)
                # As everywhere, an empty variable is an unset one.
                if value not in (None, ""):
                    given[option] = value
        checked = ArgumentSpecValidator(self.OPTIONS).validate(given)
        if checked.error_messages:
            raise AnsibleActionFail("; ".join(checked.error_messages))
        return checked.validated_parameters

    def variable(self, name: str) -> t.Any:
        """The value of a variable of the run, None if unset. Raises AnsibleActionFail if its template fails."""
        value = self.variables.get(name)
        if not has_template(value):
            return value
        try:
            return self.believed.template(value, self.variables)
        except AnsibleError as error:
            raise AnsibleActionFail(
                f"{name} is a template that fails ({str(error).strip()}); what holds for the whole run is templated "
                "without the facts of hosts"
            ) from None

    def play_hosts(self, task_vars: t.Mapping[str, t.Any]) -> list[str]:
        """The hosts of the play that have not failed."""
        return [plain_text(host) for host in task_vars["ansible_play_hosts"]]
