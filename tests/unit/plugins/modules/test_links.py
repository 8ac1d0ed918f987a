# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A symbolic link where a file of ours belongs is refused by every module, before anything changes."""

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _sealing
from ansible_collections.wirefleet.wireguard.plugins.modules import (
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


@pytest.fixture
def host(tmp_path, monkeypatch, capsys, as_on_a_host):
    return quoting_host(tmp_path, monkeypatch, capsys)


def calls(host):
    """Every module that writes files of an interface, each about to change something."""
    host.config()
    host.device()
    key, next_key = host.path("wg0.key"), host.path("wg0.key.next")
    host.key_file(OWN, "wg0.key.next")
    pending = host.folder / "pending-wg0"
    pending.mkdir()
    (pending / _sealing.fingerprint(BOB)).write_text(BOB)
    return {
        "present": (wg_interface, {"name": "wg0", "private_key_file": key, "addresses": ["10.44.0.1/24"]}),
        "absent": (wg_interface, {"name": "wg0", "state": "absent"}),
        "peer": (wg_peer, {"interface": "wg0", "public_key": BOB, "allowed_ips": ["10.44.0.3/32"]}),
        "peer absent": (wg_peer, {"interface": "wg0", "public_key": ALICE, "state": "absent"}),
        "preshared": (
            wg_preshared,
            {"interface": "wg0", "use": [{"public_key": ALICE, "fingerprint": _sealing.fingerprint(BOB)}]},
        ),
        "rotate": (wg_rotate, {"interface": "wg0", "private_key_file": key, "next_private_key_file": next_key}),
        "key": (wg_keypair, {"path": key, "rotate": True}),
        "key absent": (wg_keypair, {"path": key, "state": "absent"}),
    }


def state(folder):
    """All files, with the links as links; without what tools note of their calls."""
    return {
        str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and path.name != "seen"
    }


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
@pytest.mark.parametrize(
    ("call", "file"),
    [
        *((call, "wg0.conf") for call in ("present", "absent", "peer", "peer absent", "preshared", "rotate")),
        *((call, "wg0.netns") for call in ("present", "absent", "peer", "preshared", "rotate")),
        *((call, "wg0.key") for call in ("present", "rotate", "key", "key absent")),
        ("rotate", "wg0.key.next"),
    ],
)
def test_a_link_is_refused_before_anything_changes(host, call, file, target, check):
    module, options = calls(host)[call]
    link = host.folder / file
    (host.folder / "elsewhere").write_bytes(link.read_bytes() if link.exists() else b"#!/bin/bash\n")
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    before = state(host.folder)
    result, _seen = host.run(module, check=check, **options)
    assert result["failed"] and f"{link} is a symbolic link to {target}" in result["msg"]
    assert state(host.folder) == before
