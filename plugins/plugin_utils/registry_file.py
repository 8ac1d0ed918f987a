# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry on the controller's disk: locked while a plan is made from it, replaced as a whole or not touched."""

from __future__ import annotations

import fcntl
import os
import pathlib
import typing as t

from ..module_utils import _files
from .registry import RegistryError

# A dot file: Ansible never reads it as an inventory source, even where the inventory is a whole folder.
FILE_NAME = ".wireguard-registry.yml"


def default_path(inventory_sources: t.Sequence[str], working_directory: str) -> str:
    """Beside the first inventory source that is a file or a folder; for a host list, in the working directory."""
    for source in inventory_sources:
        if "," not in source and os.path.exists(source):
            folder = source if os.path.isdir(source) else os.path.dirname(source)
            return os.path.join(os.path.abspath(folder), FILE_NAME)
    return os.path.join(working_directory, FILE_NAME)


class RegistryFile:
    """The registry's file. Use it as a context manager: the lock is held from reading to writing.

    The path may be a symbolic link, as to a checkout that several controllers share: what it leads to is what is read,
    locked and replaced, so that all who reach one file exclude one another, by whichever links. The lock is on the
    file's folder, so that it leaves no file behind, and it is the kernel's: a killed controller frees it.
    """

    def __init__(self, path: str) -> None:
        """Raises :class:`RegistryError` for a link that leads nowhere: without its registry a fleet is renumbered."""
        self._named = path
        self.path = pathlib.Path(os.path.realpath(path))
        if self.path.is_symlink():  # only a loop is left as it is
            raise RegistryError(f"{path}: the registry is a symbolic link that leads to itself: correct the link")
        if os.path.islink(path) and not self.path.exists():
            raise RegistryError(
                f"{path}: the registry is a symbolic link to {self.path}, which does not exist: bring that file back, "
                "or make an empty one there to begin a new registry"
            )

    def read(self) -> str:
        """The text, empty where there is no file yet. Raises :class:`OSError` and :class:`UnicodeDecodeError`."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def write(self, text: str) -> None:
        """Replaces the file at once, keeping its mode: readers see the old text or the new one.

        Raises :class:`RegistryError` where the folder does not let it.
        """
        try:
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o666 & ~_umask()
            _files.write_atomically(str(self.path), text.encode(), mode)
        except OSError as error:
            raise RegistryError(
                f"{self._named}: the registry cannot be written ({error.strerror}): make its folder {self.path.parent} "
                "writable for this user, or name another file with wireguard_registry_file"
            ) from None

    def __enter__(self) -> RegistryFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise RegistryError(
                f"{self._named}: the registry's folder {self.path.parent} cannot be opened or made ({error.strerror}): "
                "name another file with wireguard_registry_file"
            ) from None
        fcntl.flock(self._folder, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._folder)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
