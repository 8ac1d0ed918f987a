# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the results of hosts enter: what each module may answer to what it was asked. Pure.

A host may be lying. Its answer is read field by field into plain values of the types and ranges below, as inventory
values are; what the question determines (paths, names, addresses) must come back as it was sent, and what is not
described is dropped. To read a new field of a result, describe it here, in the function that has its module's name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import re
import typing as t

from ..module_utils import _icmp, _values

Reader = t.Callable[[object], t.Any]
"""From one JSON value to the value that plugins work with. Raises ValueError: its text completes "is VALUE, which"."""
Fields = dict[str, t.Union[Reader, "Optional"]]
Asked = t.Mapping[str, t.Any]
"""A module's options as the task gives them, with ``_check_mode``."""

# A fleet of 10,000 fits many times. What a host sends beyond is refused before it is parsed or kept.
_MOST_INTERFACES = 1000
_MOST_PEERS = 100_000
_MOST_LINES = 400_000
_CHARACTERS_OF_REPORT = 32 * 2**20
_CHARACTERS_OF_ANSWER = 2**20
_CHARACTERS_PER_ASKED = 8
# What people read on a terminal.
_MESSAGE = 4000
_OUTPUT = 10_000
_MOST_WARNINGS = 20
_SHOWN = 80
_LISTED = 5

_SYSCTL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_./@:+=-]{0,255}")
_WORD = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.+-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
# Three times 32 bytes in base64: module_utils/_sealing.
_SEALED = re.compile(r"[A-Za-z0-9+/]{128}")


class Answer(t.NamedTuple):
    """``values`` are those of the fields that are as described; ``errors`` name host, field and value of the others."""

    values: dict[str, t.Any]
    errors: list[str]


class Optional(t.NamedTuple):
    """A field that a truthful answer may lack."""

    read: Reader


def read_answer(host: str, module: str, asked: Asked, result: object, complete: bool = True) -> Answer:
    """What ``module`` of this collection (its short name) on ``host`` answered to ``asked``.

    ``result`` is the parsed JSON. ``complete`` says that no described field may be missing, as in a success.
    An answer with an error is not to be used at all.
    """
    return read_fields(host, fields_of(module, asked), result, complete)


def read_fields(host: str, fields: Fields, result: object, complete: bool) -> Answer:
    """`read_answer` of these fields."""
    if not isinstance(result, dict):
        return Answer({}, [_error(host, WrongValueError("", result, "is not a dictionary"))])
    values, errors = {}, []
    for name, field in fields.items():
        if name not in result:
            if complete and not isinstance(field, Optional):
                errors.append(f"{host}: the answer has no {name}")
            continue
        try:
            values[name] = _at(name, field.read if isinstance(field, Optional) else field, result[name])
        except WrongValueError as error:
            errors.append(_error(host, error))
    return Answer(values, errors)


def fields_of(module: str, asked: Asked) -> Fields:
    """The fields of a module's answer, besides `COMMON`; of others than ours, which wg_confirm may run, only these."""
    return _MODULES.get(module, _nothing_more)(asked)


def longest(module: str, asked: Asked) -> int:
    """The number of characters that an answer may have; what it may list is mostly what was asked for."""
    if module not in _CLOSED or (module == "wg_info" and asked.get("interfaces") != []):
        return _CHARACTERS_OF_REPORT
    return _CHARACTERS_OF_ANSWER + _CHARACTERS_PER_ASKED * len(str(asked))


def refusal(errors: t.Sequence[str]) -> str:
    """The message of a host that is left out because of these errors."""
    more = f"; and {len(errors) - _LISTED} more errors" if len(errors) > _LISTED else ""
    return f"The host's answer is not used, and the host is left out of this run: {'; '.join(errors[:_LISTED])}{more}"


class WrongValueError(ValueError):
    """``value``, at ``place`` in the answer, is wrong for the reason in ``text``, which completes "is VALUE, which"."""

    def __init__(self, place: str, value: object, text: str) -> None:
        super().__init__(text)
        self.place, self.value, self.text = place, value, text


def _error(host: str, error: WrongValueError) -> str:
    return f"{host}: {error.place or 'the answer'} is {shown(error.value)}, which {error.text}"


def shown(value: object) -> str:
    """A value as messages quote it, whatever it is: short, on one line, without control characters."""
    if isinstance(value, dict):
        return f"a dictionary of {len(value)} entries"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)} entries"
    if isinstance(value, str):
        # repr() escapes what is not printable (str.isprintable).
        return repr(str.__str__(value)[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    if isinstance(value, int) and not -(10**_SHOWN) < value < 10**_SHOWN:
        return "a number of more than 80 digits"
    return repr(value)[:_SHOWN]


def printable(text: str, limit: int, lines: bool = False) -> str:
    """The text, cut to ``limit`` characters; what could move a terminal's cursor or reorder text becomes U+FFFD.

    With ``lines``, line breaks and tabs stay.
    """
    kept = "\n\t" if lines else ""
    text = text if len(text) <= limit else f"{text[:limit]}..."
    if text.translate(dict.fromkeys(map(ord, kept))).isprintable():
        return text
    return "".join(char if char.isprintable() or char in kept else "\ufffd" for char in text)


def cut(output: str) -> str:
    """The output of a host that is no answer, for people to read."""
    return printable(output, _OUTPUT, lines=True)


# --- readers ---------------------------------------------------------------------------------------------------------


def _at(place: str, read: Reader, value: object) -> t.Any:
    try:
        return read(value)
    except WrongValueError as error:
        raise WrongValueError(f"{place}{error.place}", error.value, error.text) from None
    except ValueError as error:
        raise WrongValueError(place, value, str(error)) from None


def flag(value: object) -> bool:
    """true or false."""
    if isinstance(value, bool):
        return value
    raise ValueError("is neither true nor false")


def number(low: int, high: int) -> Reader:
    """A whole number from ``low`` to ``high``."""

    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise ValueError(f"is not a whole number from {low} to {high}")

    return read


def real(low: float, high: float) -> Reader:
    """A finite number from ``low`` to ``high``."""

    def read(value: object) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and low <= value <= high and math.isfinite(value):
            return float(value)
        raise ValueError(f"is not a number from {low} to {high}")

    return read


def words(limit: int = 255, lines: bool = False) -> Reader:
    """Text for people: `printable`."""

    def read(value: object) -> str:
        if isinstance(value, str):
            return printable(value, limit, lines)
        raise ValueError("is not a text")

    return read


def matching(pattern: re.Pattern[str], what: str) -> Reader:
    """A text that matches as a whole."""

    def read(value: object) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise ValueError(f"is not {what}")

    return read


def valid(check: t.Callable[[str], t.Any], what: str) -> Reader:
    """A text that ``check`` accepts, as it was written; ``check`` raises ValueError for what it refuses."""

    def read(value: object) -> str:
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                check(value)
                return value
        raise ValueError(f"is not {what}")

    return read


def one_of(*choices: str) -> Reader:
    """One of these words."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(f"is not one of {', '.join(choices)}")

    return read


def exactly(expected: object) -> Reader:
    """What the question or another field determines."""
    expected = _plain(expected) if isinstance(expected, str) else expected

    def read(value: object) -> t.Any:
        if type(value) is type(expected) and value == expected:
            return expected
        raise ValueError(f"must be {shown(expected)}")

    return read


def among(expected: t.Sequence[object]) -> Reader:
    """One of what the question has, each as in `exactly`."""
    readers = [exactly(one) for one in expected]

    def read(value: object) -> t.Any:
        for reader in readers[:-1]:
            with contextlib.suppress(ValueError):
                return reader(value)
        return readers[-1](value)

    return read


def maybe(read: Reader) -> Reader:
    """null, or what ``read`` reads."""
    return lambda value: None if value is None else read(value)


def listing(item: Reader, most: int) -> Reader:
    """A list of at most ``most`` items."""

    def read(value: object) -> list[t.Any]:
        if not isinstance(value, list):
            raise ValueError("is not a list")
        if len(value) > most:
            raise ValueError(f"has more than {most} entries")
        return [_at(f"[{index}]", item, entry) for index, entry in enumerate(value)]

    return read


def each_of(items: t.Sequence[Reader]) -> Reader:
    """A list with one item for each reader, in this order."""

    def read(value: object) -> list[t.Any]:
        if not isinstance(value, list):
            raise ValueError("is not a list")
        if len(value) != len(items):
            raise ValueError(f"must have {len(items)} entries, one for each that was asked for")
        return [_at(f"[{index}]", item, entry) for index, (item, entry) in enumerate(zip(items, value))]

    return read


def mapping(name: Reader, entry: Reader, most: int) -> Reader:
    """A dictionary of at most ``most`` entries."""

    def read(value: object) -> dict[str, t.Any]:
        if not isinstance(value, dict):
            raise ValueError("is not a dictionary")
        if len(value) > most:
            raise ValueError(f"has more than {most} entries")
        return {_at(" key", name, key): _at(f"[{shown(key)}]", entry, one) for key, one in value.items()}

    return read


def exact_mapping(entries: t.Mapping[str, Reader]) -> Reader:
    """A dictionary with exactly these keys."""

    def read(value: object) -> dict[str, t.Any]:
        if not isinstance(value, dict):
            raise ValueError("is not a dictionary")
        if value.keys() != entries.keys():
            raise ValueError("does not have exactly the entries that were asked for")
        return {key: _at(f"[{shown(key)}]", entry, value[key]) for key, entry in entries.items()}

    return read


def some_of(entries: t.Mapping[str, Reader]) -> Reader:
    """A dictionary of which only these keys are read. A host may well have more than the plan knows of."""

    def read(value: object) -> dict[str, t.Any]:
        if not isinstance(value, dict):
            raise ValueError("is not a dictionary")
        return {key: _at(f"[{shown(key)}]", entry, value[key]) for key, entry in entries.items() if key in value}

    return read


def record(fields: Fields) -> Reader:
    """A dictionary with these fields; others are dropped."""

    def read(value: object) -> dict[str, t.Any]:
        if not isinstance(value, dict):
            raise ValueError("is not a dictionary")
        found = {}
        for name, field in fields.items():
            if name in value:
                found[name] = _at(f".{name}", field.read if isinstance(field, Optional) else field, value[name])
            elif not isinstance(field, Optional):
                raise ValueError(f"has no {name}")
        return found

    return read


def _network(text: str) -> None:
    # Addresses and networks are texts; to ipaddress a number would be one too.
    ipaddress.ip_network(text)


def _interface_address(text: str) -> None:
    if "/" not in text:
        raise ValueError
    ipaddress.ip_interface(text)


public_key = valid(_values.public_key, "a WireGuard key")
interface = valid(_values.interface, "an interface name")
netns = valid(_values.netns, "the name of a network namespace")
absolute_path = valid(lambda text: _values.path("", text), "an absolute path")
address = valid(ipaddress.ip_address, "an IP address")
prefix = valid(_network, "an IP network")
address_with_length = valid(_interface_address, "an IP address with prefix length")
endpoint = valid(_values.endpoint, "an endpoint")
fingerprint = matching(_FINGERPRINT, "a fingerprint")
digest = matching(_DIGEST, "a digest")
sealed = matching(_SEALED, "a sealed key")
word = matching(_WORD, "a plain word")
sysctl = matching(_SYSCTL, "the name of a sysctl")
count = number(0, 2**64 - 1)


# --- what is common to all answers -----------------------------------------------------------------------------------


def _message_of(value: object) -> str | None:
    """The text of a warning, which ansible-core from 2.19 on has modules send as a structure."""
    event = value.get("event") if isinstance(value, dict) else None
    text = event.get("msg") if isinstance(event, dict) else value
    return printable(text, _MESSAGE, lines=True) if isinstance(text, str) else None


def warnings(value: object) -> list[str]:
    """The warnings' texts; what is none is dropped, since no plugin reads them."""
    found = map(_message_of, value[:_MOST_WARNINGS]) if isinstance(value, list) else ()
    return [text for text in found if text]


def _scalar(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    return words(_MESSAGE)(value) if isinstance(value, str) else number(-(2**64), 2**64)(value)


def _side_of_diff(value: object) -> object:
    if isinstance(value, dict):
        return mapping(words(), _scalar, 100)(value)
    return words(_CHARACTERS_OF_REPORT, lines=True)(value)


_DIFF = record({name: Optional(_side_of_diff) for name in ("before", "after", "before_header", "after_header")})


def diff(value: object) -> object:
    """What ``--diff`` shows, of one thing or of several."""
    return listing(_DIFF, _MOST_INTERFACES)(value) if isinstance(value, list) else _DIFF(value)


COMMON: Fields = {"changed": Optional(flag), "warnings": Optional(warnings), "diff": Optional(diff)}
"""What ansible-core acts upon in any answer, and may."""


def _traceback_of(value: object) -> str | None:
    event = value.get("event") if isinstance(value, dict) else None
    text = event.get("formatted_traceback") if isinstance(event, dict) else value
    return printable(text, _OUTPUT, lines=True) if isinstance(text, str) else None


def read_failure(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What people see of a failure: ``msg``, and what there is of ``exception``, ``module_stdout`` and ``rc``."""
    found: dict[str, t.Any] = {"failed": True, "msg": "the module failed and did not say why"}
    for name, limit in (("msg", _MESSAGE), ("module_stdout", _OUTPUT), ("module_stderr", _OUTPUT)):
        if isinstance(result.get(name), str):
            found[name] = printable(result[name], limit, lines=True)
    if traceback := _traceback_of(result.get("exception")):
        found["exception"] = traceback
    with contextlib.suppress(ValueError):
        found["rc"] = number(-(2**31), 2**31)(result.get("rc"))
    return found


# --- the question, as far as the answer depends on it ----------------------------------------------------------------


def _texts(option: object) -> list[str]:
    """An option that is a list, in which a module takes a text with commas for one too."""
    entries = option.split(",") if isinstance(option, str) else option if isinstance(option, (list, tuple)) else ()
    return [str.__str__(entry) if isinstance(entry, str) else str(entry) for entry in entries]


def _dicts(option: object) -> list[t.Mapping[str, t.Any]] | None:
    """An option that is a list of dictionaries; None if it is written as texts, which only the module can read."""
    if option is None:
        return []
    is_plain = isinstance(option, (list, tuple)) and all(isinstance(entry, t.Mapping) for entry in option)
    return list(option) if is_plain else None


def _plain(value: object) -> str:
    return str.__str__(value) if isinstance(value, str) else str(value)


def _path(asked: object) -> Reader:
    """The path that was asked for; the host itself expands ``~`` and ``$``."""
    return absolute_path if any(sign in _plain(asked) for sign in "~$") else exactly(_plain(asked))


def _by_path(files: t.Sequence[str], entry: Reader) -> Reader:
    if any(sign in path for path in files for sign in "~$"):
        return mapping(absolute_path, entry, len(files))
    return exact_mapping(dict.fromkeys(files, entry))


def _keys(entries: object) -> list[str]:
    return [_plain(entry.get("public_key")) for entry in _dicts(entries) or ()]


# --- the answers -----------------------------------------------------------------------------------------------------


def _wg_info(asked: Asked) -> Fields:
    files = _texts(asked.get("private_key_files"))
    parts: dict[str, list[t.Mapping[str, t.Any]]] = {}
    for part in _dicts(asked.get("compare")) or ():
        parts.setdefault(_plain(part.get("interface", part.get("name"))), []).append(part)

    def by_interface(entry: t.Callable[[list[t.Mapping[str, t.Any]]], Reader]) -> Reader:
        """Of all that a host has, what the plan asks for; without a question, everything."""
        if not parts:
            return mapping(words(), entry([]), _MOST_INTERFACES)
        return some_of({name: entry(of_name) for name, of_name in parts.items()})

    def fingerprints(of_name: list[t.Mapping[str, t.Any]]) -> Reader:
        if not of_name:
            return mapping(words(), fingerprint, _MOST_PEERS)
        return some_of({key: fingerprint for part in of_name for key in _keys(part.get("peers"))})

    def digest_of(of_name: list[t.Mapping[str, t.Any]]) -> Reader:
        return among([part.get("digest") for part in of_name])

    firewalls = listing(words(), _MOST_INTERFACES)
    sysctl_values = mapping(sysctl, maybe(words()), _MOST_INTERFACES)
    return {
        "interfaces": listing(_INTERFACE, _MOST_INTERFACES),
        "public_keys": _by_path(files, maybe(public_key)),
        "key_ages": _by_path(files, maybe(real(-36500, 36500))),
        "preshared_keys": by_interface(fingerprints),
        "as_wanted": some_of({name: digest_of(of_name) for name, of_name in parts.items()}),
        "tools": _TOOLS,
        "missing_tools": listing(word, 100),
        "kernel": words(),
        "kernel_wireguard": flag,
        "init": one_of("systemd", "openrc", "other"),
        "python": words(),
        "firewalls": lambda value: [name for name in firewalls(value) if not parts or name in parts],
        "names": by_interface(lambda _parts: digest),
        "connection": record({"client": maybe(address), "interface": maybe(interface)}),
        "sysctl": record({"live": sysctl_values, "persisted": by_interface(lambda _parts: sysctl_values)}),
        "links": mapping(words(), words(), _MOST_INTERFACES),
    }


_PEER = record(
    {
        "public_key": public_key,
        "endpoint": maybe(endpoint),
        "allowed_ips": listing(prefix, _MOST_PEERS),
        "latest_handshake": maybe(count),
        "handshake_age": maybe(count),
        "online": flag,
        "rx_bytes": count,
        "tx_bytes": count,
        "persistent_keepalive": maybe(number(1, 65535)),
        "has_preshared_key": flag,
    }
)
_INTERFACE = record(
    {
        "name": words(),
        "state": one_of("up", "down"),
        "backend": maybe(one_of("kernel", "wireguard-go", "userspace")),
        "netns": maybe(netns),
        "public_key": maybe(public_key),
        "listen_port": maybe(number(0, 65535)),
        "fwmark": maybe(number(0, 2**32 - 1)),
        "mtu": maybe(number(0, 2**31 - 1)),
        "addresses": listing(address_with_length, _MOST_INTERFACES),
        "unit": record({"enabled": flag, "active": flag}),
        "config_file": record({"path": words(), "present": flag}),
        "peers": listing(_PEER, _MOST_PEERS),
    }
)
_TOOLS = record(
    {
        "wg": maybe(words()),
        "wg_quick": flag,
        "ip": flag,
        "nft": maybe(words()),
        "sysctl": flag,
        "wireguard_go": flag,
        "pynacl": flag,
    }
)


def _wg_keypair(asked: Asked) -> Fields:
    absent = asked.get("state") == "absent"
    # Only check mode leaves a key to be made.
    key = exactly(None) if absent else maybe(public_key) if asked.get("_check_mode") else public_key
    return {"path": _path(asked.get("path")), "public_key": key, "previous_public_key": Optional(maybe(public_key))}


def _wg_ping(asked: Asked) -> Fields:
    targets = _dicts(asked.get("targets"))
    if targets is None:
        return {"results": listing(_ping({}), _MOST_PEERS)}
    return {"results": each_of([_ping(target) for target in targets])}


def _ping(target: t.Mapping[str, t.Any]) -> Reader:
    """The answer of one target. All but ttl and time follows from these and from the question."""
    hops = target.get("hops")
    planned = None if hops is None else int(hops)
    known = {
        "address": exactly(_plain(target["address"])) if "address" in target else words(),
        "name": exactly(_plain(target.get("name") or target["address"])) if "address" in target else words(),
        "planned_hops": exactly(planned) if "address" in target else maybe(number(0, 255)),
    }
    told = record({"ttl": maybe(number(1, 255)), "rtt_ms": maybe(real(0, 1e9)), "error": maybe(words(_MESSAGE))})

    def read(value: object) -> dict[str, t.Any]:
        found = {**told(value), **record(known)(value)}
        passed = None if found["ttl"] is None else _icmp.hops(found["ttl"])
        follows = {
            "reachable": passed is not None,
            "hops": passed,
            "path": "none" if passed is None else "relayed" if passed else "direct",
            "as_planned": passed is not None and found["planned_hops"] in (None, passed),
        }
        return {**found, **record({name: exactly(expected) for name, expected in follows.items()})(value)}

    return read


def _wg_preshared(asked: Asked) -> Fields:
    makes = [] if asked.get("_check_mode") else _texts(asked.get("offer"))
    opens = [] if asked.get("_check_mode") else _keys(asked.get("accept"))
    return {
        "interface": exactly(_plain(asked.get("interface"))),
        "offered": each_of(
            [record({"public_key": exactly(key), "sealed": sealed, "fingerprint": fingerprint}) for key in makes]
        ),
        "accepted": each_of([record({"public_key": exactly(key), "fingerprint": fingerprint}) for key in opens]),
        "steps": _STEPS,
    }


_STEPS = listing(words(1000), _MOST_LINES)


def _wg_rotate(_asked: Asked) -> Fields:
    return {"public_key": maybe(public_key), "steps": _STEPS}


def _wg_interface(_asked: Asked) -> Fields:
    return {
        "public_key": maybe(public_key),
        "steps": _STEPS,
        "device": maybe(one_of("kernel", "wireguard-go", "userspace")),
        "config_file": absolute_path,
    }


def _wg_peer(_asked: Asked) -> Fields:
    return {"steps": _STEPS, "config_file": absolute_path}


def _wg_firewall(_asked: Asked) -> Fields:
    chain = record({name: words(1000) for name in ("family", "table", "chain", "hook", "traffic", "rule")})
    return {
        "backend": one_of("nftables", "iptables", "ufw", "firewalld", "none"),
        "persistent": flag,
        "blocked_by": listing(chain, _MOST_INTERFACES),
    }


def _wg_confirm(_asked: Asked) -> Fields:
    return {
        "problems": Optional(listing(words(1000), _MOST_INTERFACES)),
        "outcome": Optional(one_of("not_armed", "armed", "confirmed", "rolled_back", "unknown")),
    }


def _blockinfile(_asked: Asked) -> Fields:
    return {"msg": words(_MESSAGE)}


def _nothing_more(_asked: Asked) -> Fields:
    return {}


_MODULES: dict[str, t.Callable[[Asked], Fields]] = {
    "blockinfile": _blockinfile,
    "wg_confirm": _wg_confirm,
    "wg_firewall": _wg_firewall,
    "wg_info": _wg_info,
    "wg_interface": _wg_interface,
    "wg_keypair": _wg_keypair,
    "wg_peer": _wg_peer,
    "wg_ping": _wg_ping,
    "wg_preshared": _wg_preshared,
    "wg_rotate": _wg_rotate,
}
# Their answers grow with what was asked; those of the others with what is on the host.
_CLOSED = ("wg_confirm", "wg_info", "wg_keypair", "wg_ping", "wg_preshared", "wg_rotate")
