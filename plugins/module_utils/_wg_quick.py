# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file format of wg-quick(8): reading it, writing it, and changing one peer of it. No file is touched here.

An endpoint that is a name is a setting of our own, ``# EndpointName``, which wg and wg-quick take for a comment; beside
it stands ``Endpoint`` with an address of that name. Why, wg_interface says.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _keys, _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import normal_address, normal_network
from ansible_collections.wirefleet.wireguard.plugins.module_utils._secrets import SETTINGS, masked_comment

HEADER = "# Managed by Ansible (wirefleet.wireguard.wg_interface): the next run undoes changes made here.\n"


class PeerSection(t.NamedTuple):
    """One ``[Peer]``."""

    public_key: str
    name: str | None = None  # the comment that tells people who this is
    preshared_key: str | None = None  # secret
    endpoint: str | None = None  # an address and a port; a name and a port where people wrote one
    allowed_ips: tuple[str, ...] = ()
    persistent_keepalive: int = 0  # seconds, 0: off
    endpoint_name: str | None = None  # a name and a port, of which endpoint is an address that it had

    @property
    def declared(self) -> str | None:
        """The endpoint as somebody declared it: the name, if it has one."""
        return self.endpoint_name or self.endpoint


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


ENDPOINT_NAME = "# EndpointName"
PEER_KEYS = ("PublicKey", "PresharedKey", "AllowedIPs", ENDPOINT_NAME, "Endpoint", "PersistentKeepalive")


def _peer_value(peer: PeerSection, key: str) -> str:
    """How a value is written; empty if it is not."""
    return {
        "PublicKey": peer.public_key,
        "PresharedKey": peer.preshared_key or "",
        "AllowedIPs": ", ".join(peer.allowed_ips),
        ENDPOINT_NAME: peer.endpoint_name or "",
        "Endpoint": peer.endpoint or "",
        "PersistentKeepalive": str(peer.persistent_keepalive or ""),
    }[key]


def _settings(key: str, value: object) -> list[str]:
    return [f"{key} = {value}"] if value else []


class _Line(t.NamedTuple):
    number: int
    section: str  # "interface", "peer" or ""
    key: str  # in lower case; "" for a comment or an empty line; "[" for the head of a section
    value: str
    comment: str | None


_ENDPOINT_NAME = re.compile(r"\s*#\s*(?=EndpointName\s*=)", re.IGNORECASE)


def _without_hash(line: str) -> str:
    """A line, of which our own setting is no comment."""
    return _ENDPOINT_NAME.sub("", line, count=1) if _ENDPOINT_NAME.match(line) else line


def _lines(text: str) -> t.Iterator[_Line]:
    section = ""
    for number, raw in enumerate(text.split("\n"), 1):
        content, hash_sign, comment = (_without_hash(raw) if section == "peer" else raw).partition("#")
        content = content.strip()
        note = comment.strip() if hash_sign else None
        if content.startswith("["):
            section = content.lower().strip("[]")
            if content.lower() not in ("[interface]", "[peer]"):
                raise ValueError(f"line {number}: there is no such section; a file has [Interface] and [Peer]")
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
    Raises ValueError, which names the line, the setting and the peer, and never a value: it may be a secret, or a piece
    of one that slipped into the wrong line.
    """
    fields: dict[str, t.Any] = {}
    peers: list[dict[str, t.Any]] = []
    above = None
    for line in _lines(text):
        name = line.comment if line.comment and masked_comment(line.comment) == line.comment else None
        try:
            if line.key == "[":
                if line.section == "peer":
                    peers.append({"name": above})
            elif line.key and line.section == "peer":
                _read_peer(peers[-1], line)
            elif line.key:
                _read_interface(fields, line)
            elif name and line.section == "peer" and "public_key" not in peers[-1] and not peers[-1]["name"]:
                peers[-1]["name"] = name
        except ValueError:
            raise ValueError(f"line {line.number}: {_complaint(line, peers)}") from None
        above = name if not line.key else None
    for number, peer in enumerate(peers, 1):
        if "public_key" not in peer:
            raise ValueError(f"peer {number} has no PublicKey")
    return Config(peers=tuple(PeerSection(**peer) for peer in peers), **fields)


def _complaint(line: _Line, peers: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    if line.key not in SETTINGS:
        return f"there is no such setting of {'a peer' if line.section == 'peer' else 'an interface'}"
    setting = SETTINGS[line.key]
    if line.section == "peer":
        setting += f" of peer {peers[-1]['name'] or peers[-1].get('public_key') or len(peers)}"
    remedy = "; a key is 44 characters of base64, without quotes" if line.key.endswith("key") else ""
    return f"{setting} has no valid value{remedy}"


def _key(text: str) -> str:
    """A key as ``wg`` reads it. Raises ValueError."""
    _keys.decode_key(text)
    return text


def _key_or_none(text: str) -> str | None:
    """Zeros are how ``wg`` writes and reads that there is no key."""
    return None if text == _keys.NO_KEY else _key(text)


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
        fields["private_key"] = _key_or_none(value)
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
        peer["public_key"] = _key(value)
    elif key == "presharedkey":
        peer["preshared_key"] = _key_or_none(value)
    elif key == "endpoint":
        peer["endpoint"] = value
    elif key == "endpointname":
        peer["endpoint_name"] = value
    elif key == "allowedips":
        peer["allowed_ips"] = peer.get("allowed_ips", ()) + tuple(map(normal_network, _split(value)))
    elif key == "persistentkeepalive":
        peer["persistent_keepalive"] = 0 if value.lower() == "off" else int(value)
    else:
        raise ValueError


def _split(value: str) -> list[str]:
    return value.replace(",", " ").split()


class _Block(t.NamedTuple):
    """Where a ``[Peer]`` stands in a list of lines: the comments right above it, its head, the end of its own lines."""

    start: int
    head: int
    end: int


def with_peer(text: str, peer: PeerSection) -> str:
    """The file with this peer: its section changed where it differs, or a new one at the end.

    Every other byte stays: comments, order, spelling, lines that this module does not know. A name of None leaves the
    comment alone. Raises ValueError if the file cannot be understood or has the peer twice.
    """
    lines = _raw_lines(text)
    block = _find(lines, peer.public_key)
    if block is None:
        joint = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return text + joint + render_peer(peer)
    section = lines[block.head : block.end]
    for key in PEER_KEYS[1:]:
        section = _with_setting(section, key, _peer_value(peer, key))
    above = lines[block.start : block.head]
    if peer.name:
        above, section = _with_name(above, section, peer.name)
    return "".join(lines[: block.start] + above + section + lines[block.end :])


def without_peer(text: str, public_key: str) -> str:
    """The file without this peer, the comment right above it and the empty lines before. Raises ValueError as above."""
    lines = _raw_lines(text)
    block = _find(lines, public_key)
    if block is None:
        return text
    start = block.start
    while start and not lines[start - 1].strip():
        start -= 1
    return "".join(lines[:start] + lines[block.end :])


def _raw_lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _setting(line: str) -> tuple[str, str] | None:
    """Key in lower case and value of a raw line."""
    key, equals, value = _without_hash(line).partition("#")[0].partition("=")
    return (key.strip().lower(), value.strip()) if equals else None


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#") and not _ENDPOINT_NAME.match(line)


def _find(lines: list[str], public_key: str) -> _Block | None:
    parse("".join(lines))  # what is not understood is not edited
    heads = [number for number, line in enumerate(lines) if line.lstrip().startswith("[")]
    found = []
    for head, following in zip(heads, [*heads[1:], len(lines)]):
        if ("publickey", public_key) in map(_setting, lines[head:following]):
            found.append(_Block(_above(lines, head), head, _end(lines, head, following)))
    if len(found) > 1:
        raise ValueError(f"peer {public_key} is there {len(found)} times: make one section of them")
    return found[0] if found else None


def _above(lines: list[str], head: int) -> int:
    """The first of the comments right above the head of a section."""
    while head and _is_comment(lines[head - 1]):
        head -= 1
    return head


def _end(lines: list[str], head: int, following: int) -> int:
    """Where the lines of a section end: with its last setting and the comments right below, if the next has none."""
    end = max(number for number in range(head, following) if number == head or _setting(lines[number])) + 1
    limit = _above(lines, following) if following < len(lines) else following
    while end < limit and _is_comment(lines[end]):
        end += 1
    return end


def _with_setting(section: list[str], key: str, value: str) -> list[str]:
    """The section with a key set to a value; without the key if the value is empty."""
    mine = [number for number, line in enumerate(section) if (_setting(line) or ("",))[0] == key.lower().lstrip("# ")]
    if _means(key, [_setting(section[number])[1] for number in mine]) == _means(key, [value] if value else []):
        return section
    if not mine and value:
        last = max(number for number, line in enumerate(section) if number == 0 or _setting(line))
        line_end = "" if section[last].endswith("\n") else "\n"
        section = [*section[:last], section[last] + line_end, f"{key} = {value}\n", *section[last + 1 :]]
    elif value:
        before, _old, after = re.fullmatch(r"([^=]*=\s*)([^#]*?)(\s*(?:#.*)?\n?)", section[mine[0]], re.DOTALL).groups()
        section = section[: mine[0]] + [before + value + after] + section[mine[0] + 1 :]
        mine = mine[1:]
    return [line for number, line in enumerate(section) if number not in mine]


def _means(key: str, values: list[str]) -> object:
    """What the values of all lines of one key come to."""
    if key == "AllowedIPs":
        return {normal_network(word) for value in values for word in _split(value)}
    if key == "PersistentKeepalive":
        return next((value for value in values[-1:] if value.lower() not in ("off", "0")), "")
    return values[-1] if values else ""


def _with_name(above: list[str], section: list[str], name: str) -> tuple[list[str], list[str]]:
    comment = f"# {name}\n"
    if above:
        if above[-1].strip(" \t\n#") != name:
            above = [*above[:-1], comment]
    elif len(section) > 1 and _is_comment(section[1]):
        if section[1].strip(" \t\n#") != name:
            section = [section[0], comment, *section[2:]]
    else:
        line_end = "" if section[0].endswith("\n") else "\n"
        section = [section[0] + line_end, comment, *section[1:]]
    return above, section
