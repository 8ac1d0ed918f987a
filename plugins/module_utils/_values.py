# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the values of options on the host: what passes can be no syntax in a file, an argument or a path.

Every function returns the value in its normal form or raises ValueError, whose text names the value and what to write;
what looks like a key in the value of a path or a command is not in it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import normal_address, normal_network
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import decode_key
from ansible_collections.wirefleet.wireguard.plugins.module_utils._secrets import masked_words

# wg-quick(8), parse_options: the interface is the file's name, at most IFNAMSIZ - 1 characters.
_INTERFACE = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
# ip-netns(8) takes any file name; this one is also a word in a script.
_NETNS = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,63}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_SCOPED_ADDRESS = re.compile(r"([0-9a-fA-F:.]+)(%[a-zA-Z0-9_=+.-]{1,15})?")
_DOMAIN = re.compile(r"(?!~\.)~?[A-Za-z0-9_.-]{1,253}")


def interface(text: str) -> str:
    """The name of an interface."""
    if not _INTERFACE.fullmatch(text) or text in (".", ".."):
        raise ValueError(f"name is {text!r}: write at most 15 letters, digits and _=+.- such as wg0")
    return text


def netns(text: str) -> str:
    """The name of a network namespace."""
    if not _NETNS.fullmatch(text):
        raise ValueError(f"netns is {text!r}: write at most 64 letters, digits and _.- such as vpn")
    return text


def public_key(text: str) -> str:
    """A public key in WireGuard's text form."""
    try:
        decode_key(text)
    except ValueError as error:
        raise ValueError(f"public_key is {text!r}: {error}; write the 44 characters that 'wg pubkey' prints") from None
    return text


def line(option: str, text: str) -> str:
    """Text that stays on its line."""
    if _UNPRINTABLE.search(text) or not text.strip() or text.strip() != text:
        raise ValueError(
            f"{option} is {masked_words(text)!r}: write one line of text without control characters and outer spaces"
        )
    return text


def command(option: str, text: str) -> str:
    """A hook: one shell command line. wg-quick cuts every line of its file at the first '#'."""
    if "#" in text:
        raise ValueError(
            f"{option} is {masked_words(text)!r}: wg-quick takes '#' for a comment everywhere; put the command in a "
            "script"
        )
    return line(option, text)


def path(option: str, text: str) -> str:
    """An absolute path; never a key in the place of the path of its file."""
    if re.fullmatch(r"/[A-Za-z0-9+/]{41,43}=?", text) and masked_words(text) != text:
        raise ValueError(f"{option} looks like a key: write the path of the file that holds it")
    if not text.startswith("/"):
        raise ValueError(f"{option} is {masked_words(text)!r}: write an absolute path such as /etc/wireguard/wg0.key")
    return line(option, text)


def number(option: str, value: int, low: int, high: int) -> int:
    """A number in its range."""
    if not low <= value <= high:
        raise ValueError(f"{option} is {value}: write a number from {low} to {high}")
    return value


def fwmark(text: str) -> int:
    """A firewall mark as wg(8) takes it, ``off`` (0), decimal or 0x and hexadecimal digits, as a number."""
    word = text.strip().lower()
    if word in ("off", "false"):  # YAML 1.1 makes false of a bare off
        return 0
    if re.fullmatch(r"0x[0-9a-f]{1,8}", word):
        return int(word, 16)
    if re.fullmatch(r"[0-9]{1,10}", word) and int(word) < 2**32:
        return int(word)
    raise ValueError(f"fwmark is {text!r}: write off, a number below 4294967296 or 0x with up to 8 hexadecimal digits")


def table(text: str) -> str:
    """wg-quick's Table: ``auto``, ``off`` or a number."""
    word = text.strip().lower()
    if word == "false":
        return "off"
    if word in ("auto", "off"):
        return word
    if re.fullmatch(r"[0-9]{1,10}", word) and 0 < int(word) < 2**32:
        return str(int(word))
    raise ValueError(f"table is {text!r}: write auto, off or the number of a routing table")


def endpoint(text: str) -> str:
    """``host:port`` or ``[IPv6]:port``, as wg(8) takes it."""
    host, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
        if host.startswith("[") and host.endswith("]"):
            scoped = _SCOPED_ADDRESS.fullmatch(host[1:-1])
            if scoped and ":" in scoped[1] and _is(normal_address, scoped[1]):
                return f"[{normal_address(scoped[1])[:-4]}{scoped[2] or ''}]:{int(port)}"
        elif re.fullmatch(r"[0-9.]+", host):
            if _is(normal_address, host):
                return f"{host}:{int(port)}"
        elif _HOST.fullmatch(host) and not host.startswith(("-", ".")):
            return f"{host}:{int(port)}"
    raise ValueError(f"endpoint is {text!r}: write HOST:PORT or [IPV6]:PORT such as relay1.example.net:51820")


def dns(text: str) -> str:
    """The address of a name server."""
    if "/" in text or not _is(normal_address, text):
        raise ValueError(f"dns is {text!r}: write the address of a name server; search domains go to dns_search")
    return normal_address(text).rpartition("/")[0]


def domain(text: str) -> str:
    """A search domain, or ``~`` and a domain that alone is asked for. wg-quick takes digits and dots for a server."""
    if not _DOMAIN.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"dns_search is {text!r}: write a domain such as example.net")
    return text


def networks(option: str, texts: t.Iterable[str]) -> tuple[str, ...]:
    """Networks in normal form, in the order given, each once."""
    return tuple(dict.fromkeys(_each(option, texts, normal_network)))


def addresses(option: str, texts: t.Iterable[str]) -> tuple[str, ...]:
    """Addresses with prefix length, in the order given, each once."""
    return tuple(dict.fromkeys(_each(option, texts, normal_address)))


def _each(option: str, texts: t.Iterable[str], read: t.Callable[[str], str]) -> t.Iterator[str]:
    try:
        for text in texts:
            yield read(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def _is(read: t.Callable[[str], str], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True
