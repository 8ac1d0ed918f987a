# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No secret leaves the host, however it is written, wherever it stands, and whatever tools say of it.

Every module meets every form of a key at every place where it reads one. The tools of the host are programs that
quote all that they are given, as ``wg`` does with what it does not understand. Then everything that anybody may see is
searched for any eight characters of the key: results, messages, warnings, diffs, what was called with, tracebacks, the
fields of the host's journal, and the arguments and environments of processes.
"""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _sealing
from ansible_collections.wirefleet.wireguard.plugins.modules import (
    wg_info,
    wg_interface,
    wg_keypair,
    wg_peer,
    wg_preshared,
    wg_rotate,
)
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.modules.quoting_host import (
    ALICE,
    BOB,
    OWN,
    quoting_host,
)

KEY = "0PzQ4m9xW7b+HcJ2vL8n/dRf3sTgYk1uXo5EiAqNZ1w="

SEALED = "bm90IHNlYWxlZCBmb3IgdGhpcyBob3N0Cg=="

FORMS = {
    "right": KEY,
    "without its end": KEY[:-1],
    "cut off": KEY[:40],
    "half of it": KEY[:24],
    "a character more": f"{KEY[:9]}Q{KEY[9:]}",
    "surplus bits": f"{KEY[:-2]}x=",
    "in quotes": f'"{KEY}"',
    "in single quotes": f"'{KEY[:-1]}'",
    "split by a space": f"{KEY[:21]} {KEY[21:]}",
    "from Windows": f"{KEY[:-1]}\r",
    "for URLs": KEY.replace("+", "-").replace("/", "_"),
    "hexadecimal": "d0fcd0e26f715bbb7e1dc276bcbf27fdd45fde2b1382459b5e5a391222a8d675",
}
LENGTH = 8


@pytest.fixture
def host(tmp_path, monkeypatch, capsys, as_on_a_host):
    return quoting_host(tmp_path, monkeypatch, capsys)


def leaks(text, key):
    """The pieces of a key, in any case, that are in a text."""
    pieces = {one[at : at + LENGTH] for one in (key, KEY) for at in range(len(one) - LENGTH + 1)}
    return sorted(piece for piece in pieces if piece.lower() in text.lower())


def interface(host, **options):
    peer = {"public_key": ALICE, "name": "alice", "allowed_ips": ["10.44.0.2/32"]}
    standard = {"name": "wg0", "private_key_file": host.path("wg0.key"), "peers": [peer], "table": "off"}
    return wg_interface, {**standard, **options}


def all_that_read_interfaces(host):
    """Every module that reads a configuration file and a device, each about to change something."""
    next_key = host.path("next.key")
    host.key_file(OWN, "next.key")
    pending = host.folder / "pending-wg0"
    pending.mkdir(exist_ok=True)
    (pending / _sealing.fingerprint(BOB)).write_text(BOB)
    use = [{"public_key": ALICE, "fingerprint": _sealing.fingerprint(BOB)}]
    return [
        interface(host),
        interface(host, state="absent"),
        (wg_peer, {"interface": "wg0", "public_key": BOB, "allowed_ips": ["10.44.0.3/32"]}),
        (wg_peer, {"interface": "wg0", "public_key": ALICE, "state": "absent"}),
        (wg_preshared, {"interface": "wg0", "use": use}),
        (wg_rotate, {"interface": "wg0", "private_key_file": host.path("wg0.key"), "next_private_key_file": next_key}),
        (wg_info, {"compare": [interface(host)[1]]}),
    ]


def in_private_key_file(host, key):
    host.key_file(key)
    path = host.path("wg0.key")
    return [
        *((wg_keypair, {"path": path, **options}) for options in ({}, {"rotate": True}, {"state": "absent"})),
        interface(host),
        (wg_info, {"private_key_files": [path]}),
        (
            wg_preshared,
            {"interface": "wg0", "private_key_file": path, "accept": [{"public_key": ALICE, "sealed": SEALED}]},
        ),
    ]


def in_private_key_file_with_a_tool_that_refuses(host, key):
    host.write("refusing", "")
    return in_private_key_file(host, key)


def in_next_private_key_file(host, key):
    host.config()
    host.device()
    host.key_file(key, "next.key")
    files = {"private_key_file": host.path("wg0.key"), "next_private_key_file": host.path("next.key")}
    return [(wg_rotate, {"interface": "wg0", **files})]


def in_preshared_key_file(host, key):
    host.config()
    host.device()
    host.key_file(key, "psk")
    return [
        interface(host, peers=[{"public_key": ALICE, "preshared_key_file": host.path("psk")}]),
        (wg_peer, {"interface": "wg0", "public_key": ALICE, "preshared_key_file": host.path("psk")}),
    ]


def in_a_pending_preshared_key(host, key):
    host.config()
    host.device()
    mark = "0f343b0931126a20f133d67c2b018a3b"
    (host.folder / "pending-wg0").mkdir(exist_ok=True)
    host.key_file(key, f"pending-wg0/{mark}")
    return [(wg_preshared, {"interface": "wg0", "use": [{"public_key": ALICE, "fingerprint": mark}]})]


def in_the_private_key_of_a_config(host, key):
    host.device()
    host.write("wg0.conf", f"[Interface]\nPrivateKey = {key}\n[Peer]\nPublicKey = {ALICE}\n")
    return all_that_read_interfaces(host)


def in_the_preshared_key_of_a_config(host, key):
    host.device()
    host.write("wg0.conf", f"[Interface]\nPrivateKey = {OWN}\n[Peer]\nPublicKey = {ALICE}\nPresharedKey = {key}\n")
    return all_that_read_interfaces(host)


def beside_the_settings_of_a_config(line):
    """A place anywhere in a file: ``line`` has {key}, and is one line of its [Interface] or of its [Peer]."""

    def place(host, key):
        host.device()
        text = line.format(key=key)
        interface_line, peer_line = (
            (text, "") if line.startswith(("PostUp", "PreDown", "PrivateKey", "MTU")) else ("", text)
        )
        host.write(
            "wg0.conf",
            f"[Interface]\nPrivateKey = {OWN}\n{interface_line}\n[Peer]\n{peer_line}\nPublicKey = {ALICE}\n",
        )
        return all_that_read_interfaces(host)[:4]

    return place


def in_a_hook_of_the_options(host, key):
    host.config()
    host.device()
    hook = f"wg set %i peer {ALICE} preshared-key <(echo {key})"
    return [interface(host, post_up=[hook]), interface(host, pre_down=[hook], post_up=[f"echo {key} >&2; false"])]


def in_a_hook_with_an_error(host, key):
    host.config()
    host.device()
    return [interface(host, pre_up=[f"({key}"]), interface(host, pre_up=[f"wg set %i private-key <<< {key} #"])]


def in_a_hook_of_a_killed_run(host, key):
    host.config()
    host.device()
    hook = f"wg set %i peer {ALICE} preshared-key <(echo {key})"
    begun = f"[Interface]\nPreDown = {hook}\nPresharedKey = {key}\n"
    host.write("wg_interface-wg0.json", json.dumps({"file": begun, "netns": None}))
    return [interface(host), interface(host, state="absent")]


def in_the_place_of_a_path(host, key):
    host.config()
    host.device()
    return [
        (wg_keypair, {"path": key}),
        interface(host, private_key_file=key),
        interface(host, peers=[{"public_key": ALICE, "preshared_key_file": key}]),
        (wg_peer, {"interface": "wg0", "public_key": ALICE, "preshared_key_file": key}),
        (
            wg_preshared,
            {"interface": "wg0", "private_key_file": key, "accept": [{"public_key": ALICE, "sealed": SEALED}]},
        ),
        (wg_rotate, {"interface": "wg0", "private_key_file": key, "next_private_key_file": key}),
        (wg_info, {"private_key_files": [key]}),
    ]


def in_the_dump_of_a_device(host, key):
    host.config()
    if key == KEY:
        host.device(key, key)
    else:
        host.device(OWN, key)
    return all_that_read_interfaces(host)


def in_another_column_of_the_dump(host, key):
    host.config()
    host.device(more=f"\t{key}")
    return all_that_read_interfaces(host)


def in_a_sealed_text(host, key):
    host.config()
    accept = [{"public_key": ALICE, "sealed": key}]
    return [(wg_preshared, {"interface": "wg0", "private_key_file": host.path("wg0.key"), "accept": accept})]


PLACES = {
    in_private_key_file: "wg0.key",
    in_private_key_file_with_a_tool_that_refuses: "wg0.key is left as it is|'wg pubkey' ended with 1",
    in_next_private_key_file: "next.key",
    in_preshared_key_file: "/psk",
    in_a_pending_preshared_key: "pending-wg0/0f343b0931126a20f133d67c2b018a3b",
    in_the_private_key_of_a_config: "wg0.conf is not understood.*: line 2: PrivateKey has",
    in_the_preshared_key_of_a_config: "wg0.conf is not understood.*: line 5: PresharedKey of peer mqJr7x3t.* has",
    in_a_hook_of_the_options: "run PostUp = wg set %i peer|post_up is .wg set %i peer",
    in_a_hook_with_an_error: "pre_up",
    in_a_hook_of_a_killed_run: "wg_interface-wg0.json is not understood",
    in_the_place_of_a_path: "private_key_file",
    in_the_dump_of_a_device: "line 2 of 'wg show ... dump'",
    in_another_column_of_the_dump: "line 2 of 'wg show ... dump'",
    in_a_sealed_text: f"the preshared key of peer {re.escape(ALICE)} is refused",
}
# Where a right key is as wrong as any other.
NEVER_RIGHT = (
    in_private_key_file_with_a_tool_that_refuses,
    in_a_hook_of_the_options,
    in_a_hook_with_an_error,
    in_the_place_of_a_path,
    in_another_column_of_the_dump,
    in_a_sealed_text,
)
LINES = {
    "PostUp = wg set %i peer x preshared-key <(echo {key})": "wg0.conf",
    "PreDown = echo '{key}' | wg set %i private-key /dev/stdin": "wg0.conf",
    "PrivateKey {key}": "line 3: there is no",
    "MTU = {key}": "line 3: MTU has no valid value",
    "# PresharedKey = {key}": "wg0",
    "#psk: {key}": "wg0",
    "# {key}": "wg0",
    "AllowedIPs = 10.44.0.2/32 # pre-shared key {key}": "wg0",
    "[{key}": "line 5: there is no such section",
    "{key}": "line 5: there is no",
    "Preshared = {key}": "line 5: there is no such setting of a peer",
    "AllowedIPs = {key}": "line 5: AllowedIPs of peer 1 has no valid value",
    "PersistentKeepalive = {key}": "line 5: PersistentKeepalive of peer 1 has no valid value",
    "PublicKey = {key}": "line 5: PublicKey of peer 1 has no valid value",
}


def see_everything(host, calls, checks=(True, False)):
    """What modules said, and all that can be seen of them, predicted and done."""
    results, texts = zip(*(host.run(module, check=check, **options) for module, options in calls for check in checks))
    said = [str(result.get(what)) for result in results for what in ("msg", "warnings", "steps")]
    return "\n".join(said), "\n".join(texts)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_key_is_reported_by_its_place(host, place, form):
    said, seen = see_everything(host, place(host, FORMS[form]))
    assert leaks(seen, FORMS[form]) == []
    if form != "right" or place in NEVER_RIGHT:
        assert re.search(PLACES[place], said), said


def test_a_sealed_text_is_not_returned(host):
    """Whatever it looks like: what was recorded today is opened by who gets the receiver's key one day."""
    (module, options), *_others = in_a_sealed_text(host, "nothing like a key")
    result, seen = host.run(module, **options)
    assert "this is no sealed key" in result["msg"]
    assert "nothing like a key" not in seen


@pytest.mark.parametrize("form", ["right", "without its end", "a character more", "surplus bits"])
def test_a_key_that_begins_like_a_path_is_none(host, form):
    said, seen = see_everything(host, in_the_place_of_a_path(host, f"/{FORMS[form][1:]}"))
    assert leaks(seen, FORMS[form]) == []
    assert "private_key_file looks like a key: write the path of the file that holds it" in said


@pytest.mark.parametrize("line", LINES)
def test_a_key_in_any_line_is_not_quoted(host, line):
    for form, key in FORMS.items():
        if line.startswith("PublicKey") and form in ("right", "surplus bits"):
            continue  # a public key it is then, as far as anybody can tell
        said, seen = see_everything(host, beside_the_settings_of_a_config(line)(host, key), checks=[True])
        assert (form, leaks(seen, key)) == (form, [])
        assert re.search(LINES[line], said), said
