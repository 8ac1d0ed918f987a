# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes secrets out of text that people or logs get to see. Pure.

A key that is written wrongly (a character lost, quoted, split by spaces) is as secret as one that is right, and no tool
would call it a key. So a file is shown only where it is understood, and elsewhere nothing that looks like a key is.
"""

from __future__ import annotations

import errno
import os
import re
import typing as t

UNCHANGED_SECRET = "(on the host)"
CHANGED_SECRET = "(changed on the host)"
# In the place of a secret that is not there yet (check mode): it is equal to none.
NOT_YET = "(not yet there)"
PLACEHOLDERS = (UNCHANGED_SECRET, CHANGED_SECRET, NOT_YET)

# The settings of wg-quick(8) and wg(8), as they are spelled there, and the two of them that are secret.
SETTINGS = {
    name.lower(): name
    for name in (
        *("PrivateKey", "Address", "ListenPort", "FwMark", "MTU", "Table", "DNS", "SaveConfig"),
        *("PreUp", "PostUp", "PreDown", "PostDown"),
        *("PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"),
    )
}
SECRET_SETTINGS = ("privatekey", "presharedkey")

# What wg(8) takes for a public key where it stands: after "peer" in a command, after "PublicKey =" in a file.
_PUBLIC_KEY = re.compile(r"(?:\bpeer[ \t]+|^[ \t]*PublicKey[ \t]*=[ \t]*)[A-Za-z0-9+/]{43}=", re.IGNORECASE)
_SECRET_NAME = re.compile(r"(?:private|pre-?shared)[ _-]?key|\bpsk\b", re.IGNORECASE)
# What a shell command hands on by itself: the words of echo and printf, and of a here-string.
_HANDED_ON = re.compile(r"((?:\becho|\bprintf|<<<)\s)[^|;&)\n]+")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{40,}=*|[A-Za-z0-9+/]{20,}=*")
_HEXADECIMAL_KEY = re.compile(r"(?=.*[0-9])(?=.*[a-fA-F])[0-9a-fA-F]{40,}")
_KEY_CHARACTERS = 40  # of 44: with a few lost it is a key still
# Random base64 has digits, and changes between upper case, lower case and all else at 64 of 100 characters; words and
# paths rarely do.
_CHANGES = 0.4


def masked_words(text: str) -> str:
    """A command, a comment or a message, without what looks like a key. A public key stays where ``wg`` expects one."""
    if _SECRET_NAME.search(text):
        text = _HANDED_ON.sub(rf"\1{UNCHANGED_SECRET}", text)
    public = [found.span() for found in _PUBLIC_KEY.finditer(text)]

    def mask(found: re.Match[str]) -> str:
        is_public = any(begin <= found.start() and found.end() <= end for begin, end in public)
        return UNCHANGED_SECRET if _looks_like_a_key(found[0]) and not is_public else found[0]

    return _RUN.sub(mask, text)


def _looks_like_a_key(run: str) -> bool:
    if _HEXADECIMAL_KEY.fullmatch(run):
        return True
    if run.islower() or run.isupper():
        return False
    if len(run.rstrip("=")) >= _KEY_CHARACTERS and not re.search("[_-]", run):
        return True
    if run.startswith("/") or not re.search("[0-9+]", run):
        return False
    kinds = [(one.isupper(), one.islower()) for one in run]
    changes = sum(one != other for one, other in zip(kinds, kinds[1:]))
    return changes >= _CHANGES * len(run)


def masked_output(text: str) -> str:
    """What a tool wrote that may have read a secret: without what it quotes (`...' is how wg and bash do) as well."""
    return masked_words(re.sub(r"`[^\n]*'", f"`{UNCHANGED_SECRET}'", text))


def masked_comment(text: str) -> str:
    """What follows a ``#``: nothing is shown from where it speaks of a secret on."""
    named = _SECRET_NAME.search(text)
    if named and text[named.end() :].strip(" =:") not in PLACEHOLDERS:
        rest = f" {UNCHANGED_SECRET}" if text[named.end() :].strip() else ""
        return masked_words(text[: named.end()]) + rest
    return masked_words(text)


def masked(text: str) -> str:
    """A whole file of wg-quick(8), or what should be one. A line that is none of such a file is not shown."""
    return "".join(_masked_line(*re.fullmatch(r"(.*?)(\r?\n?)", line, re.DOTALL).groups()) for line in _lines(text))


def _lines(text: str) -> list[str]:
    # Not splitlines(): what it takes for the end of a line besides may stand in a value.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _masked_line(line: str, end: str) -> str:
    content, hash_sign, comment = line.partition("#")
    key, equals, value = content.partition("=")
    name = key.strip().lower()
    if equals and name in SECRET_SETTINGS:
        return f"{key}= {value.strip() if value.strip() in PLACEHOLDERS and not comment else UNCHANGED_SECRET}{end}"
    if content.strip() and content.strip().lower() not in ("[interface]", "[peer]"):
        if not equals or name not in SETTINGS:
            return UNCHANGED_SECRET + end
        content = masked_words(content)
    return content + hash_sign + masked_comment(comment) + end


def system_error(text: str) -> str:
    """The text of errno(3) in what a tool wrote, empty if there is none: a reason in words that are never data."""
    found = [reason for reason in map(os.strerror, errno.errorcode) if reason in text]
    return max(found, key=len, default="")


def masked_values(value: t.Any, name: str = "") -> t.Any:
    """Options of a module, at any depth, with their texts as ``masked_words``; public keys, by their names, stay."""
    if isinstance(value, str):
        return value if name.endswith("public_key") else masked_words(value)
    if isinstance(value, dict):
        return {key: masked_values(each, str(key)) for key, each in value.items()}
    return [masked_values(each, name) for each in value] if isinstance(value, (list, tuple)) else value
