# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Would somebody else's nftables chain still drop what our table accepts? Pure.

An ``accept`` ends one base chain only: every other base chain of the same hook sees the packet, too, and one ``drop``
suffices (nft(8), "VERDICT STATEMENT"). So each of them is walked through with what we know of the traffic. A rule
matches it for certain, never, or perhaps (it asks for something we do not know, like the sender's address).
"""

from __future__ import annotations

import fnmatch
import functools
import typing as t

ALWAYS, NEVER, PERHAPS = "always", "never", "perhaps"
ACCEPT, DROP = "accept", "drop"
# Statements that let a rule go on only sometimes.
CONDITIONAL = {"limit", "quota", "ct count"}
TRANSPORTS = {"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "ipv6-icmp", "igmp"}
FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}


class Traffic(t.NamedTuple):
    """A kind of packet that must pass a hook.

    ``facts``: what is known of all its packets, each a set of possible values, by what nft calls it (``iifname``,
    ``oifname``, ``l4proto``, ``dport``, ``type``, ``ct state``). ``rule``: how nft says it. ``narrowed_by``: the
    fact which, when a rule asks for it, shows that its author meant this traffic, whatever else he asks for.
    """

    hook: str
    rule: str
    facts: dict[str, set]
    versions: tuple[int, ...]
    narrowed_by: str | None = None


class Obstacle(t.NamedTuple):
    """A base chain that drops a kind of traffic."""

    family: str
    table: str
    chain: str
    hook: str
    traffic: str

    @property
    def where(self) -> str:
        """The chain, as nft's commands have it."""
        return f"{self.family} {self.table} {self.chain}"

    @property
    def remedy(self) -> str:
        """The nft command that lets the traffic through."""
        return f"insert rule {self.where} {self.traffic} accept"


def obstacles(
    ruleset: dict,
    governs: t.Callable[[str, str], bool],
    wanted: list[Traffic],
    read_set: t.Callable[[str, str, str, str], list],
) -> list[Obstacle]:
    """All base chains of others that drop a wanted kind of traffic.

    :param ruleset: what ``nft --json --terse list ruleset`` prints, decoded.
    :param governs: tells of a table, by family and name, whether its chains are not those of others.
    :param read_set: gives the elements of a named ``set`` or ``map``, by that word, family, table and name. Called only
        where they matter, since a blocklist may have a hundred thousand.
    """
    objects = ruleset["nftables"]
    chains = [entry["chain"] for entry in objects if "chain" in entry]
    rules: dict[tuple, list] = {(chain["family"], chain["table"], chain["name"]): [] for chain in chains}
    named = {}
    for entry in objects:
        if "rule" in entry:
            rule = entry["rule"]
            rules[rule["family"], rule["table"], rule["chain"]].append(rule["expr"])
        for kind in ("set", "map"):
            if kind in entry:
                named[entry[kind]["family"], entry[kind]["table"], entry[kind]["name"]] = kind
    read_set = functools.lru_cache(maxsize=None)(read_set)
    found = []
    for traffic in wanted:
        for chain in chains:
            family, table = chain["family"], chain["table"]
            if chain.get("type") != "filter" or chain["hook"] != traffic.hook or governs(family, table):
                continue
            for version in traffic.versions:
                walk = _Walk(family, table, rules, named, read_set, traffic, version)
                if family in FAMILIES[version] and (walk.chain(chain["name"]) or chain.get("policy", ACCEPT)) == DROP:
                    found.append(Obstacle(family, table, chain["name"], traffic.hook, traffic.rule))
                    break
    return found


class _Walk(t.NamedTuple):
    """One kind of traffic, of one IP version, on its way through the chains of one table."""

    family: str
    table: str
    rules: dict[tuple, list]
    named: dict[tuple, str]
    read_set: t.Callable[[str, str, str, str], list]
    traffic: Traffic
    version: int

    def chain(self, name: str, certain: bool = True, meant: bool = False) -> str | None:
        """What a chain does to the traffic: ACCEPT, DROP, or None if it comes out at the end.

        :param certain: False if only some of the traffic may get here; then it is not dropped as a whole.
        :param meant: whether a rule on the way asked for the fact that shows that this traffic is meant.
        """
        for rule in self.rules[self.family, self.table, name]:
            verdict, goes_on = self.rule(rule, certain, meant)
            if verdict or goes_on == NEVER:
                return verdict
            certain = certain and goes_on == ALWAYS
        return None

    def rule(self, statements: list[dict], certain: bool, meant: bool) -> tuple[str | None, str]:
        """What a rule does to the traffic; and whether it goes on to the next rule."""
        for statement in statements:
            kind, content = next(iter(statement.items()))
            if kind == "match" or (kind == "xt" and content["type"] == "match"):
                fits = self.match(content) if kind == "match" else self.foreign_match(content["name"])
                if fits == NEVER:
                    return None, ALWAYS
                certain = certain and fits == ALWAYS
                meant = meant or (kind == "match" and fits == ALWAYS and self.asks_for(content["left"]))
            elif kind in CONDITIONAL:
                certain = False
            elif kind == "vmap":
                return self.verdict_map(content, certain, meant)
            else:
                verdict, goes_on = self.verdict(kind, content, certain, meant)
                if verdict or goes_on != ALWAYS:
                    return verdict, goes_on
        return None, ALWAYS

    def verdict(self, kind: str, content: t.Any, certain: bool, meant: bool) -> tuple[str | None, str]:
        """As ``rule``, for one statement that may be a verdict."""
        if kind == "accept":
            return (ACCEPT if certain or meant else None), ALWAYS
        if kind in ("drop", "reject") or (kind == "xt" and content["name"] in ("DROP", "REJECT")):
            return (DROP if certain else None), ALWAYS
        leaves = NEVER if certain else PERHAPS
        if kind in ("jump", "goto"):
            return self.chain(content["target"], certain, meant), leaves if kind == "goto" else ALWAYS
        return None, leaves if kind == "return" else ALWAYS

    def verdict_map(self, content: dict, certain: bool, meant: bool) -> tuple[str | None, str]:
        """As ``rule``, for a verdict map: each of its entries is a rule of one match and one verdict."""
        for entry in self.elements(content["data"]):
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], dict):
                continue
            match = {"match": {"op": "==", "left": content["key"], "right": entry[0]}}
            verdict, goes_on = self.rule([match, entry[1]], certain, meant)
            if verdict or goes_on != ALWAYS:
                return verdict, goes_on
        return None, ALWAYS

    def foreign_match(self, name: str) -> str:
        """Whether a match of iptables fits, of which nft shows the name only."""
        established = self.traffic.facts.get("ct state") == {"established"}
        return ALWAYS if established and name in ("conntrack", "state") else PERHAPS

    def asks_for(self, left: t.Any) -> bool:
        """Whether a match looks at what shows that this traffic is meant."""
        return self.traffic.narrowed_by is not None and self.fact(left) == self.traffic.narrowed_by

    def fact(self, left: t.Any) -> str | None:
        """The name of what the left side of a match looks at; None if that is nothing we know."""
        if not isinstance(left, dict):
            return None
        if "meta" in left:
            return {"iif": "iifname", "oif": "oifname"}.get(left["meta"]["key"], left["meta"]["key"])
        if "ct" in left:
            return f"ct {left['ct']['key']}"
        payload = left.get("payload", {})
        if payload.get("protocol") in ("ip", "ip6"):
            return {"protocol": "l4proto", "nexthdr": "l4proto"}.get(payload.get("field"))
        return payload.get("field")

    def match(self, content: dict) -> str:
        """Whether a match fits all of the traffic, some of it perhaps, or none."""
        payload = content["left"].get("payload", {}) if isinstance(content["left"], dict) else {}
        protocol = payload.get("protocol")
        protocol = "ipv6-icmp" if protocol == "icmpv6" else protocol
        if protocol in ("ip", "ip6") and self.version != (4 if protocol == "ip" else 6):
            return NEVER
        facts = {"nfproto": {f"ipv{self.version}"}, "protocol": {"ip" if self.version == 4 else "ip6"}}
        facts.update(self.traffic.facts)
        l4proto = facts.get("l4proto")
        if l4proto and protocol in TRANSPORTS - l4proto:
            return NEVER
        values = facts.get(self.fact(content["left"]) or "")
        if values is None or content["op"] not in ("==", "!=", "in"):
            return PERHAPS
        wanted = self.elements(content["right"])
        hits = [any(_equal(value, each) for each in wanted) for value in values]
        if content["op"] == "!=":
            hits = [not hit for hit in hits]
        return ALWAYS if all(hits) else PERHAPS if any(hits) else NEVER

    def elements(self, right: t.Any) -> list:
        """The right side of a match as a list of values: of a set, a named set, or the one value itself."""
        if isinstance(right, str) and right.startswith("@"):
            found = (self.family, self.table, right[1:])
            right = self.read_set(self.named[found], *found)
        if isinstance(right, dict) and "set" in right:
            right = right["set"]
        return right if isinstance(right, list) else [right]


def _equal(value: t.Any, wanted: t.Any) -> bool:
    """Whether a value is the one in a rule: a number, a name (with * at its end for any rest), a range."""
    if isinstance(wanted, dict):
        if "elem" in wanted:
            return _equal(value, wanted["elem"]["val"])
        if "range" in wanted and isinstance(value, int):
            low, high = wanted["range"]
            return low <= value <= high
        return False
    if isinstance(value, str) and isinstance(wanted, str) and wanted.endswith("*"):
        return fnmatch.fnmatchcase(value, wanted)
    return value == wanted
