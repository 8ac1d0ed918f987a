# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sealed keys: what only their recipient can open, and what nobody may change."""

from __future__ import annotations

import base64
import os

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import encode_key, generate_private_key
from ansible_collections.wirefleet.wireguard.plugins.module_utils._sealing import fingerprint, seal, unseal, x25519

BASE_POINT = bytes([9, *bytes(31)])


@pytest.mark.parametrize(
    ("scalar", "point", "expected"),
    [
        # RFC 7748, section 5.2
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ],
)
def test_the_vectors_of_rfc_7748(scalar, point, expected):
    assert x25519(bytes.fromhex(scalar), bytes.fromhex(point)).hex() == expected


def test_against_pynacl():
    bindings = pytest.importorskip("nacl.bindings")
    for _number in range(20):
        scalar, other = os.urandom(32), bindings.crypto_scalarmult_base(os.urandom(32))
        assert x25519(scalar, other) == bindings.crypto_scalarmult(scalar, other)
        assert x25519(scalar, BASE_POINT) == bindings.crypto_scalarmult_base(scalar)


@pytest.fixture
def host():
    """A private key, and its public half."""
    private = generate_private_key()
    return private, encode_key(x25519(base64.b64decode(private), BASE_POINT))


def test_only_the_recipient_opens_it(host):
    private, public = host
    key = encode_key(os.urandom(32))
    sealed = seal(key, public)
    assert unseal(sealed, private) == key
    assert seal(key, public) != sealed
    assert base64.b64decode(key) not in base64.b64decode(sealed)
    with pytest.raises(ValueError, match="sealed for another host, or changed on its way"):
        unseal(sealed, generate_private_key())


@pytest.mark.parametrize("position", [0, 31, 32, 63, 64, 95])
def test_what_was_changed_on_its_way_is_refused(host, position):
    private, public = host
    raw = bytearray(base64.b64decode(seal(encode_key(os.urandom(32)), public)))
    raw[position] ^= 1
    with pytest.raises(ValueError, match="sealed for another host, or changed on its way"):
        unseal(base64.b64encode(raw).decode(), private)


@pytest.mark.parametrize("text", ["", "no base64", "AAAA", base64.b64encode(bytes(97)).decode()])
def test_what_is_no_sealed_key_is_refused(host, text):
    with pytest.raises(ValueError, match="this is no sealed key"):
        unseal(text, host[0])


def test_points_of_small_order_are_refused(host):
    with pytest.raises(ValueError, match="shares no secret with anybody"):
        unseal(base64.b64encode(bytes(96)).decode(), host[0])


def test_fingerprints_tell_keys_apart():
    keys = [encode_key(os.urandom(32)) for _number in range(100)]
    assert len({fingerprint(key) for key in keys}) == 100
    assert all(len(fingerprint(key)) == 32 for key in keys)
