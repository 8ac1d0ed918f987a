# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules have in common: what the host's log and the results have of options and errors."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic

from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import LONGEST_LOGGED, Module
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.modules.quoting_host import told_all

KEY = "niwagn805eu6wEGqPHol+QWdzfuCTq8C6COwYYW6dPE="
PUBLIC = "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo="
PEERS = [{"public_key": PUBLIC, "allowed_ips": [f"10.{number // 250}.{number % 250}.1/32"]} for number in range(3000)]
SPEC = {
    "name": {"type": "str"},
    "peers": {"type": "list", "elements": "dict"},
    "post_up": {"type": "list", "elements": "str", "default": []},
    "text": {"type": "str"},
    "key_file": {"type": "path", "no_log": False},
    "public_key": {"type": "str", "no_log": False},
}


@pytest.fixture
def log(monkeypatch):
    """``(message, fields)`` of all that goes to the host's log."""
    logged = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, msg, log_args=None: logged.append((msg, log_args)))
    return logged


@pytest.fixture
def ended(monkeypatch, capsys):
    """``ended(work, **options)``: the result of a module that does this."""

    def run(work, **options):
        arguments = {**told_all(), **options}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)  # from ansible-core 2.19 on
        with pytest.raises(SystemExit):
            work(Module(argument_spec=SPEC))
        return json.loads(capsys.readouterr().out)

    return run


def test_a_fleet_is_one_short_line_of_the_log(log, ended):
    ended(lambda module: module.exit_json(), name="wg0", peers=PEERS, text="x" * 1000)
    ended(lambda module: module.exit_json(), name="wg0", peers=[*PEERS[1:], PEERS[0]])
    (first, fields), (second, _fields) = log
    assert first.startswith("Invoked with name=wg0 peers=(3000 entries, SHA-256 ")
    assert "text=(1000 characters, SHA-256 " in first
    assert set(fields) == {"name", "peers", "text"} and fields["name"] == "wg0"
    assert len(first) < 3 * LONGEST_LOGGED
    assert first.partition(" text=")[0] != second  # another fleet is another digest


def test_the_log_and_the_result_have_no_key(log, ended):
    hook = f"wg set %i peer {PUBLIC} preshared-key <(echo {KEY})"
    options = {
        "post_up": [hook],
        "key_file": KEY,
        "public_key": PUBLIC,
        "peers": [{"preshared_key": KEY, "public_key": PUBLIC}],
    }
    result = ended(lambda module: module.exit_json(), **options)
    assert KEY[:8] not in str(log) + str(result)
    assert f"public_key={PUBLIC}" in log[0][0] and "key_file=(on the host)" in log[0][0]
    if "invocation" in result:
        arguments = result["invocation"]["module_args"]
        assert arguments["peers"] == [{"preshared_key": "(on the host)", "public_key": PUBLIC}]
        assert arguments["post_up"] == [hook.replace(KEY, "(on the host)")]


def test_an_option_that_is_unknown_is_not_returned(ended):
    """Trap: who gives the key itself, which no module takes, has it in the result of the failure."""
    result = ended(lambda module: module.exit_json(), preshared_key=KEY)
    assert "Unsupported parameters" in result["msg"] and KEY[:8] not in str(result)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("port is 0"), "port is 0"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: No such file or directory"),
        (OSError("a text"), "a text"),
    ],
)
def test_an_expected_error_is_reported_by_its_text(ended, error, message):
    def work(module):
        with module.errors_reported(ValueError, OSError):
            raise error

    assert ended(work)["msg"] == message


def test_an_unexpected_error_is_reported_by_its_place(ended):
    def parse(text):
        return int(text)

    def work(module):
        with module.errors_reported(OSError):
            try:
                parse(KEY)
            except ValueError:
                {}[KEY]

    result = ended(work)
    assert result["msg"].startswith("unexpected KeyError in test_module.py:")
    assert result["msg"].endswith(
        " (work): this is a fault of the module; its text is left out, since it may quote a key"
    )
    assert KEY[:8] not in str(result)


def test_a_module_that_ends_inside_is_not_disturbed(ended):
    def work(module):
        with module.errors_reported(OSError):
            module.fail_json(msg="by itself")

    assert ended(work)["msg"] == "by itself"
