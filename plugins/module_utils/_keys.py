# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WireGuard keys: their text form, their making, their public half, and the file that holds a private one."""

from __future__ import annotations

import base64
import binascii
import os
import stat

from ansible_collections.wirefleet.wireguard.plugins.module_utils._secrets import masked_words, system_error

KEY_BYTES = 32
KEY_CHARS = 44
NO_KEY = "A" * 43 + "="  # how wg(8) writes that there is none: 32 bytes of zero
MODE = 0o600
DIRECTORY_MODE = 0o700

# The one directory whose mode is repaired: it is WireGuard's own, 0700 in every distribution's package. Any other
# directory may hold things that others must reach (a key directly under /etc must not close /etc).
OWN_DIRECTORY = "/etc/wireguard"

NO_TOOL = "no public key can be computed: this host has neither the command 'wg' (package wireguard-tools) nor PyNaCl"


def decode_key(text: str) -> bytes:
    """The 32 bytes of a key in WireGuard's text form: 44 characters of canonical base64 (wg(8)).

    Raises ValueError for everything that ``wg`` would refuse, and for the key of zeros, which means "no key".
    The message never holds the text, since it may be a secret.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not a WireGuard key: not base64") from None
    if len(text) != KEY_CHARS or len(raw) != KEY_BYTES:
        raise ValueError(f"not a WireGuard key: expected {KEY_CHARS} characters of base64, got {len(text)}")
    if encode_key(raw) != text:
        raise ValueError("not a WireGuard key: the last character has surplus bits")
    if not any(raw):
        raise ValueError("not a WireGuard key: all zeros stand for 'no key'")
    return raw


def encode_key(raw: bytes) -> str:
    """The text form of 32 bytes."""
    return base64.b64encode(raw).decode("ascii")


def generate_private_key() -> str:
    """A new private key in text form: 32 random bytes, clamped as RFC 7748 section 5 and ``wg genkey`` do."""
    return _clamped(os.urandom(KEY_BYTES))


def clamped(private_key: str) -> str:
    """The same key with the bits that mean nothing set as RFC 7748, section 5, has them."""
    return _clamped(decode_key(private_key))


def _clamped(raw: bytes) -> str:
    return encode_key(bytes([raw[0] & 248, *raw[1:31], raw[31] & 127 | 64]))


def public_key_of(private_key: str, run_command, wg: str | None) -> str | None:
    """The public key of a private key, both in text form; None if the host has neither PyNaCl nor ``wg``.

    :param run_command: ``AnsibleModule.run_command``; the key goes to ``wg pubkey`` on its standard input.
    :param wg: path of the command ``wg``, None if there is none.
    Raises ValueError if ``wg`` fails; what it said stays unsaid, since it was given the key.
    """
    raw = decode_key(private_key)
    try:
        from nacl.bindings import crypto_scalarmult_base
    except ImportError:
        pass
    else:
        return encode_key(crypto_scalarmult_base(raw))
    if wg is None:
        return None
    code, out, err = run_command([wg, "pubkey"], data=private_key)
    if code != 0:
        raise ValueError(f"'wg pubkey' ended with {code}: {system_error(err) or 'run it by hand to see why'}")
    try:
        decode_key(out.strip())
    except ValueError:
        raise ValueError("'wg pubkey' printed no public key: check which program 'wg' is on this host") from None
    return out.strip()


class KeyFile:
    """What is at the path of a private key, read once.

    ``private_key``: its text, None if there is no file. ``mode`` and ``owner`` (uid) are the file's, ``directory_mode``
    its directory's; each is None if the thing is not there.
    """

    def __init__(self, path: str) -> None:
        """Raises ValueError if there is something at the path that is no key; OSError if it cannot be read."""
        self.path = path
        self.private_key = self.mode = self.owner = self.directory_mode = None
        directory = os.path.dirname(path)
        if not os.path.isabs(path):
            raise ValueError(
                f"{masked_words(path)} is not an absolute path: write it from the root, like {OWN_DIRECTORY}/wg0.key"
            )
        try:
            about = os.stat(directory)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(about.st_mode):
            raise ValueError(f"{directory} is not a directory")
        self.directory_mode = stat.S_IMODE(about.st_mode)
        try:
            about = os.lstat(path)
        except FileNotFoundError:
            return
        # Replacing the file would cut a link off its target, and following it would let whoever may write the link
        # choose the file.
        if stat.S_ISLNK(about.st_mode):
            raise ValueError(f"{path} is a symbolic link to {os.readlink(path)}: name the file itself")
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{path} is not a regular file")
        # O_NOFOLLOW and O_NONBLOCK: should it be swapped for a link or a pipe by now, fail instead of follow or block.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read(4096)
        self.mode, self.owner = stat.S_IMODE(about.st_mode), about.st_uid
        try:
            # As `wg set private-key FILE` reads it: the key first, nothing but white space after it.
            self.private_key = content.decode("ascii").rstrip()
            decode_key(self.private_key)
        except ValueError as error:
            reason = "not a WireGuard key: not ASCII" if isinstance(error, UnicodeDecodeError) else error
            raise ValueError(
                f"{path} is left as it is, since it holds no private key ({reason}): move it away to have a key made"
            ) from None

    @property
    def exists(self) -> bool:
        """Whether there is a key."""
        return self.private_key is not None

    @property
    def directory_is_right(self) -> bool:
        """Whether the directory is there and, if it is WireGuard's own, closed to others."""
        if os.path.dirname(self.path) == OWN_DIRECTORY:
            return self.directory_mode == DIRECTORY_MODE
        return self.directory_mode is not None

    @property
    def is_right(self) -> bool:
        """Whether wg_keypair would leave all as it is: a key, of mode 0600, owned by us, in a right directory."""
        return self.exists and self.mode == MODE and self.owner == os.geteuid() and self.directory_is_right


def key_to_come(host: str) -> str:
    """In the place of a public key that nobody can know in check mode, since the run itself would make it."""
    return f"({host} has no key yet)"


def is_key_to_come(public_key: str) -> bool:
    """Whether this is a text of ``key_to_come``."""
    return public_key.startswith("(") and public_key.endswith(" has no key yet)")
