# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of plugins share."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common import warnings

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _processes


@pytest.fixture
def run_module(monkeypatch, capsys):
    """``run_module(module, check=False, **options)`` runs a module in this process and returns its result."""

    def run(module, check=False, **options):
        arguments = {"_ansible_check_mode": check, "_ansible_diff": True, **options}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)  # from ansible-core 2.19 on
        # Where tests of action plugins run too, ansible-core (from 2.19 on) takes a module's warnings for its own.
        if "ansible.module_utils._internal" in sys.modules:
            monkeypatch.setattr(sys.modules["ansible.module_utils._internal"], "is_controller", False)
        # In this process, whose signals are pytest's.
        monkeypatch.setattr(_processes, "continue_in_own_session", lambda module: None)
        monkeypatch.setattr(_processes, "protect", lambda hook_seconds=0: None)
        warnings._global_warnings.clear()  # they live as long as the process
        # From ansible-core 2.19 on, a process in which another test has imported the controller shows warnings itself.
        with contextlib.suppress(ImportError):
            monkeypatch.setattr(importlib.import_module("ansible.module_utils._internal"), "is_controller", False)
        with pytest.raises(SystemExit):
            module.main()
        result = json.loads(capsys.readouterr().out)
        result.pop("invocation", None)  # until ansible-core 2.20
        return result

    return run
