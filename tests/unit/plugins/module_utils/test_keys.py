# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sys

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _keys

# RFC 7748, section 6.1: private and public keys of Alice and Bob. Alice's private key is not clamped.
VECTORS = [
    (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    ),
    (
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ),
]
KEYS = [tuple(_keys.encode_key(bytes.fromhex(half)) for half in pair) for pair in VECTORS]


def never_run(*_arguments, **_options):
    raise AssertionError("no command may be run")


@pytest.mark.parametrize(("private_key", "public_key"), KEYS)
def test_public_key_by_pynacl(private_key, public_key):
    assert _keys.public_key_of(private_key, never_run, "/usr/bin/wg") == public_key


@pytest.mark.parametrize(("private_key", "public_key"), KEYS)
def test_public_key_by_wg_gets_the_key_on_standard_input_only(monkeypatch, private_key, public_key):
    calls = []

    def run_command(argv, data=None):
        calls.append((argv, data))
        return 0, public_key + "\n", ""

    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    assert _keys.public_key_of(private_key, run_command, "/usr/bin/wg") == public_key
    assert calls == [(["/usr/bin/wg", "pubkey"], private_key)]


def test_public_key_without_any_tool(monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    assert _keys.public_key_of(KEYS[0][0], never_run, None) is None


def test_public_key_when_wg_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    answers = [
        (1, "", f"wg: {KEYS[0][0]}: Permission denied\n", "^'wg pubkey' ended with 1: Permission denied$"),
        (3, "", f"wg: Key is not ...: `{KEYS[0][0]}'\n", "^'wg pubkey' ended with 3: run it by hand to see why$"),
        (0, KEYS[0][0][:-1], "", "^'wg pubkey' printed no public key: check which program 'wg' is on this host$"),
    ]
    for code, out, err, message in answers:
        with pytest.raises(ValueError, match=message):
            _keys.public_key_of(KEYS[0][0], lambda argv, data, said=(code, out, err): said, "/usr/bin/wg")


@pytest.mark.parametrize("random", [b"\xff" * 32, b"\x00" * 32, bytes(range(32))])
def test_generated_keys_are_clamped(monkeypatch, random):
    monkeypatch.setattr(os, "urandom", lambda count: random[:count])
    raw = _keys.decode_key(_keys.generate_private_key())
    assert raw[0] & 7 == 0
    assert raw[31] & 0b11000000 == 0b01000000
    assert raw[1:31] == random[1:31]


def test_generated_keys_differ():
    assert len({_keys.generate_private_key() for _number in range(100)}) == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a WireGuard key: expected 44 characters of base64, got 0"),
        ("AAAA", "not a WireGuard key: expected 44 characters of base64, got 4"),
        (KEYS[0][0] + "\n", "not a WireGuard key: not base64"),
        (" " + KEYS[0][0], "not a WireGuard key: not base64"),
        ("-" * 44, "not a WireGuard key: not base64"),
        ("é" * 44, "not a WireGuard key: not base64"),
        ("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCp=", "not a WireGuard key: the last character has surplus bits"),
        ("A" * 43 + "=", "not a WireGuard key: all zeros stand for 'no key'"),
    ],
)
def test_what_is_no_key(text, message):
    with pytest.raises(ValueError) as error:
        _keys.decode_key(text)
    assert str(error.value) == message


def test_decode_and_encode():
    assert _keys.decode_key(KEYS[0][0]).hex() == VECTORS[0][0]


def put(path, content=KEYS[0][0] + "\n", mode=0o600):
    path.write_text(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", " \n\n"])
def test_key_file(tmp_path, ending):
    file = _keys.KeyFile(put(tmp_path / "key", KEYS[0][0] + ending))
    assert (file.private_key, file.mode, file.owner) == (KEYS[0][0], 0o600, os.geteuid())
    assert file.exists
    assert file.is_right


def test_key_file_that_is_not_there(tmp_path):
    assert not _keys.KeyFile(str(tmp_path / "key")).exists
    missing = _keys.KeyFile(str(tmp_path / "missing" / "key"))
    assert not missing.exists
    assert not missing.directory_is_right


def test_key_file_of_wrong_mode(tmp_path):
    file = _keys.KeyFile(put(tmp_path / "key", mode=0o640))
    assert file.exists
    assert not file.is_right


def test_only_wireguards_own_directory_has_to_be_closed(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    path = put(tmp_path / "key")
    assert _keys.KeyFile(path).is_right
    monkeypatch.setattr(_keys, "OWN_DIRECTORY", str(tmp_path))
    assert not _keys.KeyFile(path).is_right
    tmp_path.chmod(0o700)
    assert _keys.KeyFile(path).is_right


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a WireGuard key: expected 44 characters of base64, got 0"),
        (b"[Interface]\n", "not a WireGuard key: not base64"),
        (b"\xff\xfe", "not a WireGuard key: not ASCII"),
        ((KEYS[0][0] + "\n" + KEYS[1][0] + "\n").encode(), "not a WireGuard key: not base64"),
    ],
)
def test_file_without_a_key(tmp_path, content, reason):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        _keys.KeyFile(str(path))
    assert str(error.value) == (
        f"{path} is left as it is, since it holds no private key ({reason}): move it away to have a key made"
    )


def test_no_content_of_a_file_is_told(tmp_path):
    path = put(tmp_path / "key", KEYS[0][0] + KEYS[1][0])
    with pytest.raises(ValueError) as error:
        _keys.KeyFile(path)
    assert KEYS[0][0][:8] not in str(error.value)


def test_what_is_no_file(tmp_path):
    link, pipe, directory = tmp_path / "link", tmp_path / "pipe", tmp_path / "directory"
    link.symlink_to(put(tmp_path / "key"))
    os.mkfifo(pipe)
    directory.mkdir()
    with pytest.raises(ValueError, match=r"is a symbolic link to .*/key: name the file itself$"):
        _keys.KeyFile(str(link))
    for path in (pipe, directory):
        with pytest.raises(ValueError, match="is not a regular file"):
            _keys.KeyFile(str(path))
    with pytest.raises(ValueError, match="is not a directory"):
        _keys.KeyFile(put(tmp_path / "key") + "/key")


def test_relative_path():
    with pytest.raises(ValueError, match=r"^wg0.key is not an absolute path: write it from the root, like /etc/"):
        _keys.KeyFile("wg0.key")
