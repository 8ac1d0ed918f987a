# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of plugins share."""

from __future__ import annotations

import contextlib
import importlib
import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common import warnings

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _processes


@pytest.fixture
def as_on_a_host(monkeypatch):
    """A module may be run in this process, as if it were one of its own on a host."""
    # The process is pytest's, with its signals and its session.
    monkeypatch.setattr(_processes, "continue_in_own_session", lambda module: None)
    monkeypatch.setattr(_processes, "protect", lambda hook_seconds=0: None)
    # From ansible-core 2.19 on, a process in which another test has imported the controller shows warnings itself.
    with contextlib.suppress(ImportError):
        monkeypatch.setattr(importlib.import_module("ansible.module_utils._internal"), "is_controller", False)


@pytest.fixture
def run_module(monkeypatch, capsys, as_on_a_host):
    """``run_module(module, check=False, **options)`` runs a module in this process and returns its result."""

    def run(module, check=False, **options):
        arguments = {"_ansible_check_mode": check, "_ansible_diff": True, **options}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)  # from ansible-core 2.19 on
        warnings._global_warnings.clear()  # they live as long as the process
        with pytest.raises(SystemExit):
            module.main()
        result = json.loads(capsys.readouterr().out)
        result.pop("invocation", None)  # until ansible-core 2.20
        return result

    return run
