# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry's file behind symbolic links, and on folders that do not let it be written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry import RegistryError
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry_file import FILE_NAME, RegistryFile

# One controller: between reading and writing it leaves the other one time to do the same.
CONTROLLER = """
import sys, time
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry_file import RegistryFile
for _number in range(20):
    with RegistryFile(sys.argv[1]) as file:
        text = file.read()
        time.sleep(0.01)
        file.write(text + "x")
"""


def folder_with_link(tmp_path, name, target):
    folder = tmp_path / name
    folder.mkdir()
    (folder / FILE_NAME).symlink_to(target)
    return folder / FILE_NAME


def test_controllers_exclude_each_other_through_any_link(tmp_path):
    """Trap: a lock on the folder of the link is another one for each link, and half of the writes are lost."""
    (tmp_path / "shared").mkdir()
    real = tmp_path / "shared" / FILE_NAME
    real.write_text("")
    links = [folder_with_link(tmp_path, "one", real), folder_with_link(tmp_path, "two", "../one/" + FILE_NAME), real]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    controllers = [
        subprocess.Popen([sys.executable, "-c", CONTROLLER, str(link)], env=environment, stderr=subprocess.PIPE)
        for link in links
    ]
    assert [(controller.communicate()[1], controller.returncode) for controller in controllers] == [(b"", 0)] * 3
    assert len(real.read_text()) == 60
    assert links[0].is_symlink() and links[1].is_symlink()
    assert os.listdir(real.parent) == [FILE_NAME]


def test_a_dangling_link_is_no_empty_registry(tmp_path):
    link = folder_with_link(tmp_path, "here", tmp_path / "unmounted" / FILE_NAME)
    with pytest.raises(RegistryError) as caught:
        RegistryFile(str(link))
    assert str(caught.value) == (
        f"{link}: the registry is a symbolic link to {tmp_path}/unmounted/{FILE_NAME}, which does not exist: bring that "
        "file back, or make an empty one there to begin a new registry"
    )


def test_a_loop_of_links_is_named(tmp_path):
    one = folder_with_link(tmp_path, "one", tmp_path / "two" / FILE_NAME)
    folder_with_link(tmp_path, "two", one)
    with pytest.raises(RegistryError, match="is a symbolic link that leads to itself: correct the link"):
        RegistryFile(str(one))
    (tmp_path / "folder").symlink_to("folder")
    with pytest.raises(RegistryError, match=f"registry's folder {tmp_path}/folder cannot be opened or made"):
        RegistryFile(str(tmp_path / "folder" / FILE_NAME)).__enter__()


def test_a_folder_that_is_read_only_is_named(tmp_path, monkeypatch):
    path = tmp_path / FILE_NAME
    path.write_text("networks: {}")

    def read_only(*_arguments):
        raise OSError(30, "Read-only file system", f"{tmp_path}/.{FILE_NAME}.new")

    monkeypatch.setattr(_files.os, "rename", read_only)  # root may write anywhere
    with RegistryFile(str(path)) as file:
        assert file.read() == "networks: {}"  # for a plan alone that is enough
        with pytest.raises(RegistryError) as caught:
            file.write("other")
    assert str(caught.value) == (
        f"{path}: the registry cannot be written (Read-only file system): make its folder {tmp_path} writable for this "
        "user, or name another file with wireguard_registry_file"
    )
