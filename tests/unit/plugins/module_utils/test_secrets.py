# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is taken out of texts, and what stays. That nothing gets past it is tested with the modules."""

from __future__ import annotations

import base64
import random

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _secrets

PRIVATE = "aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUs="
PSK = "niwagn805eu6wEGqPHol+QWdzfuCTq8C6COwYYW6dPE="
ALICE = "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo="
HERE = "(on the host)"


@pytest.mark.parametrize(
    "text",
    [
        "Montreal-Office-Router, since 2019",
        "iptables -A FORWARD -i wg0 -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE",
        "wg set wg0 private-key /etc/wireguard/wg0.key",
        "/etc/NetworkManager/dispatcher.d/WireGuardUp2 && /usr/local/lib/wireguard/hooks/networks/forward/up",
        f"wg set wg0 peer {ALICE} persistent-keepalive 25",
        "RTNETLINK answers: File exists",
        "VeryLongNameOfSomeHost-in-Montreal",
        "iPhone-of-Mary-Ann-2024",
        "systemctl start wireguard-endpoints-wg0.timer",
        "ip route add fd44:1234:5678:9abc:def0:1234:5678:9abc dev wg0",
    ],
)
def test_words_that_are_no_keys_stay(text):
    assert _secrets.masked_words(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"old: {PRIVATE}", f"old: {HERE}"),
        (
            f"wg set wg0 peer {ALICE} preshared-key <(echo {PSK[:9]} {PSK[9:14]})",
            f"wg set wg0 peer {ALICE} preshared-key <(echo {HERE})",
        ),
        ("wg set wg0 private-key /dev/stdin <<< secret; true", f"wg set wg0 private-key /dev/stdin <<< {HERE}; true"),
        ("echo short | wg set wg0 private-key /dev/stdin", f"echo {HERE}| wg set wg0 private-key /dev/stdin"),
        (f"peer {ALICE[:-1]}", f"peer {HERE}"),
    ],
)
def test_words_that_may_be_keys_go(text, masked):
    assert _secrets.masked_words(text) == masked


def test_random_keys_go_however_they_are_cut():
    generator = random.Random(1)
    for _number in range(500):
        key = base64.b64encode(generator.randbytes(32)).decode()
        for form in (key, key[:-1], key[:40], f"{key}x", base64.b64decode(key).hex()):
            assert form not in _secrets.masked_words(f"a {form} b")


FILE = f"""\
# the office
[Interface]
PrivateKey = {PRIVATE} # of 2019
privatekey={PRIVATE}\r
Address = 10.44.0.1/24 # main
PostUp = wg set %i peer {ALICE} preshared-key <(echo {PSK})

[Peer]
# Alice, psk {PSK}
PublicKey = {ALICE} # {PSK}
PresharedKey = (changed on the host)
# PresharedKey = (on the host)
#PresharedKey={PSK[:20]} {PSK[20:]}
# EndpointName = alice.example.net:1
{PSK[:20]} {PSK[20:]}
PresharedKe = {PSK[:10]}
[{PSK[:10]}
"""
MASKED = f"""\
# the office
[Interface]
PrivateKey = {HERE}
privatekey= {HERE}\r
Address = 10.44.0.1/24 # main
PostUp = wg set %i peer {ALICE} preshared-key <(echo {HERE})

[Peer]
# Alice, psk {HERE}
PublicKey = {ALICE} # {HERE}
PresharedKey = (changed on the host)
# PresharedKey = (on the host)
#PresharedKey {HERE}
# EndpointName = alice.example.net:1
{HERE}
{HERE}
{HERE}
"""


def test_a_file_is_shown_where_it_is_understood():
    assert _secrets.masked(FILE) == MASKED
    assert _secrets.masked("") == ""


def test_what_a_tool_quotes_goes():
    said = f"Line unrecognized: `presharedkey={PSK[:10]}'\nConfiguration parsing error\n"
    assert _secrets.masked_output(said) == f"Line unrecognized: `{HERE}'\nConfiguration parsing error\n"


def test_reasons_of_the_system_are_no_secrets():
    assert _secrets.system_error("wg: x: No such device or address") == "No such device or address"
    assert _secrets.system_error(f"Key is not the correct length or format: `{PSK}'") == ""


def test_options_are_masked_at_any_depth():
    options = {"name": "wg0", "peers": [{"public_key": ALICE, "preshared_key_file": PSK, "port": 1}], "post_up": [PSK]}
    assert _secrets.masked_values(options) == {
        "name": "wg0",
        "peers": [{"public_key": ALICE, "preshared_key_file": HERE, "port": 1}],
        "post_up": [HERE],
    }
