# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import PINGS, Raw, plain_text
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.verdict import Ping, judge

# A message is read by a person.
_LISTED = 30


class ActionModule(ControllerAction):
    """Judges the pings of all hosts of the play, once, on the controller; see the module's documentation."""

    def decide(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Returns summary and matrix for people and the failures as a list; fails if there are any."""
        hosts = self.play_hosts(task_vars)
        verdict = judge(list(_pings({host: self.believed.of_host(host) for host in hosts})), frozenset(hosts))
        result = {
            "changed": False,
            "failed": bool(verdict.failures),
            "msg": [*verdict.summary, *verdict.matrix, *verdict.failures[:_LISTED]],
            "failures": verdict.failures,
            "silent": verdict.silent,
        }
        if verdict.silent:
            result["warnings"] = [
                f"not reached by this run and silent on the network: {', '.join(verdict.silent[:_LISTED])}"
            ]
        return result


def _pings(raw: Raw) -> t.Iterator[Ping]:
    for source, variables in raw.items():
        for measured in (variables.get(PINGS) or {}).get("results") or ():
            for ping in measured.get("results") or ():
                yield Ping(
                    plain_text(measured["item"]["network"]),
                    source,
                    plain_text(ping["name"]),
                    plain_text(ping["address"]),
                    plain_text(ping["path"]),
                    ping["ttl"],
                    ping["as_planned"],
                    ping["planned_hops"],
                )
