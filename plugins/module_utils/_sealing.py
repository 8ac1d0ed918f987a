# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sealing a key so that only the host with a certain WireGuard key can open it. Pure; nothing but the standard library.

X25519 (RFC 7748) with a key that exists for this one text only, HKDF-SHA256 (RFC 5869) for a pad and the key of an
HMAC tag. The arithmetic is not in constant time: it is done a few times, on the host that owns the key, and the private
key it touches there is one that is in the same process's memory anyway.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import KEY_BYTES, decode_key, encode_key

_PRIME = 2**255 - 19
_A24 = 121665  # (486662 - 2) / 4
_BASE_POINT = (9).to_bytes(KEY_BYTES, "little")
_LABEL = b"wirefleet preshared key 1"


def x25519(scalar: bytes, point: bytes) -> bytes:
    """The function of RFC 7748, section 5: the Montgomery ladder over 2^255 - 19."""
    k = int.from_bytes(scalar, "little") & ~7 & ~(128 << 248) | (64 << 248)
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for bit in range(254, -1, -1):
        swap ^= k >> bit & 1
        if swap:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = k >> bit & 1
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % _PRIME, b * b % _PRIME, d * a % _PRIME, c * b % _PRIME
        x3, z3 = (da + cb) ** 2 % _PRIME, x1 * (da - cb) ** 2 % _PRIME
        e = aa - bb
        x2, z2 = aa * bb % _PRIME, e * (aa + _A24 * e) % _PRIME
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _PRIME - 2, _PRIME) % _PRIME).to_bytes(KEY_BYTES, "little")


def seal(key: str, public_key: str) -> str:
    """A text from which only the owner of ``public_key`` gets ``key``; both in WireGuard's text form."""
    recipient, once = decode_key(public_key), os.urandom(KEY_BYTES)
    sender = x25519(once, _BASE_POINT)
    pad, tag_key = _pad_and_tag_key(x25519(once, recipient), sender, recipient)
    hidden = bytes(a ^ b for a, b in zip(decode_key(key), pad))
    return base64.b64encode(sender + hidden + _hmac(tag_key, hidden)).decode("ascii")


def unseal(sealed: str, private_key: str) -> str:
    """The key of a text that was sealed for the public half of ``private_key``. Raises ValueError for any other."""
    own = decode_key(private_key)
    try:
        raw = base64.b64decode(sealed.encode("ascii"), validate=True)
    except ValueError:
        raw = b""
    sender, hidden, tag = raw[:KEY_BYTES], raw[KEY_BYTES : 2 * KEY_BYTES], raw[2 * KEY_BYTES :]
    if len(raw) != 3 * KEY_BYTES:
        raise ValueError("this is no sealed key")
    pad, tag_key = _pad_and_tag_key(x25519(own, sender), sender, x25519(own, _BASE_POINT))
    if not hmac.compare_digest(tag, _hmac(tag_key, hidden)):
        raise ValueError("this key was sealed for another host, or changed on its way")
    return encode_key(bytes(a ^ b for a, b in zip(hidden, pad)))


def fingerprint(key: str) -> str:
    """What tells two random keys apart, and tells nothing else of them."""
    return _hmac(decode_key(key), _LABEL)[:16].hex()


def _pad_and_tag_key(shared: bytes, sender: bytes, recipient: bytes) -> tuple[bytes, bytes]:
    """HKDF: extract from the shared secret and both public keys, expand to twice 32 bytes."""
    if not any(shared):
        raise ValueError("this public key shares no secret with anybody")  # a point of small order: RFC 7748, 6.1
    secret = _hmac(_LABEL, shared + sender + recipient)
    pad = _hmac(secret, b"pad\x01")
    return pad, _hmac(secret, pad + b"tag\x02")


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()
