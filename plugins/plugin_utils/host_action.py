# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the action plugins that run a module on a host: its answer is checked before ansible-core sees it."""

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.json_utils import _filter_non_json_lines
from ansible.plugins.action import ActionBase

from . import answers
from .believed import facts_of
from .variables import PLAN, claims_of_facts, plain_text


class HostAction(ActionBase):
    """Runs the module of the task on the host, and returns of its answer what `answers` describes.

    ansible-core acts on more of a result than on its values: ``ansible_facts`` become variables that beat those of the
    inventory, ``ansible_stats`` of a wrong type end the whole run (core 2.17 and 2.19), and from 2.19 on JSON can stand
    for types of its own. So the text of a host is parsed here first, and what ansible-core parses is written here.
    """

    TRANSFERS_FILES = False
    _question: tuple[str, str, dict[str, t.Any]] | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns the checked answer; a failure for a host that is left out, which then is not asked."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        reason = _left_out(task_vars)
        result.update({"failed": True, "changed": False, "msg": reason} if reason else self.work(task_vars))
        return result

    def work(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """What the plugin is for: here, running the module of its name with the task's options."""
        return self.ask(self._task.action, self._task.args, task_vars)

    def ask(self, module: str, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Runs ``module`` with these ``arguments`` on the host; the checked answer, or a failure, naming the host."""
        asked = {**arguments, "_check_mode": self._task.check_mode}
        self._question = (plain_text(task_vars["inventory_hostname"]), module.rpartition(".")[2], asked)
        answer = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
        self._remove_tmp_path(self._connection._shell.tmpdir)
        if self._question is not None:
            raise AnsibleActionFail("this version of ansible-core is not supported: the host's answer was not checked")
        return answer

    def _parse_returned_data(self, res: t.Any, *profile: t.Any) -> t.Any:
        """What ansible-core makes of an answer; it is given the checked one, or text without any JSON."""
        return super()._parse_returned_data({**res, **self._checked(res)}, *profile)

    def _checked(self, res: t.Mapping[str, t.Any]) -> dict[str, str]:
        """A host's output as JSON that holds nothing but checked values."""
        host, module, asked = self._question
        self._question = None
        output, errors_output = res.get("stdout") or "", res.get("stderr") or ""
        most = answers.longest(module, asked)
        if len(output) > most:
            errors = [f"{host}: the answer has {len(output)} characters, of at most {most}"]
            return _answered(failed=True, msg=answers.refusal(errors))
        if "{" not in output:
            # ansible-core tells a missing interpreter from other failures.
            return {"stdout": answers.cut(output), "stderr": answers.cut(errors_output)}
        try:
            result = json.loads(_filter_non_json_lines(output, objects_only=True)[0], parse_constant=_refuse)
        except (ValueError, RecursionError):
            failure = {"msg": f"{host} did not answer as a module does: see module_stdout and module_stderr"}
            failure |= {"module_stdout": output, "module_stderr": errors_output, "rc": res.get("rc")}
            return _answered(**answers.read_failure(failure))
        failed = bool(result.get("failed"))
        common = answers.read_fields(host, answers.COMMON, result, complete=False)
        answer = answers.read_answer(host, module, asked, result, complete=not failed)
        if failed:
            return _answered(**{**answer.values, **common.values, **answers.read_failure(result)})
        errors = [*common.errors, *answer.errors]
        if errors:
            return _answered(failed=True, msg=answers.refusal(errors))
        return _answered(**{"changed": False, **common.values, **answer.values})


def _answered(**values: t.Any) -> dict[str, str]:
    return {"stdout": json.dumps(values), "stderr": ""}


def _refuse(constant: str) -> t.NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _left_out(task_vars: t.Mapping[str, t.Any]) -> str | None:
    """Why this host is not asked: its facts have names that only the controller's side gives, or the plan says so."""
    host = plain_text(task_vars["inventory_hostname"])
    # A fact beats the inventory's name of the host too, and then whose facts are looked up?
    if "inventory_hostname" in task_vars.get("ansible_facts", ()):
        return claims_of_facts("a host", ["inventory_hostname"])
    plan = task_vars.get(PLAN) or {}
    return claims_of_facts(host, facts_of(task_vars["hostvars"], host)) or plan.get("left_out", {}).get(host)
