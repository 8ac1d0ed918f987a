# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file format of wg-quick(8): reading it, writing it, and changing one peer of it. No file is touched here."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import normal_address, normal_network

HEADER = "# Managed by Ansible (wirefleet.wireguard.wg_interface): the next run undoes changes made here.\n"
UNCHANGED_SECRET = "(on the host)"
CHANGED_SECRET = "(changed on the host)"


class PeerSection(t.NamedTuple):
    """One ``[Peer]``."""

    public_key: str
    name: str | None = None  # the comment that tells people who this is
    preshared_key: str | None = None  # secret
    endpoint: str | None = None  # as declared: an address or a name, and a port
    allowed_ips: tuple[str, ...] = ()
    persistent_keepalive: int = 0  # seconds, 0: off


class Config(t.NamedTuple):
    """A whole file. None: not in the file."""

    private_key: str | None = None  # secret
    addresses: tuple[str, ...] = ()
    listen_port: int | None = None
    fwmark: int | None = None
    mtu: int | None = None
    table: str = "auto"  # auto, off, or a table's number
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    pre_up: tuple[str, ...] = ()
    post_up: tuple[str, ...] = ()
    pre_down: tuple[str, ...] = ()
    post_down: tuple[str, ...] = ()
    peers: tuple[PeerSection, ...] = ()
    save_config: bool = False

    @property
    def hooks(self) -> tuple[tuple[str, ...], ...]:
        """All hooks: equal only if none differs."""
        return (self.pre_up, self.post_up, self.pre_down, self.post_down)

    @property
    def allowed_ips(self) -> tuple[str, ...]:
        """The networks of all peers."""
        return tuple(network for peer in self.peers for network in peer.allowed_ips)


def render(config: Config, header: str = HEADER) -> str:
    """The file's text. Values must be checked before (see _values): they are written as they are."""
    lines = ["[Interface]"]
    lines += _settings("PrivateKey", config.private_key)
    lines += [f"Address = {address}" for address in config.addresses]
    lines += _settings("ListenPort", config.listen_port)
    lines += _settings("FwMark", hex(config.fwmark) if config.fwmark else None)
    lines += _settings("MTU", config.mtu)
    lines += _settings("Table", None if config.table == "auto" else config.table)
    lines += _settings("DNS", ", ".join(config.dns + config.dns_search))
    for key, commands in zip(("PreUp", "PostUp", "PreDown", "PostDown"), config.hooks):
        lines += [f"{key} = {command}" for command in commands]
    text = header + "\n".join(lines) + "\n"
    return text + "".join("\n" + render_peer(peer) for peer in config.peers)


def render_peer(peer: PeerSection) -> str:
    """The text of one ``[Peer]``, without empty lines around it."""
    lines = ["[Peer]"]
    if peer.name:
        lines.append(f"# {peer.name}")
    for key in PEER_KEYS:
        lines += _settings(key, _peer_value(peer, key))
    return "\n".join(lines) + "\n"


PEER_KEYS = ("PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive")


def _peer_value(peer: PeerSection, key: str) -> str:
    """How a value is written; empty if it is not."""
    return {
        "PublicKey": peer.public_key,
        "PresharedKey": peer.preshared_key or "",
        "AllowedIPs": ", ".join(peer.allowed_ips),
        "Endpoint": peer.endpoint or "",
        "PersistentKeepalive": str(peer.persistent_keepalive or ""),
    }[key]


def _settings(key: str, value: object) -> list[str]:
    return [f"{key} = {value}"] if value else []


def masked(text: str) -> str:
    """Any text that may be such a file, with every value of a secret key, and every stray key, taken out."""
    text = re.sub(r"(?im)^([^\n=#]*(?:PrivateKey|PresharedKey)[^\n=]*=)[^\n]*", rf"\1 {UNCHANGED_SECRET}", text)
    shown = re.compile(r"(?i)^\s*PublicKey\s*=")
    return "".join(
        part if shown.match(part) else _STRAY_KEY.sub(UNCHANGED_SECRET, part) for part in text.splitlines(keepends=True)
    )


# 43 characters of base64 and a "=": what a key looks like, also in a comment or a hook.
_STRAY_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=")


class _Line(t.NamedTuple):
    number: int
    section: str  # "interface", "peer" or ""
    key: str  # in lower case; "" for a comment or an empty line; "[" for the head of a section
    value: str
    comment: str | None


def _lines(text: str) -> t.Iterator[_Line]:
    section = ""
    for number, raw in enumerate(text.split("\n"), 1):
        content, hash_sign, comment = raw.partition("#")
        content = content.strip()
        note = comment.strip() if hash_sign else None
        if content.startswith("["):
            section = content.lower().strip("[]")
            if content.lower() not in ("[interface]", "[peer]"):
                raise ValueError(f"line {number}: {content} is no section of such a file")
            yield _Line(number, section, "[", "", note)
        elif content:
            key, equals, value = content.partition("=")
            if not equals or not section:
                raise ValueError(f"line {number}: there is no 'Key = value' of a section")
            yield _Line(number, section, key.strip().lower(), value.strip(), note)
        else:
            yield _Line(number, section, "", "", note)


def parse(text: str) -> Config:
    """The file as wg-quick(8) and wg(8) understand it.

    A peer's name is the first comment of its section, or the comment right above it.
    Raises ValueError, which names the line and never a value.
    """
    fields: dict[str, t.Any] = {}
    peers: list[dict[str, t.Any]] = []
    above = None
    for line in _lines(text):
        try:
            if line.key == "[":
                if line.section == "peer":
                    peers.append({"name": above})
            elif line.key and line.section == "peer":
                _read_peer(peers[-1], line)
            elif line.key:
                _read_interface(fields, line)
            elif line.comment and line.section == "peer" and "public_key" not in peers[-1] and not peers[-1]["name"]:
                peers[-1]["name"] = line.comment
        except ValueError:
            raise ValueError(f"line {line.number}: {line.key} has no valid value") from None
        above = line.comment if not line.key else None
    for number, peer in enumerate(peers, 1):
        if "public_key" not in peer:
            raise ValueError(f"peer {number} has no PublicKey")
    return Config(peers=tuple(PeerSection(**peer) for peer in peers), **fields)


def _read_interface(fields: dict[str, t.Any], line: _Line) -> None:
    key, value = line.key, line.value
    if key == "address":
        fields["addresses"] = fields.get("addresses", ()) + tuple(map(normal_address, _split(value)))
    elif key == "dns":
        for word in _split(value):
            # wg-quick's own rule of what is a server
            field = "dns" if re.fullmatch(r"[0-9.]+|.*:.*", word) else "dns_search"
            fields[field] = (*fields.get(field, ()), word)
    elif key in _HOOKS:
        fields[_HOOKS[key]] = (*fields.get(_HOOKS[key], ()), value)
    elif key == "privatekey":
        fields["private_key"] = value
    elif key == "listenport":
        fields["listen_port"] = int(value)
    elif key == "fwmark":
        fields["fwmark"] = _values.fwmark(value)
    elif key == "mtu":
        fields["mtu"] = int(value)
    elif key == "table":
        fields["table"] = value if value else "auto"
    elif key == "saveconfig":
        fields["save_config"] = value == "true"
    else:
        raise ValueError


_HOOKS = {"preup": "pre_up", "postup": "post_up", "predown": "pre_down", "postdown": "post_down"}


def _read_peer(peer: dict[str, t.Any], line: _Line) -> None:
    key, value = line.key, line.value
    if key == "publickey":
        peer["public_key"] = value
    elif key == "presharedkey":
        peer["preshared_key"] = value
    elif key == "endpoint":
        peer["endpoint"] = value
    elif key == "allowedips":
        peer["allowed_ips"] = peer.get("allowed_ips", ()) + tuple(map(normal_network, _split(value)))
    elif key == "persistentkeepalive":
        peer["persistent_keepalive"] = 0 if value.lower() == "off" else int(value)
    else:
        raise ValueError


def _split(value: str) -> list[str]:
    return value.replace(",", " ").split()
