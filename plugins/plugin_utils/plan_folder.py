# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder into which the plan playbook writes, so that ``git diff`` of it is the review of a network change."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

# Lists the files of the folder that are the plan's, so that nothing else in it is ever removed.
LISTING = ".wireguard-plan"


class FileChange(t.NamedTuple):
    """One file that differs: ``before`` and ``after`` are its texts, None where there is none."""

    path: str
    before: str | None
    after: str | None


class PlanFolder:
    """A folder of plan files, compared with the plan and then brought to it."""

    def __init__(self, folder: str) -> None:
        self._folder = pathlib.Path(folder)

    def changes(self, files: t.Mapping[str, str], hosts: t.Collection[str]) -> list[FileChange]:
        """What differs, sorted by path. Of ``files``, the whole plan, those of ``hosts`` are written."""
        known = (self._read(LISTING) or "").splitlines()
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

    def _read(self, path: str) -> str | None:
        try:
            return (self._folder / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
