# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all hosts' pings say together: the matrix that people look at, and what is not as planned."""

from __future__ import annotations

import collections
import typing as t

# A wider matrix fits no terminal; the counts and the failures say it all.
_DRAWN = 24


class Ping(t.NamedTuple):
    """One answer, or none: ``path`` is direct, relayed or none, as measured; ``planned`` counts the relays between."""

    network: str
    source: str
    target: str
    address: str
    path: str
    ttl: int | None
    as_planned: bool
    planned: int | None = None


class Verdict(t.NamedTuple):
    """``failures`` are pairs of hosts of this run that are not as planned, ``silent`` targets that it did not reach."""

    summary: list[str]
    matrix: list[str]
    failures: list[str]
    silent: list[str]


def judge(pings: t.Sequence[Ping], reached: t.Collection[str]) -> Verdict:
    """Judges the pings of all hosts; ``reached`` are the hosts that took part in this run.

    A laptop that sleeps is no fault of the network: what does not answer fails the run only if the run reached it.
    """
    summary, matrix = [], []
    for network, found in _by(pings, lambda ping: ping.network).items():
        paths = collections.Counter(ping.path for ping in found)
        answered = len(found) - paths["none"]
        summary.append(
            f"{network}: {answered} of {len(found)} pings answered, "
            f"{paths['direct']} direct, {paths['relayed']} through relays"
        )
        matrix += _matrix(found)
    failures = [_failure(ping) for ping in pings if not ping.as_planned and ping.target in reached]
    silent = sorted({ping.target for ping in pings if ping.path == "none" and ping.target not in reached})
    return Verdict(summary, matrix, failures, silent)


def _failure(ping: Ping) -> str:
    if ping.path == "none":
        way = {None: "", 0: " over their own tunnel", 1: " through a relay"}.get(ping.planned, " through relays")
        return f"{ping.network}: {ping.source} gets no answer from {ping.target} ({ping.address}){way}"
    return (
        f"{ping.network}: {ping.source} reaches {ping.target} ({ping.address}) {ping.path} with ttl {ping.ttl}, "
        "which is not the planned path"
    )


def _matrix(pings: t.Sequence[Ping]) -> list[str]:
    names = sorted({name for ping in pings for name in (ping.source, ping.target)})
    if len(names) > _DRAWN:
        return []
    cells: dict[tuple[str, str], str] = {}
    for ping in pings:
        word = {"none": "-", "direct": f"{ping.ttl}", "relayed": f"{ping.ttl}*"}[ping.path] + (
            "" if ping.as_planned else "!"
        )
        # With several addresses the worst one is shown.
        cells[ping.source, ping.target] = max(
            cells.get((ping.source, ping.target), ""), word, key=lambda cell: ("!" in cell, cell)
        )
    width = max(map(len, names))
    numbers = [str(number) for number in range(1, len(names) + 1)]
    lines = [f"{'ttl of replies':>{width + 4}}  " + " ".join(f"{number:>5}" for number in numbers)]
    for number, source in zip(numbers, names):
        row = " ".join(f"{'.' if source == target else cells.get((source, target), ''):>5}" for target in names)
        lines.append(f"{number:>3} {source:<{width}}  {row}")
    return [*lines, "(* through a relay, - no answer, ! not as planned)"]


def _by(pings: t.Sequence[Ping], key: t.Callable[[Ping], str]) -> dict[str, list[Ping]]:
    found: dict[str, list[Ping]] = {}
    for ping in pings:
        found.setdefault(key(ping), []).append(ping)
    return found
