# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that hold secrets or that a boot depends on: written whole or not at all, and never through a symbolic link.

Such a file is read with ``read_own`` before anything is decided, so that a link in its place is refused before anything
changes, in check mode too. To follow it would let whoever may write the link choose the file; to replace it would leave
the file that it leads to behind, with the key in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

LOCK_POLL_SECONDS = 0.1


class LinkError(OSError):
    """There is a symbolic link where a file of ours belongs."""

    def __init__(self, path: str) -> None:
        target = os.readlink(path)
        there = "" if os.path.exists(path) else ", which does not exist"
        super().__init__(
            f"{path} is a symbolic link to {target}{there}: it is neither followed nor replaced; put the file itself "
            "there, or remove the link"
        )


def refuse_link(path: str) -> None:
    """Raises LinkError if there is a symbolic link at the path. Its folder may be one, if it leads somewhere."""
    folder = os.path.dirname(path)
    if os.path.islink(folder) and not os.path.exists(folder):
        raise LinkError(folder)
    if os.path.islink(path):
        raise LinkError(path)


def read_own(path: str) -> bytes | None:
    """As ``read``, for a file that we write or remove: raises LinkError for a symbolic link."""
    refuse_link(path)
    return read(path)


def text_of_own(path: str) -> str | None:
    """As ``text_of``, for a file that we write or remove: raises LinkError for a symbolic link."""
    refuse_link(path)
    return text_of(path)


def read(path: str) -> bytes | None:
    """The bytes of a regular file, None if there is none. Raises OSError for everything else."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def text_of(path: str) -> str | None:
    """The text of a regular file, None if there is none; what is not UTF-8 stands in it as U+FFFD. Raises OSError."""
    content = read(path)
    return None if content is None else content.decode(errors="replace")


def write_atomically(path: str, data: bytes, mode: int) -> None:
    """Put ``data`` at ``path`` with ``mode``, owned by the caller; readers see the old file or the new one, never half.

    The temporary file lies beside the target under one fixed name, so that a process killed in between leaves at most
    one, which the next write replaces; it is created with ``mode`` and never open to others for a moment.
    Two writers of one file must hold a lock. Raises OSError, LinkError for a symbolic link.
    """
    refuse_link(path)
    temporary = _temporary(path)
    _unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode & 0o700)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        _unlink(temporary)
        raise
    _sync_directory(os.path.dirname(path))


def _temporary(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.new")


def remove(path: str) -> bool:
    """Remove a file, and what a killed ``write_atomically`` left beside it; whether there was one.

    Raises OSError, LinkError for a symbolic link.
    """
    refuse_link(path)
    _unlink(_temporary(path))
    return _unlink(path)


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def lock(descriptor: int, seconds: float) -> bool:
    """Wait so long for the lock of an open file or directory (flock(2)); whether we have it. Closing releases it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return True


def _sync_directory(directory: str) -> None:
    """Make the rename itself survive a power cut, where the file system can."""
    descriptor = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
