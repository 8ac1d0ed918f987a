# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files


def test_writes_whole_files(tmp_path):
    path = tmp_path / "wg0.conf"
    _files.write_atomically(str(path), b"one", 0o600)
    old = path.open("rb")
    os.umask(os.umask(0o777))
    _files.write_atomically(str(path), b"two", 0o640)
    assert old.read() == b"one"
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert os.listdir(tmp_path) == ["wg0.conf"]


def test_is_never_open_to_others_for_a_moment(tmp_path, monkeypatch):
    modes = []
    real_fsync = os.fsync

    def fsync(descriptor):
        modes.append(os.fstat(descriptor).st_mode & 0o777)
        real_fsync(descriptor)

    real_open = os.open
    monkeypatch.setattr(_files.os, "open", lambda path, flags, mode=0o777: real_open(path, flags, mode))
    monkeypatch.setattr(_files.os, "fsync", fsync)
    _files.write_atomically(str(tmp_path / "key"), b"secret", 0o600)
    assert modes[0] == 0o600


def test_what_a_killed_run_left_is_replaced_and_never_followed(tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text("mine")
    (tmp_path / ".wg0.conf.new").symlink_to(target)
    _files.write_atomically(str(tmp_path / "wg0.conf"), b"new", 0o600)
    assert target.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "wg0.conf"]


def test_what_a_killed_run_left_goes_with_the_file(tmp_path):
    """Trap: the temporary file has the key in it as well."""
    for name in ("wg0.conf", ".wg0.conf.new", "other"):
        (tmp_path / name).write_text("secret")
    assert _files.remove(str(tmp_path / "wg0.conf"))
    assert os.listdir(tmp_path) == ["other"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "wg0.conf"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _files.write_atomically(str(path), b"new", 0o600)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["wg0.conf"]


def test_reads_and_removes(tmp_path):
    path = tmp_path / "file"
    assert _files.read(str(path)) is None
    assert _files.remove(str(path)) is False
    path.write_bytes(b"\xff")
    assert _files.read(str(path)) == b"\xff"
    assert _files.remove(str(path)) is True
    with pytest.raises(IsADirectoryError):
        _files.read(str(tmp_path))


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_is_neither_followed_nor_replaced(tmp_path, target):
    """Trap: a file that is replaced in the place of its link leaves the one with the key where the link led."""
    (tmp_path / "elsewhere").write_text("mine")
    link = tmp_path / "wg0.conf"
    link.symlink_to(target)
    for touch in (
        _files.read_own,
        _files.text_of_own,
        _files.remove,
        lambda path: _files.write_atomically(path, b"", 0o600),
    ):
        with pytest.raises(_files.LinkError) as caught:
            touch(str(link))
        missing = ", which does not exist" if target == "nowhere" else ""
        assert str(caught.value) == (
            f"{link} is a symbolic link to {target}{missing}: it is neither followed nor replaced; put the file itself "
            "there, or remove the link"
        )
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "wg0.conf"]
    assert os.readlink(link) == target and (tmp_path / "elsewhere").read_text() == "mine"


def test_a_folder_may_be_a_link_that_leads_somewhere(tmp_path):
    (tmp_path / "real").mkdir()
    for name, target in (("here", "real"), ("lost", "nowhere")):
        (tmp_path / name).symlink_to(target)
    _files.write_atomically(f"{tmp_path}/here/file", b"x", 0o600)
    assert _files.read_own(f"{tmp_path}/here/file") == (tmp_path / "real/file").read_bytes() == b"x"
    with pytest.raises(_files.LinkError, match="/lost is a symbolic link to nowhere, which does not exist: "):
        _files.read_own(f"{tmp_path}/lost/file")
