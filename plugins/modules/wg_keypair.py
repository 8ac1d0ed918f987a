#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_keypair
short_description: Keep a WireGuard private key on the host that uses it
version_added: 0.1.0
description:
  - Makes a WireGuard private key in a file on the managed host and returns its public key. The private key never leaves
    the host, and is never part of a command line, an environment, a result, a diff or a log.
  - A file that is there and holds a key is kept. If others than its owner could read it, or if it belongs to another
    user, it is replaced by a file with the same key that is private again.
  - A file that holds anything else is left as it is, and the module fails. So it does for symbolic links.
  - Directories that are missing are created with mode 0700. Those that are there are left as they are, except
    C(/etc/wireguard), which is kept at 0700.
author:
  - wirefleet contributors (@wirefleet)
options:
  path:
    description: Absolute path of the private key file.
    type: path
    required: true
  state:
    description:
      - V(present), there is a key in the file.
      - V(absent), there is no file. A file that holds no key is not removed.
    type: str
    choices: [present, absent]
    default: present
  rotate:
    description:
      - With V(true), a key that is there is replaced by a new one, in every run. Nothing is kept of the old one.
      - The interface uses the old key until M(wirefleet.wireguard.wg_interface) is run, and peers drop it until they
        know the new one.
    type: bool
    default: false
  require_rollback:
    description:
      - Refuse to change anything unless M(wirefleet.wireguard.wg_confirm) has armed a rollback that is still pending.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts what would be done. The public key of a key that is not made yet is not known, and null.
    support: full
  diff_mode:
    description: Shows the public key, the mode and the owner of the file, and the mode of its directory.
    support: full
seealso:
  - module: wirefleet.wireguard.wg_interface
  - module: wirefleet.wireguard.wg_info
"""

EXAMPLES = r"""
- name: Make sure there is a key
  wirefleet.wireguard.wg_keypair:
    path: /etc/wireguard/wg0.key
  register: keypair

- name: Show its public half
  ansible.builtin.debug:
    var: keypair.public_key

- name: Replace the key by a new one
  wirefleet.wireguard.wg_keypair:
    path: /etc/wireguard/wg0.key
    rotate: true

- name: Remove the key
  wirefleet.wireguard.wg_keypair:
    path: /etc/wireguard/wg0.key
    state: absent
"""

RETURN = r"""
path:
  description: The path of the private key file.
  returned: success
  type: str
  sample: /etc/wireguard/wg0.key
public_key:
  description:
    - The public key of the key in the file. Null if there is none, or, in check mode, if it is not made yet or if the
      host cannot compute it yet.
  returned: success
  type: str
  sample: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=
previous_public_key:
  description: The public key of the key that was replaced or removed.
  returned: when a key was replaced by rotation, or removed
  type: str
  sample: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
"""

import fcntl
import os

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _keys, _values
from ansible_collections.wirefleet.wireguard.plugins.module_utils._files import remove, write_atomically
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module
from ansible_collections.wirefleet.wireguard.plugins.module_utils._rollback import changing

NONE = "(none)"
UNKNOWN = "(unknown)"
GENERATED = "(generated on the host)"


class Keypair:
    """What the file is, what it shall be, and the way there."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.path = _values.path("path", module.params["path"])
        self.before = _keys.KeyFile(self.path)
        self.public_key = self.public_key_of(self.before.private_key)

    def public_key_of(self, private_key: str | None) -> str | None:
        """The public key, None of None. Raises ValueError if the host cannot compute it, outside of check mode."""
        if private_key is None:
            return None
        public_key = _keys.public_key_of(private_key, self.module.run_command, find("wg"))
        if public_key is None and not self.module.check_mode:
            raise ValueError(_keys.NO_TOOL)
        return public_key

    @property
    def before_public_key(self) -> str | None:
        """The public key that was found, as the diff shows it."""
        return self.public_key or (UNKNOWN if self.before.exists else None)

    def present(self) -> dict:
        """Bring about a key in the file; returns the module's result."""
        generate = self.module.params["rotate"] or not self.before.exists
        changed = generate or not self.before.is_right
        after = self.before_public_key
        result = {"changed": changed, "path": self.path}
        if generate:
            if self.before.exists:
                result["previous_public_key"] = self.public_key
            private_key = _keys.generate_private_key()
            # Computed before anything is written: a host that cannot tell the public key gets no key.
            new = None if self.module.check_mode else self.public_key_of(private_key)
            after = new or GENERATED
            result["public_key"] = new
        else:
            private_key = self.before.private_key
            result["public_key"] = self.public_key
            if self.before.mode & 0o044 or self.before.owner != os.geteuid():
                self.module.warn(f"{self.path} could be read by others until now: consider replacing the key (rotate)")
        if changed and not self.module.check_mode:
            self.write(private_key)
        result["diff"] = self.diff(
            public_key=after,
            mode=_keys.MODE,
            owner=os.geteuid(),
            directory_mode=self.before.directory_mode if self.before.directory_is_right else _keys.DIRECTORY_MODE,
        )
        return result

    def absent(self) -> dict:
        """Bring about that there is no file; returns the module's result."""
        result = {"changed": self.before.exists, "path": self.path, "public_key": None}
        if self.before.exists:
            result["previous_public_key"] = self.public_key
            if not self.module.check_mode:
                remove(self.path)
        result["diff"] = self.diff(directory_mode=self.before.directory_mode)
        return result

    def write(self, private_key: str) -> None:
        """Put the key in a new file in place of the old one: who held the old one open sees nothing of the new."""
        directory = os.path.dirname(self.path)
        old_umask = os.umask(0o777 & ~_keys.DIRECTORY_MODE)
        try:
            os.makedirs(directory, exist_ok=True)
        finally:
            os.umask(old_umask)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Two runs at once must not tell different keys, nor share the temporary file. Closing releases the lock.
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _keys.KeyFile(self.path).private_key != self.before.private_key:
                raise ValueError(f"{self.path} was changed by somebody else in this moment: run again")
            if not self.before.directory_is_right:
                os.fchmod(handle, _keys.DIRECTORY_MODE)
            write_atomically(self.path, f"{private_key}\n".encode(), _keys.MODE)
        finally:
            os.close(handle)

    def diff(self, **after) -> dict:
        """The public part of what was found and of what was made."""
        before = self.before
        found = {
            "public_key": self.before_public_key,
            "mode": before.mode,
            "owner": before.owner,
            "directory_mode": before.directory_mode,
        }
        return {"before_header": self.path, "after_header": self.path, "before": shown(found), "after": shown(after)}


def shown(state: dict) -> dict:
    """Modes in octal, and a word where there is nothing."""
    state = {name: state.get(name) for name in ("public_key", "mode", "owner", "directory_mode")}
    for name in ("mode", "directory_mode"):
        if state[name] is not None:
            state[name] = f"{state[name]:04o}"
    return {name: NONE if value is None else value for name, value in state.items()}


def main() -> None:
    """Entry point of the module."""
    module = Module(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "rotate": {"type": "bool", "default": False},
            "require_rollback": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    with module.errors_reported(ValueError, OSError), changing(module):
        keypair = Keypair(module)
        result = keypair.present() if module.params["state"] == "present" else keypair.absent()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
