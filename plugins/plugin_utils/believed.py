# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's variables as the controller's side has set them: without facts, which are what hosts say of themselves.

Facts beat the variables of the inventory, and any result of any module can set them. No public interface of
ansible-core gives variables without facts, so this is the one place that knows its inside (2.17, 2.19 and 2.21).
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.template import Templar

from .variables import plain_text

# Of what ansible-core makes of facts, these are there without facts too, and empty.
_OF_FACTS = ("ansible_facts", "ansible_local")


class _NoFacts:
    """Stands for a fact cache in which there is nothing."""

    def get(self, _host: str, _default: object = None) -> dict[str, t.Any]:
        return {}


class Believed:
    """Variables of hosts and tasks without facts: of inventory, groups, plays, roles, set_fact, include_vars and -e."""

    def __init__(self, hostvars: t.Any) -> None:
        self._hostvars = hostvars
        self._loader = hostvars._loader
        self._inventory = hostvars._inventory
        manager = hostvars._variable_manager
        # Not copy.copy(), for which core 2.17 leaves out what is costly to send to another process.
        self._manager = object.__new__(type(manager))
        self._manager.__dict__.update(manager.__dict__)
        if not hasattr(manager, "_fact_cache"):
            raise AnsibleError("this version of ansible-core is not supported: facts cannot be told from variables")
        self._manager._fact_cache = _NoFacts()
        # For templates in tasks that name other hosts; it makes itself known to the manager.
        type(hostvars)(self._inventory, self._manager, self._loader)

    def of_host(self, host: str) -> dict[str, t.Any]:
        """The raw variables of a host, not templated."""
        return self._manager.get_vars(host=self._inventory.get_host(host), include_hostvars=False)

    def with_own_facts(self, host: str, of_host: dict[str, t.Any]) -> dict[str, t.Any]:
        """``of_host`` and the host's facts, which fill what is missing in it, and are all named ``ansible_...``."""
        if not facts_of(self._hostvars, host):
            return of_host
        everything = self._hostvars.raw_get(host)
        facts = {name: value for name, value in everything.items() if name.startswith("ansible_")}
        return {**facts, **{name: value for name, value in of_host.items() if name not in _OF_FACTS}}

    def of_task(self, task: t.Any, host: str) -> dict[str, t.Any]:
        """The raw variables that a task sees on a host; with those of its play, role and blocks."""
        return self._manager.get_vars(play=task.get_play(), host=self._inventory.get_host(host), task=task)

    def template(self, value: t.Any, variables: dict[str, t.Any]) -> t.Any:
        """``value`` templated with raw variables. Raises AnsibleError, also for what is undefined."""
        return Templar(loader=self._loader, variables=variables).template(value)

    def facts(self, host: str) -> t.Collection[str]:
        """`facts_of`."""
        return facts_of(self._hostvars, host)

    def matching(self, pattern: t.Any) -> list[str]:
        """The names of the hosts of the inventory that a host pattern means, whatever --limit says."""
        hosts = self._inventory.get_hosts(pattern, ignore_limits=True, ignore_restrictions=True)
        return [plain_text(host.name) for host in hosts]


def facts_of(hostvars: t.Any, host: str) -> t.Collection[str]:
    """The names of the facts that this run or a fact cache has of a host."""
    try:
        return hostvars._variable_manager._fact_cache.get(host) or {}
    except KeyError:  # core 2.19 and later
        return {}
