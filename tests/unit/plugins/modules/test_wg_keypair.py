# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _keys
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_keypair

PRIVATE = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="


@pytest.fixture
def path(tmp_path):
    (tmp_path / "etc").mkdir(mode=0o700)
    return tmp_path / "etc" / "wg0.key"


@pytest.fixture
def key(path):
    path.write_text(PRIVATE + "\n")
    path.chmod(0o600)
    return path


def mode(path):
    return path.stat().st_mode & 0o7777


def look(path):
    """All that could have changed."""
    return {
        each: (each.stat().st_mode, each.stat().st_mtime_ns, each.is_file() and each.read_bytes())
        for each in [path, *path.rglob("*")]
    }


def test_makes_a_key(run_module, tmp_path):
    path = tmp_path / "new" / "deeper" / "wg0.key"
    result = run_module(wg_keypair, path=str(path))
    private_key = path.read_text().rstrip("\n")
    assert result["changed"]
    assert result["public_key"] == _keys.public_key_of(private_key, None, None)
    assert "previous_public_key" not in result
    assert [mode(each) for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert private_key not in str(result)
    assert not run_module(wg_keypair, path=str(path))["changed"]


def test_keeps_a_key(run_module, key, tmp_path):
    before = look(tmp_path)
    result = run_module(wg_keypair, path=str(key))
    assert not result["changed"]
    assert result["public_key"] == PUBLIC
    assert result["diff"]["before"] == result["diff"]["after"]
    assert look(tmp_path) == before


def test_repairs_the_mode_with_a_new_file(run_module, key):
    key.chmod(0o644)
    inode = key.stat().st_ino
    result = run_module(wg_keypair, path=str(key))
    assert result["changed"]
    assert result["public_key"] == PUBLIC
    assert (result["diff"]["before"]["mode"], result["diff"]["after"]["mode"]) == ("0644", "0600")
    assert "could be read by others until now" in str(result["warnings"])
    assert mode(key) == 0o600
    assert key.read_text() == PRIVATE + "\n"
    assert key.stat().st_ino != inode


def test_repairs_wireguards_own_directory_only(run_module, key, monkeypatch):
    key.parent.chmod(0o755)
    assert not run_module(wg_keypair, path=str(key))["changed"]
    monkeypatch.setattr(_keys, "OWN_DIRECTORY", str(key.parent))
    result = run_module(wg_keypair, path=str(key))
    assert result["changed"]
    assert (result["diff"]["before"]["directory_mode"], result["diff"]["after"]["directory_mode"]) == ("0755", "0700")
    assert mode(key.parent) == 0o700
    assert not run_module(wg_keypair, path=str(key))["changed"]


def test_rotation(run_module, key):
    result = run_module(wg_keypair, path=str(key), rotate=True)
    assert result["changed"]
    assert result["previous_public_key"] == PUBLIC
    assert result["public_key"] == _keys.public_key_of(key.read_text().rstrip("\n"), None, None) != PUBLIC
    assert [each.name for each in key.parent.iterdir()] == ["wg0.key"]


def test_rotation_of_no_key_makes_one(run_module, path):
    result = run_module(wg_keypair, path=str(path), rotate=True)
    assert result["changed"]
    assert "previous_public_key" not in result
    assert path.exists()


def test_removal(run_module, key):
    result = run_module(wg_keypair, path=str(key), state="absent")
    assert result["changed"]
    assert (result["public_key"], result["previous_public_key"]) == (None, PUBLIC)
    assert not key.exists()
    assert not run_module(wg_keypair, path=str(key), state="absent")["changed"]


@pytest.mark.parametrize("options", [{}, {"rotate": True}, {"state": "absent"}])
def test_check_mode_predicts_and_does_nothing(run_module, key, tmp_path, options):
    key.chmod(0o640)
    before = look(tmp_path)
    predicted = run_module(wg_keypair, check=True, path=str(key), **options)
    assert look(tmp_path) == before
    done = run_module(wg_keypair, path=str(key), **options)
    if options.get("rotate"):
        assert predicted["public_key"] is None
        assert predicted["diff"]["after"].pop("public_key") == "(generated on the host)"
        assert done["diff"]["after"].pop("public_key") == done["public_key"]
    assert predicted["diff"] == done["diff"]
    assert predicted["changed"] == done["changed"]


def test_check_mode_on_a_fresh_host(run_module, tmp_path):
    result = run_module(wg_keypair, check=True, path=str(tmp_path / "etc" / "wg0.key"))
    assert result["changed"]
    assert result["public_key"] is None
    assert result["diff"]["before"] == dict.fromkeys(["public_key", "mode", "owner", "directory_mode"], "(none)")
    assert result["diff"]["after"]["public_key"] == "(generated on the host)"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"rotate": True}, {"state": "absent"}])
@pytest.mark.parametrize("check", [False, True])
def test_a_file_that_is_no_key_is_untouched(run_module, path, tmp_path, options, check):
    path.write_text("[Interface]\nPrivateKey = secret\n")
    before = look(tmp_path)
    result = run_module(wg_keypair, check=check, path=str(path), **options)
    assert result["failed"]
    assert result["msg"].startswith(f"{path} is left as it is, since it holds no private key (")
    assert "secret" not in result["msg"]
    assert look(tmp_path) == before


def test_a_link_is_refused(run_module, key, tmp_path):
    link = tmp_path / "link.key"
    link.symlink_to(key)
    result = run_module(wg_keypair, path=str(link), rotate=True)
    assert result["msg"] == f"{link} is a symbolic link to {key}: name the file itself"
    assert key.read_text() == PRIVATE + "\n"


@pytest.fixture
def no_tools(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nacl.bindings", None)
    monkeypatch.setattr(wg_keypair, "find", lambda command: None)


def test_no_key_is_made_that_could_not_be_told(run_module, path, no_tools):
    result = run_module(wg_keypair, path=str(path))
    assert result["failed"]
    assert result["msg"] == _keys.NO_TOOL
    assert not path.exists()


def test_check_mode_without_tools(run_module, key, no_tools):
    result = run_module(wg_keypair, check=True, path=str(key))
    assert not result["changed"]
    assert result["public_key"] is None
    assert result["diff"]["before"]["public_key"] == "(unknown)"


def test_a_key_that_appears_meanwhile_is_kept(run_module, path, monkeypatch):
    original = _keys.generate_private_key

    def generate():
        path.write_text(PRIVATE + "\n")
        return original()

    monkeypatch.setattr(_keys, "generate_private_key", generate)
    result = run_module(wg_keypair, path=str(path))
    assert result["msg"] == f"{path} was changed by somebody else in this moment: run again"
    assert path.read_text() == PRIVATE + "\n"


def test_a_directory_that_cannot_be_written(run_module, tmp_path):
    (tmp_path / "file").write_text("")
    result = run_module(wg_keypair, path=str(tmp_path / "file" / "wg0.key"))
    assert result["msg"] == f"{tmp_path / 'file'} is not a directory"
