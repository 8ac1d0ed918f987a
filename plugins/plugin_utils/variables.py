# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From Ansible's variables to the planner's plain data, without templating what is no template.

Templating every variable of every host is what makes fleets slow (design: 9 s against 44 s at 500 hosts); a host's raw
variables cost little, and only a value that holds Jinja is handed to Ansible's templating, in its host's own context.

Facts are what a host says of itself, so none of them is a variable here. A template in a host's own variables may use
them: its result is data about that host. What holds for a whole network is templated without them.
"""

from __future__ import annotations

import functools
import re
import typing as t

from ..module_utils._keys import key_to_come
from .answers import printable
from .inventory import OF_ALL_NODES, Inventory

_PREFIX = "wireguard_"
_JINJA = ("{{", "{%", "{#")
# What only the controller's side says: users' variables, those that roles and playbooks give to one another, and
# ansible-core's own names of a host, which facts beat as well.
_RESERVED = re.compile(
    r"wireguard_.*"
    r"|__(?:confirm|forwarding|install|interface|keypair|leave|outstanding|plan|preshared|rotate|verify)(?:_.*)?"
    r"|confirm_changes|interface_parts|leave_interfaces|plan_output_dir|plan_record"
    r"|inventory_(?:hostname|hostname_short|file|dir)|group_names"
)
_LISTED = 5

# Where the roles leave what they saw on a host: the results of wg_info and wg_keypair.
PROBE = "__install_probe"
KEYPAIRS = "__keypair_results"
# Where the rotate role leaves the results of wg_keypair for next keys.
NEXT_KEY = "__rotate_next"
# Where the preshared role leaves the results of wg_preshared.
PRESHARED_OFFERS = "__preshared_offers"
PRESHARED_ACCEPTS = "__preshared_accepts"
# Where the plan role leaves the result of wg_plan.
PLAN = "__plan_whole"
# Where the verify role leaves the results of wg_ping.
PINGS = "__verify_pings"

Raw = t.Mapping[str, t.Mapping[str, t.Any]]
"""{host: its variables without facts, as Ansible holds them}; the results in them were checked by `answers`."""


class Source(t.Protocol):
    """Where variables come from: `believed.Believed`."""

    def of_host(self, host: str) -> t.Mapping[str, t.Any]:
        """The raw variables of a host, without facts."""

    def with_own_facts(self, host: str, of_host: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
        """``of_host`` with the host's facts below."""

    def template(self, value: t.Any, variables: t.Mapping[str, t.Any]) -> t.Any:
        """``value``, templated."""


class ReadInventory(t.NamedTuple):
    """``plain`` is what the planner reads, ``raw`` {host: all its variables as Ansible holds them}."""

    plain: Inventory
    raw: Raw


def inventory_of(
    source: Source, groups: t.Mapping[str, t.Sequence[str]], template_error: type[Exception]
) -> ReadInventory:
    """Reads the ``wireguard_*`` variables of all hosts of the inventory, whatever --limit says.

    ``template_error`` is what a template that fails raises: a value like others that cannot be read.
    """
    raw = {plain_text(host): source.of_host(host) for host in groups["all"]}
    plain = _Plain()

    @functools.lru_cache(maxsize=1)
    def with_own_facts(host: str) -> t.Mapping[str, t.Any]:
        return source.with_own_facts(host, raw[host])

    def templated(host: str, name: str, value: t.Any) -> t.Any:
        of_all = name.removeprefix(_PREFIX) in OF_ALL_NODES
        variables = raw[host] if of_all else with_own_facts(host)
        try:
            return plain(source.template(value, variables))
        except template_error as error:
            reason = str(error).strip().partition("\n")[0]
            return FailedTemplate(f"{reason}; facts of hosts do not count here" if of_all else reason)

    variables = {
        host: {
            plain_text(name): templated(host, name, value) if has_template(value) else plain(value)
            for name, value in of_host.items()
            if name.startswith(_PREFIX)
        }
        for host, of_host in raw.items()
    }
    return ReadInventory(
        Inventory({plain_text(group): list(map(plain_text, hosts)) for group, hosts in groups.items()}, variables), raw
    )


def claims_of_facts(host: str, facts: t.Iterable[str]) -> str | None:
    """Why a host with these facts is left out of a run: some have names that only the controller's side gives.

    None if it is not. ``facts`` are names, as the host or a fact cache has them.
    """
    names = sorted(name for name in map(plain_text, facts) if _RESERVED.fullmatch(name))
    if not names:
        return None
    listed = ", ".join(printable(name, 80) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return (
        f"{host} is left out of this run: it has {listed} among its facts, which only the inventory may say. No "
        "module of Ansible gives that; if set_fact did, remove its 'cacheable', and remove the host from the fact cache"
    )


def registered_plan(variables: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """The result of wg_plan in this play. Raises LookupError, which says what to do, if there is none."""
    plan = variables.get(PLAN)
    if not plan or "hosts" not in plan:
        raise LookupError(
            f"there is no plan in this play; run wirefleet.wireguard.wg_plan first and register it as {PLAN}"
        )
    return plan


def keys_seen(raw: Raw) -> dict[str, dict[str, str]]:
    """{host: {key file: public key}} of the hosts that this run has asked, from the probe and from wg_keypair.

    In check mode a key that the run would make is told as ``key_to_come``: the plan is made as if it were there.
    """
    found: dict[str, dict[str, str]] = {}
    for host, variables in raw.items():
        keys = dict((variables.get(PROBE) or {}).get("public_keys") or {})
        for made in _results(variables, KEYPAIRS):
            if made.get("path"):
                keys[made["path"]] = made.get("public_key") or (made.get("changed") and key_to_come(host))
        seen = {plain_text(path): plain_text(key) for path, key in keys.items() if key}
        if seen:
            found[host] = seen
    return found


def next_keys(raw: Raw) -> dict[str, dict[str, str]]:
    """{host: {file of its next key: public key}} of the hosts that have made one in this run."""
    made = {host: variables.get(NEXT_KEY) or {} for host, variables in raw.items()}
    return {
        host: {plain_text(next_key["path"]): plain_text(next_key["public_key"])}
        for host, next_key in made.items()
        if next_key.get("public_key")
    }


def key_ages(raw: Raw) -> dict[str, dict[str, float]]:
    """{host: {key file: age in days}} of the hosts that this run has asked, from the probe."""
    return {
        host: {
            plain_text(path): float(age)
            for path, age in ((variables.get(PROBE) or {}).get("key_ages") or {}).items()
            if age is not None
        }
        for host, variables in raw.items()
    }


def preshared_keys_told(raw: Raw) -> tuple[dict[str, dict], dict[str, dict], dict[str, dict]]:
    """What the hosts that were asked use, have offered, and have accepted; each as {host: {interface: {peer: ...}}}."""
    in_use, offered, accepted = {}, {}, {}
    for host, variables in raw.items():
        probe = variables.get(PROBE) or {}
        if "preshared_keys" in probe:
            in_use[host] = {
                plain_text(interface): {plain_text(peer): plain_text(mark) for peer, mark in keys.items()}
                for interface, keys in probe["preshared_keys"].items()
            }
        for made in _results(variables, PRESHARED_OFFERS):
            if "offered" in made:
                offered.setdefault(host, {})[plain_text(made["interface"])] = {
                    plain_text(offer["public_key"]): {
                        name: plain_text(offer[name]) for name in ("sealed", "fingerprint")
                    }
                    for offer in made["offered"]
                }
        for opened in _results(variables, PRESHARED_ACCEPTS):
            if "accepted" in opened:
                accepted.setdefault(host, {})[plain_text(opened["interface"])] = {
                    plain_text(one["public_key"]): plain_text(one["fingerprint"]) for one in opened["accepted"]
                }
    return in_use, offered, accepted


def _results(variables: t.Mapping[str, t.Any], name: str) -> t.Sequence[t.Mapping[str, t.Any]]:
    """The results of a task that looped; one that failed for an item, or was skipped, lacks what it would have told."""
    return (variables.get(name) or {}).get("results") or ()


def plain_text(value: t.Any) -> str:
    """A text as Python's own string. ansible-core 2.17 marks texts by a subclass whose ``str()`` is marked again."""
    return str.__str__(value) if isinstance(value, str) else str(value)


class FailedTemplate:
    """Stands for a value whose template fails, so that it is refused like any other value that cannot be read."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __repr__(self) -> str:
        return f"a template that fails ({self._reason})"


def has_template(value: t.Any) -> bool:
    """Whether there is Jinja in a raw value."""
    if isinstance(value, str):
        return any(mark in value for mark in _JINJA)
    if isinstance(value, t.Mapping):
        return any(has_template(entry) for pair in value.items() for entry in pair)
    return isinstance(value, (list, tuple)) and any(map(has_template, value))


class _Plain:
    """Turns Ansible's tagged, lazy or vaulted values into Python's own; what hosts share through a group, once."""

    def __init__(self) -> None:
        self._turned: dict[int, tuple[t.Any, t.Any]] = {}

    def __call__(self, value: t.Any) -> t.Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, (t.Mapping, list, tuple)):
            known = self._turned.get(id(value))
            if known is None:
                # The value itself is kept too: only while it lives is its id its own.
                known = self._turned[id(value)] = (value, self._container(value))
            return known[1]
        return plain_text(value)

    def _container(self, value: t.Any) -> t.Any:
        if isinstance(value, t.Mapping):
            return {self(name): self(entry) for name, entry in value.items()}
        return [self(entry) for entry in value]
