# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules have in common: how they report errors, and what the host's log has of them.

Ansible logs the arguments of a module on the host, and returns them with its result. Here the peers of a fleet would be
megabytes a run, and a key that stands where the path of its file belongs, or in a hook, would be there for all to read.
``no_log`` is no remedy: Ansible then takes the values out of results too, public keys and networks with them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.wirefleet.wireguard.plugins.module_utils._secrets import masked_values

LONGEST_LOGGED = 120


class Module(AnsibleModule):
    """An AnsibleModule that says no more of its options and its errors than anybody may know."""

    def _log_invocation(self) -> None:
        """In the place of Ansible's, which logs all in full: short options masked, long ones by size and digest."""
        options = remove_values(masked_values(self.params), self.no_log_values)
        logged = {name: _logged(value) for name, value in options.items() if value not in (None, [])}
        self.log(" ".join(["Invoked with", *(f"{name}={text}" for name, text in logged.items())]), log_args=logged)

    def _return_formatted(self, kwargs: dict[str, t.Any]) -> None:
        """Every result passes here; Ansible adds the options as they are, unless they are there already."""
        kwargs.setdefault("invocation", {"module_args": masked_values(self.params)})
        super()._return_formatted(kwargs)

    @contextlib.contextmanager
    def errors_reported(self, *expected: type[Exception]) -> t.Iterator[None]:
        """Fail the module for an error: with the text of those that are ``expected``, else with kind and place.

        The text of any other may quote what the module was reading (``int()`` does), and Ansible would show it.
        """
        try:
            yield
        except expected as error:
            is_of_file = isinstance(error, OSError) and error.filename and error.strerror
            self.fail_json(msg=f"{error.filename}: {error.strerror}" if is_of_file else str(error))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)[1:]
            places = " > ".join(f"{os.path.basename(frame.filename)}:{frame.lineno} ({frame.name})" for frame in frames)
            self.fail_json(
                msg=f"unexpected {type(error).__name__} in {places}: this is a fault of the module; its text is left "
                "out, since it may quote a key",
                # In the place of the one that Ansible would take from the error.
                exception="".join([*traceback.format_list(frames), type(error).__name__]),
            )


def _logged(value: t.Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) <= LONGEST_LOGGED:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    size = f"{len(text)} characters" if isinstance(value, str) else f"{len(value)} entries"
    return f"({size}, SHA-256 {digest})"
