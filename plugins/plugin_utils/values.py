# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one value of a ``wireguard_*`` variable: from what people write to what the planner computes with.

Every function takes the raw value and returns the parsed one, or raises :class:`ValueError` whose text completes the
sentence "VARIABLE is VALUE: ..." and says what to write instead. Strings are accepted where INI inventories and
``-e name=value`` can give nothing else. No parsed value can hold a newline, a quote or another character that would be
syntax in a configuration file: names, keys, endpoints and prefixes are matched as a whole against what they may be.
What the modules on the hosts take as well is decided where they decide it (``module_utils/_values``); only the words
of the refusal are from here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import typing as t

from ..module_utils import _secrets, _values

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Prefix = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_ENDPOINT = re.compile(r"(?P<host>\[[^\[\]]+\]|[^\[\]:\s]+)(?::(?P<port>[0-9]{1,5}))?")
_NODE_NAME = re.compile(r"\w[\w.:@+-]{0,252}")
_LABEL = re.compile(r"\w[\w .:@+-]{0,62}")
# RFC 1123, section 2.1: what has only digits at its end is an address.
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_DNS_LABEL}\.)*(?![0-9]+$){_DNS_LABEL}")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SHOWN = 80


class Endpoint(t.NamedTuple):
    """Where a node can be reached: ``host`` is a name, or an address without brackets; no ``port`` is the default."""

    host: str
    port: int | None

    @property
    def address(self) -> Address | None:
        """The host as an address, None where it is a name."""
        return ipaddress.ip_address(self.host) if is_address(self.host) else None

    def __str__(self) -> str:
        """The form that wg(8) reads: ``host:port``, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def shown(value: object) -> str:
    """A value as messages quote it: on one line, printable, cut to a readable length, and without what may be a key."""
    masked = _secrets.masked_values(str(value) if isinstance(value, str) else value)
    text = repr(masked).replace(_secrets.UNCHANGED_SECRET, "(looks like a key)")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]}...{text[-1]}"


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address, as opposed to a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _text(value: object, what: str) -> str:
    if isinstance(value, str):
        return str(value).strip()
    raise ValueError(f"is no text; write {what}")


def boolean(value: object) -> bool:
    """true or false, also as the words that Ansible itself takes for them."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is neither true nor false; write true or false")


def _whole(value: object, low: int, high: int, what: str) -> int:
    # A boolean is an int to Python; `wireguard_port: yes` is a mistake to a person.
    if not isinstance(value, bool):
        if isinstance(value, int) and low <= value <= high:
            return int(value)
        # Digits that int() knows from other scripts, and numbers of unbounded length, are not what people mean.
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value.strip()) and low <= int(value) <= high:
            return int(value)
    raise ValueError(f"is no {what}; write a whole number from {low} to {high}")


def port(value: object) -> int:
    """A UDP port, 1 to 65535."""
    return _whole(value, 1, 65535, "UDP port")


def mtu(value: object) -> int:
    """An MTU in bytes; 576 is what every IPv4 host must take (RFC 791), 65535 the largest packet."""
    return _whole(value, 576, 65535, "MTU")


def keepalive(value: object) -> int:
    """Seconds between keepalives, 0 for none; wg(8) also knows the word ``off``."""
    if value is False or (isinstance(value, str) and value.strip().lower() in ("off", "false", "no")):
        return 0
    return _whole(value, 0, 65535, "keepalive in seconds")


def fwmark(value: object) -> int:
    """A 32-bit firewall mark, decimal or 0xHEX as in wg(8); 0 or ``off`` for none."""
    if isinstance(value, (str, int)):
        with contextlib.suppress(ValueError):
            return _values.fwmark("off" if value is False else str(value))
    raise ValueError("is no firewall mark; write off, a number below 4294967296 or 0x with up to 8 hexadecimal digits")


def table(value: object) -> str:
    """wg-quick's Table: ``auto``, ``off`` or the number of a routing table. YAML 1.1 reads a bare off as false."""
    if isinstance(value, (str, int)):
        with contextlib.suppress(ValueError):
            return _values.table("off" if value is False else str(value))
    raise ValueError("is no routing table; write auto, off or the number of a table")


def interface(value: object) -> str:
    """An interface name that wg-quick and the kernel both accept."""
    name = _text(value, "an interface name such as wg0")
    with contextlib.suppress(ValueError):
        return _values.interface(name)
    raise ValueError("is no interface name; write at most 15 letters, digits and _=+.- such as wg0")


def netns(value: object) -> str:
    """The name of a network namespace."""
    name = _text(value, "the name of a network namespace such as vpn")
    with contextlib.suppress(ValueError):
        return _values.netns(name)
    raise ValueError("is no name of a network namespace; write at most 64 letters, digits and _.- such as vpn")


def node_name(value: object) -> str:
    """The name of an inventory host: it becomes a folder of the plan and a comment in configuration files."""
    name = _text(value, "the name of an inventory host")
    if not _NODE_NAME.fullmatch(name):
        raise ValueError("cannot be a file name or a comment; write letters, digits and .:@+-_ only")
    return name


def label(value: object) -> str:
    """The name of a network, a group or a site."""
    name = _text(value, "a name")
    if not _LABEL.fullmatch(name):
        raise ValueError("is no plain name; write at most 63 letters, digits, spaces and .:@+-_")
    return name


def dns_name(value: object) -> str:
    """The name of a host or a domain, in lower case, without a dot at its end."""
    name = _text(value, "a domain such as vpn.example").lower()
    if not _DNS_NAME.fullmatch(name):
        raise ValueError("is no DNS name; write letters, digits and inner hyphens, with dots between, as vpn.example")
    return name


def topology(value: object) -> str:
    """One of the three topologies."""
    word = str(value).strip() if isinstance(value, str) else ""
    if word not in ("auto", "hub", "mesh"):
        raise ValueError("is no topology; write auto, hub or mesh")
    return word


def state(value: object) -> str:
    """present or absent."""
    word = str(value).strip() if isinstance(value, str) else ""
    if word not in ("present", "absent"):
        raise ValueError("is no state; write present or absent")
    return word


def endpoint(value: object) -> Endpoint:
    """``host``, ``host:port`` or ``[v6]:port``; see wg(8), Endpoint."""
    form = "write HOST, HOST:PORT or [IPV6]:PORT such as relay1.example.net:51820"
    text = _text(value, "HOST, HOST:PORT or [IPV6]:PORT")
    parts = _ENDPOINT.fullmatch(text)
    if not parts:
        hint = "an IPv6 address stands in brackets: " if text.count(":") > 1 else ""
        raise ValueError(f"is no endpoint; {hint}{form}")
    number = port(parts["port"]) if parts["port"] else None
    try:
        host = _values.endpoint(f"{parts['host']}:{number or 1}").rpartition(":")[0].strip("[]")
    except ValueError:
        what = "an IPv6 address" if parts["host"].startswith("[") else "a name or an address"
        raise ValueError(f"holds no host where {what} belongs; {form}") from None
    return Endpoint(host, number)


def public_key(value: object) -> str:
    """A Curve25519 key in base64: 44 characters for 32 bytes, as ``wg pubkey`` prints it."""
    text = _text(value, "the key as wg pubkey prints it")
    with contextlib.suppress(ValueError):
        return _values.public_key(text)
    raise ValueError("is no WireGuard key; write the 44 characters that wg pubkey prints")


def path(value: object) -> str:
    """An absolute path on the host."""
    text = _text(value, "an absolute path")
    with contextlib.suppress(ValueError):
        return _values.path("", text)
    raise ValueError("is no absolute path; write one such as /etc/wireguard/wg0.key")


def address(value: object) -> Address:
    """An IPv4 or IPv6 address without a prefix length: that one is derived."""
    text = _text(value, "an IP address such as 10.44.0.7")
    if "/" in text:
        raise ValueError(f"has a prefix length, which is derived; write {text.partition('/')[0] or '10.44.0.7'!r}")
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("is no IP address; write one such as 10.44.0.7 or fd44::7") from None
    if getattr(found, "scope_id", None):
        raise ValueError("has a zone; write the address without %ZONE")
    return found


def prefix(value: object) -> Prefix:
    """An IPv4 or IPv6 prefix, its host bits zero and not the whole internet."""
    text = _text(value, "a prefix such as 10.44.0.0/24")
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        try:
            nearest = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("is no prefix; write one such as 10.44.0.0/24 or fd44::/64") from None
        raise ValueError(f"has host bits set; write {nearest}") from None
    if "/" not in text:
        raise ValueError(f"has no prefix length; write {found} for this one address")
    if found.prefixlen == 0:
        raise ValueError("is the whole internet; for that there are wireguard_exit and wireguard_exit_via")
    return found


def hook(value: object) -> str:
    """A command of PreUp, PostUp, PreDown or PostDown: a shell line by wg-quick's design, but one line."""
    text = _text(value, "a command")
    if "#" in text:
        raise ValueError("has a '#', where wg-quick ends the line everywhere; put the command into a script")
    with contextlib.suppress(ValueError):
        return _values.command("", text)
    raise ValueError("is no single line; write one command on one line, several as a list")


def dns(value: object) -> str:
    """A DNS server's address or a search domain, as wg-quick's DNS takes both."""
    text = _text(value, "a DNS server's address or a search domain")
    for read in (_values.dns, _values.domain):
        with contextlib.suppress(ValueError):
            return read(text)
    raise ValueError("is no DNS server's address and no search domain; write one such as 10.44.0.1")


def several(one: t.Callable[[object], t.Any]) -> t.Callable[[object], tuple]:
    """The reader of a list of what ``one`` reads; a single value is a list of one. Double entries are dropped."""

    def read(value: object) -> tuple:
        entries = value if isinstance(value, (list, tuple)) else [value]
        found = []
        for entry in entries:
            try:
                found.append(one(entry))
            except ValueError as error:
                raise ValueError(
                    str(error) if len(entries) == 1 else f"has the entry {shown(entry)}, which {error}"
                ) from None
        return tuple(dict.fromkeys(found))

    return read
