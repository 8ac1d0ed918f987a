# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How two hosts come to one preshared key; that tunnels keep up with it is shown in molecule/rotation."""

from __future__ import annotations

import base64
import os
import stat

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _interface
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import encode_key, generate_private_key
from ansible_collections.wirefleet.wireguard.plugins.module_utils._sealing import fingerprint, x25519
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_preshared

PEER = "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo="


@pytest.fixture
def host(monkeypatch, tmp_path, run_module):
    """``host(name, **options)`` runs the module on one of several hosts, whose folders are its own."""

    def run(name, **options):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        monkeypatch.setattr(wg_preshared, "PENDING", f"{folder}/pending-{{}}")
        monkeypatch.setattr(_interface.Interface.__init__, "__defaults__", (str(folder), ""))
        if not (folder / "key").exists():
            (folder / "key").write_text(generate_private_key())
        return run_module(wg_preshared, interface="wg0", private_key_file=str(folder / "key"), **options)

    return run


def public_key(tmp_path, name):
    private = base64.b64decode((tmp_path / name / "key").read_text())
    return encode_key(x25519(private, bytes([9, *bytes(31)])))


def test_both_have_one_key_and_nobody_else_saw_it(host, tmp_path):
    host("bob")
    made = host("alice", offer=[public_key(tmp_path, "bob")])
    opened = host("bob", accept=[{"public_key": PEER, "sealed": made["offered"][0]["sealed"]}])
    assert made["offered"][0]["fingerprint"] == opened["accepted"][0]["fingerprint"]
    files = [next((tmp_path / name / "pending-wg0").iterdir()) for name in ("alice", "bob")]
    (key,) = {file.read_text().strip() for file in files}
    assert fingerprint(key) == files[0].name == files[1].name == made["offered"][0]["fingerprint"]
    assert all(stat.S_IMODE(os.stat(file).st_mode) == 0o600 for file in files)
    assert stat.S_IMODE(os.stat(files[0].parent).st_mode) == 0o700
    assert key not in str(made) + str(opened)


def test_a_key_for_somebody_else_is_refused(host, tmp_path):
    host("bob")
    made = host("alice", offer=[public_key(tmp_path, "bob")])
    result = host("eve", accept=[{"public_key": PEER, "sealed": made["offered"][0]["sealed"]}])
    assert result["failed"]
    assert result["msg"].startswith(
        f"the preshared key of peer {PEER} is refused: this key was sealed for another host"
    )
    assert not (tmp_path / "eve" / "pending-wg0").exists()


def test_check_mode_makes_nothing(host, tmp_path):
    result = host("alice", check=True, offer=[PEER])
    assert (result["changed"], result["offered"]) == (True, [])
    assert not (tmp_path / "alice" / "pending-wg0").exists()


@pytest.mark.parametrize("mark", ["0f343b0931126a20f133d67c2b018a3b", "../../etc/shadow"])
def test_a_key_that_was_never_exchanged_is_not_used(host, mark):
    result = host("alice", use=[{"public_key": PEER, "fingerprint": mark}])
    assert result["msg"] == f"no preshared key {mark} was offered or accepted: run again"
