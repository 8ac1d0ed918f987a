# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import PINGS, plain_text
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.verdict import Ping, judge

# A message is read by a person.
_LISTED = 30


class ActionModule(ActionBase):
    """Judges the pings of all hosts of the play, once, on the controller; see the module's documentation."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns summary and matrix for people and the failures as a list; fails if there are any."""
        result = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        task_vars = task_vars or {}
        hosts = [plain_text(host) for host in task_vars["ansible_play_hosts"]]
        verdict = judge(list(_pings(task_vars["hostvars"], hosts)), frozenset(hosts))
        result.update(
            changed=False,
            failed=bool(verdict.failures),
            msg=[*verdict.summary, *verdict.matrix, *verdict.failures[:_LISTED]],
            failures=verdict.failures,
            silent=verdict.silent,
        )
        if verdict.silent:
            result["warnings"] = [
                f"not reached by this run and silent on the network: {', '.join(verdict.silent[:_LISTED])}"
            ]
        return result


def _pings(hostvars: t.Any, hosts: t.Sequence[str]) -> t.Iterator[Ping]:
    for source in hosts:
        for measured in (hostvars.raw_get(source).get(PINGS) or {}).get("results") or ():
            for ping in measured.get("results") or ():
                yield Ping(
                    plain_text(measured["item"]["network"]),
                    source,
                    plain_text(ping["name"]),
                    plain_text(ping["address"]),
                    plain_text(ping["path"]),
                    ping["ttl"],
                    bool(ping["as_planned"]),
                    ping["planned_hops"],
                )
