# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.faults import PlanRefusedError, named
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import Plan, make_plan, not_told
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan_folder import (
    FileChange,
    PlanFolder,
    PlanFolderError,
)
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry import (
    RegistryError,
    parse_registry,
    render_registry,
)
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry_file import RegistryFile, default_path
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import host_slice, names_digests, plan_files
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import (
    PLAN,
    claims_of_facts,
    inventory_of,
    keys_seen,
)


class ActionModule(ControllerAction):
    """Plans all networks of the inventory, once a play, on the controller; see the module's documentation."""

    OPTIONS: t.ClassVar[dict[str, t.Any]] = {
        "record": {"type": "bool", "default": False},
        "registry_file": {"type": "path"},
        "output_dir": {"type": "path"},
        "partial_inventory": {"type": "bool", "default": False},
        "prune": {"type": "bool", "default": False},
    }
    VARIABLES: t.ClassVar[dict[str, str]] = {
        "record": "plan_record",
        "registry_file": "wireguard_registry_file",
        "output_dir": "plan_output_dir",
        "partial_inventory": "wireguard_partial_inventory",
        "prune": "wireguard_prune",
    }

    def decide(self, options: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Returns the plan with each host's part as one JSON text, which costs Ansible nothing to carry."""
        path = options["registry_file"] or default_path(task_vars.get("ansible_inventory_sources") or [], os.getcwd())
        inventory = inventory_of(self.believed, task_vars["groups"], AnsibleError)
        left_out = {
            host: reason for host in inventory.raw if (reason := claims_of_facts(host, self.believed.facts(host)))
        }
        keys = {host: found for host, found in keys_seen(inventory.raw).items() if host not in left_out}
        try:
            with RegistryFile(path) as registry_file:
                before = registry_file.read()
                registry = parse_registry(before, path)
                plan = make_plan(
                    inventory.plain,
                    registry,
                    keys,
                    partial=options["partial_inventory"],
                    prune=options["prune"],
                )
                after = render_registry(plan.registry)
                registry_changed = options["record"] and after != before
                if registry_changed and not self._task.check_mode:
                    registry_file.write(after)
            folder = PlanFolder(options["output_dir"]) if options["output_dir"] else None
            changes = folder.changes(plan_files(plan), self._hosts_to_write(task_vars)) if folder else []
            if folder and not self._task.check_mode:
                folder.apply(changes)
        except (PlanRefusedError, RegistryError, PlanFolderError) as error:
            raise AnsibleActionFail(str(error)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise AnsibleActionFail(f"{getattr(error, 'filename', None) or path}: {error}") from None
        left_out.update(plan.left_out)
        names = plan.names()
        digests = names_digests(names)
        hosts = {host: json.dumps(host_slice(parts, digests)) for host, parts in plan.hosts().items()}
        rollout = plan.rollout()
        known = (self.variables.get(PLAN) or {}).get("hosts", {})
        reached = set(self.play_hosts(task_vars)) - left_out.keys()
        result = {
            "changed": registry_changed or bool(changes),
            "registry_file": path,
            "hosts": hosts,
            "names": names,
            "rollout": rollout,
            "changed_parts": [host for host in rollout if hosts[host] != known.get(host)],
            "left_out": left_out,
            "leaving": plan.leaving(),
            "externals": plan.externals(),
            "preshared": [planned.network.name for planned in plan.networks if planned.network.preshared_keys],
            "networks": {planned.network.name: len(planned.paths.nodes) for planned in plan.networks},
            "rekeyed": [change._asdict() for change in plan.rekeyed],
            "keyless": plan.keyless,
            "departed": plan.departed,
            "revoking": plan.revoking(),
            "unreachable_nodes": plan.unreachable,
            "not_told": not_told(plan, registry, reached) if options["record"] else {},
        }
        if options["record"]:
            result["warnings"] = _warnings(plan)
        if self._task.diff:
            changed_files = [FileChange(path, before, after)] if registry_changed else []
            result["diff"] = [_diff(change) for change in (*changed_files, *changes)]
        return result

    def _hosts_to_write(self, task_vars: dict[str, t.Any]) -> set[str]:
        """The hosts whose files are written: those of the play, so that --limit leaves the others' alone."""
        return set(task_vars["ansible_play_hosts_all"])


def _diff(change: FileChange) -> dict[str, str]:
    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": change.before or "",
        "after": change.after or "",
    }


def _warnings(plan: Plan) -> list[str]:
    """What a person should be told although it is no fault."""
    told = [
        f"{named(names)} in {network}: no public key is known yet, so nobody has them as a peer; "
        "run again when they can be reached"
        for network, names in plan.keyless.items()
    ]
    told += [
        f"{change.node} in {change.network} has the new key {change.public_key} (it was {change.previous})"
        for change in plan.rekeyed
    ]
    told += [
        f"{named(names)} in {network}: there is no path between them and some others (allow_unreachable)"
        for network, names in plan.unreachable.items()
    ]
    return told
