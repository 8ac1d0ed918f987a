# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder into which the plan playbook writes, so that ``git diff`` of it is the review of a network change."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import typing as t

# Lists the files of the folder that are the plan's, so that nothing else in it is ever removed.
LISTING = ".wireguard-plan"
# All that a plan has, see rendering.plan_files: what else a list names, nobody wrote who made plans.
_NAMES = re.compile(r"[^/]+\.hosts|topology\.(?:json|mmd)|[^/]+/(?:[^/]+\.conf|firewall\.nft)")


class PlanFolderError(Exception):
    """There is a symbolic link in the place of a file of the plan; ``str()`` names it, and what to do."""


class FileChange(t.NamedTuple):
    """One file that differs: ``before`` and ``after`` are its texts, None where there is none."""

    path: str
    before: str | None
    after: str | None


class PlanFolder:
    """A folder of plan files, compared with the plan and then brought to it.

    It is a checkout that people share: what its list names, and where its symbolic links lead, may be anybody's words.
    Nothing outside of the folder is read, written or removed. The folder itself may be a link.
    """

    def __init__(self, folder: str) -> None:
        self._folder = pathlib.Path(folder)

    def changes(self, files: t.Mapping[str, str], hosts: t.Collection[str]) -> list[FileChange]:
        """What differs, sorted by path. Of ``files``, the whole plan, those of ``hosts`` are written.

        What the list has that is no file of a plan inside the folder stays, and leaves the list.
        Raises :class:`PlanFolderError` where a file that is to be written would be elsewhere, and OSError.
        """
        known = [path for path in (self._read(LISTING) or "").splitlines() if self._is_ours(path)]
        wanted = {path: text for path, text in files.items() if "/" not in path or path.partition("/")[0] in hosts}
        gone = [path for path in known if path not in files and self._read(path) is not None]
        kept = [path for path in known if path in files and path not in wanted]
        wanted[LISTING] = "".join(f"{path}\n" for path in sorted({*wanted, *kept}))
        texts: dict[str, str | None] = {**dict.fromkeys(gone), **wanted}
        found = (FileChange(str(self._folder / path), self._read(path), text) for path, text in sorted(texts.items()))
        return [change for change in found if change.before != change.after]

    def apply(self, changes: t.Sequence[FileChange]) -> None:
        """Writes and removes files, and the folders of hosts that are empty then. Raises :class:`OSError`."""
        for change in changes:
            path = pathlib.Path(change.path)
            if change.after is None:
                path.unlink()
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(change.after, encoding="utf-8")

    def _is_ours(self, path: str) -> bool:
        """Whether a line of the list names a file that a plan may have, and that is a file inside the folder."""
        if not _NAMES.fullmatch(path) or path.startswith((".", "/")) or self._link_on_the_way(path):
            return False
        return os.path.isfile(self._folder / path)

    def _link_on_the_way(self, path: str) -> str | None:
        """The first symbolic link on the way from the folder to a file in it, the file included."""
        steps = [self._folder / path, *(self._folder / path).parents]
        inside = steps[: len(pathlib.PurePath(path).parts)]
        return next((str(step) for step in reversed(inside) if step.is_symlink()), None)

    def _read(self, path: str) -> str | None:
        link = self._link_on_the_way(path)
        if link:
            raise PlanFolderError(
                f"{link} is a symbolic link to {os.readlink(link)}, and files of the plan are neither read nor written "
                "through one: remove the link"
            )
        try:
            return (self._folder / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
