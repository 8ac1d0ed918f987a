# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host of files in a folder and of tools that quote all that they are given, and all that can be seen of it."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import types

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common import warnings
from ansible.module_utils.common.parameters import PASS_VARS

from ansible_collections.wirefleet.wireguard.plugins.module_utils import (
    _host,
    _interface,
    _names,
    _underlay,
    _unit,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import clamped
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_info, wg_preshared

OWN = clamped("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=")
OWN_PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
ALICE = "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo="
BOB = "Qdg0BEdk/6S+eKbth6+jVvYZtVQddPA+bNpvJygOY3I="

# A tool that is given something tells what, to everybody. `wg` shows what the test says; all else it refuses.
TOOL = """#!/bin/sh
{{ echo "$0 $*"; export -p; }} >> {host}/seen
case "${{0##*/}} $*" in
    "wg show interfaces") [ ! -e {host}/dump ] || echo wg0 ;;
    "wg show wg0 dump") while read -r line; do echo "$line"; done < {host}/dump ;;
    "wg pubkey")
        [ ! -e {host}/refusing ] || {{ echo "Key is not: \\`$(cat)'" >&2; exit 1; }}
        echo {public} ;;
    "wg set "*)
        for word; do case $word in /dev/fd/*) read -r quoted < "$word" ;; esac; done
        echo "Key is not the correct length or format: \\`$quoted$(cat)'" >&2
        exit 1 ;;
    "wg "*) echo "Line unrecognized: \\`$(cat)'" >&2; exit 1 ;;
    "ip "*-batch*) read -r line; case $line in "address show"*) echo '{link}' '[]' ;; esac ;;
    "bash "*) exec /bin/bash "$@" ;;
esac
"""
LINK = [{"ifname": "wg0", "flags": ["UP"], "mtu": 1420, "linkinfo": {"info_kind": "wireguard"}, "addr_info": []}]


def told_all(**internal):
    """What Ansible passes a module besides its options, for all to be returned and logged that ever is."""
    internal = {
        "_ansible_diff": True,
        "_ansible_debug": True,
        "_ansible_verbosity": 4,
        "_ansible_inject_invocation": True,  # from ansible-core 2.21 on; until then it always is
        "_ansible_tracebacks_for": ["error"],  # from ansible-core 2.19 on
        **internal,
    }
    return {name: value for name, value in internal.items() if name[len("_ansible_") :] in PASS_VARS}


class Host:
    """A host of files and tools in a folder of the test, and all that could be seen of it."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        (folder / "bin").mkdir()
        for tool in ("wg", "ip", "bash"):
            (folder / "bin" / tool).write_text(TOOL.format(host=folder, public=OWN_PUBLIC, link=json.dumps(LINK)))
            (folder / "bin" / tool).chmod(0o755)
        self.key_file(OWN)

    def path(self, name):
        return str(self.folder / name)

    def write(self, name, text):
        (self.folder / name).write_bytes(text.encode())

    def key_file(self, text, name="wg0.key"):
        self.write(name, f"{text}\n")
        (self.folder / name).chmod(0o600)

    def config(self, text=""):
        """A file that is right but for ``text``, which follows its [Interface]."""
        self.write("wg0.conf", f"[Interface]\nPrivateKey = {OWN}\n{text}\n[Peer]\nPublicKey = {ALICE}\n")

    def device(self, private_key=OWN, preshared_key="(none)", more=""):
        """A device of which ``wg`` tells this."""
        peer = f"{ALICE}\t{preshared_key}\t(none)\t10.44.0.2/32\t0\t0\t0\toff{more}"
        self.write("dump", f"{private_key}\t{OWN_PUBLIC}\t51820\toff\n{peer}\n")

    def run(self, module, check=False, **options):
        """The result of a module, and all that could be seen while it ran."""
        seen, journal = self.folder / "seen", []
        seen.write_text("")
        arguments = told_all(_ansible_check_mode=check)
        text = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, **options}}).encode()
        patch = self._monkeypatch.setattr
        patch(basic, "_ANSIBLE_ARGS", text)
        patch(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)  # from ansible-core 2.19 on
        patch(basic, "has_journal", True)
        patch(
            basic, "journal", types.SimpleNamespace(send=lambda *args, **fields: journal.append((args, fields))), False
        )
        with contextlib.suppress(ImportError):
            traceback = importlib.import_module("ansible.module_utils._internal._traceback")
            patch(traceback, "_module_tracebacks_enabled_events", None)
        warnings._global_warnings.clear()
        with pytest.raises(SystemExit):
            module.main()
        output = self._capsys.readouterr()
        assert any("Invoked with" in fields["MESSAGE"] for _args, fields in journal)
        return json.loads(output.out), "\n".join(
            [output.out, output.err, repr(journal), seen.read_text(errors="replace")]
        )


def quoting_host(tmp_path, monkeypatch, capsys):
    """The host; what modules take for its folders and tools are its own."""
    monkeypatch.setattr(_host, "SEARCH_PATH", f"{tmp_path}/bin")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")  # of hooks
    monkeypatch.setattr(_interface, "JOURNALS", str(tmp_path))
    monkeypatch.setattr(_interface.Interface.__init__, "__defaults__", (str(tmp_path), ""))
    for module in (_host, _interface):
        monkeypatch.setattr(module, "kernel_has_wireguard", lambda run_command: True)
    monkeypatch.setattr(_unit, "init_system", lambda: "other")
    monkeypatch.setattr(_underlay, "mtu", lambda *arguments: 1420)
    monkeypatch.setattr(_names, "HOSTS", f"{tmp_path}/hosts")
    monkeypatch.setattr(wg_info, "CONFIG_FILE", f"{tmp_path}/{{}}.conf")
    monkeypatch.setattr(wg_info, "SYSCTL_FILE", f"{tmp_path}/70-wireguard-{{}}.conf")
    monkeypatch.setattr(wg_preshared, "PENDING", f"{tmp_path}/pending-{{}}")
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)

    def no_link(name):
        if not (tmp_path / "dump").exists():
            raise OSError(19, "No such device")
        return 7

    monkeypatch.setattr(_interface.socket, "if_nametoindex", no_link)
    return Host(tmp_path, monkeypatch, capsys)
