# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an inventory: collected while it is read and checked, then refused as one message."""

from __future__ import annotations

import typing as t

from .values import shown

# A message is read by a person: past this many faults, the rest is counted. One broken group variable can make 10,000.
_LISTED = 50
# And of many nodes that share a fault, this many are named.
_NAMED = 10


class Fault(t.NamedTuple):
    """One fault: whose it is (a host, or ``network NAME``), the variable, and a sentence about it with the remedy."""

    owner: str
    variable: str
    text: str


class PlanRefusedError(Exception):
    """The inventory cannot be planned; ``faults`` has every reason, sorted, and ``str()`` is the message for people."""

    def __init__(self, faults: t.Iterable[Fault]) -> None:
        self.faults = sorted(set(faults))
        super().__init__(self._message())

    def _message(self) -> str:
        lines = [f"{fault.owner}: {fault.variable} {fault.text}" for fault in self.faults[:_LISTED]]
        count = f"{len(self.faults)} faults" if len(self.faults) > 1 else "one fault"
        if len(self.faults) > _LISTED:
            lines.append(f"... and {len(self.faults) - _LISTED} more")
        return f"The WireGuard plan is refused and no host was changed, for {count}:\n  " + "\n  ".join(lines)


class Faults:
    """Collects faults, so that all of them are told at once."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def add(self, owner: str, variable: str, text: str) -> None:
        """Records that ``variable`` of ``owner`` is at fault; ``text`` continues the sentence and names the remedy."""
        self._found.append(Fault(owner, variable, text))

    def value(self, owner: str, variable: str, value: object, error: ValueError) -> None:
        """Records a value that could not be read, with what its reader said."""
        self.add(owner, variable, f"is {shown(value)}, which {error}")

    def owners(self) -> set[str]:
        """Whose faults there are so far: what depends on their values need not be judged."""
        return {fault.owner for fault in self._found}

    def stop_if_any(self) -> None:
        """Raises :class:`PlanRefusedError` if anything was recorded."""
        if self._found:
            raise PlanRefusedError(self._found)


def named(names: t.Sequence[str]) -> str:
    """Names as a message lists them."""
    listed = ", ".join(names[:_NAMED])
    return listed if len(names) <= _NAMED else f"{listed} and {len(names) - _NAMED} more"
