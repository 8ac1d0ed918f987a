# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _values

HOSTILE = ["a\nPostUp = id", "a\rb", "a\0b", "a\u2028b", " ", "", "\t", "x\x7f"]


@pytest.mark.parametrize("name", ["wg0", "a", "A_=+.-9", "x" * 15])
def test_interface(name):
    assert _values.interface(name) == name


@pytest.mark.parametrize("name", [*HOSTILE, "x" * 16, ".", "..", "a/b", "wg 0", "$(id)", "wg0;id", "ж", "wg0\n"])
def test_no_interface(name):
    with pytest.raises(ValueError, match="^name is .*write at most 15"):
        _values.interface(name)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("198.51.100.1:51820", "198.51.100.1:51820"),
        ("relay1.example.net:051820", "relay1.example.net:51820"),
        ("[2001:DB8::0:1]:1", "[2001:db8::1]:1"),
        ("[fe80::1%eth0]:65535", "[fe80::1%eth0]:65535"),
        ("my_host:9", "my_host:9"),
    ],
)
def test_endpoint(text, normal):
    assert _values.endpoint(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE,
        "host",
        "host:",
        ":51820",
        "host:0",
        "host:65536",
        "host:99999999999999999999",
        "host:٣",
        "host: 9",
        "2001:db8::1:51820",
        "[2001:db8::1]",
        "[host]:9",
        "[10.0.0.1]:9",
        "[::1%a b]:9",
        "300.1.1.1:9",
        "a b:9",
        "-host:9",
        "$(id):9",
        "host:9\n",
        "host#:9",
    ],
)
def test_no_endpoint(text):
    with pytest.raises(ValueError, match=r"^endpoint is .*write HOST:PORT or \[IPV6\]:PORT"):
        _values.endpoint(text)


@pytest.mark.parametrize(("text", "mark"), [("off", 0), ("False", 0), ("0", 0), ("51820", 51820), ("0xCA6C", 0xCA6C)])
def test_fwmark(text, mark):
    assert _values.fwmark(text) == mark


@pytest.mark.parametrize("text", [*HOSTILE, "-1", "4294967296", "0x1FFFFFFFF", "ca6c", "1.0"])
def test_no_fwmark(text):
    with pytest.raises(ValueError, match="^fwmark is "):
        _values.fwmark(text)


@pytest.mark.parametrize(("text", "table"), [("auto", "auto"), ("OFF", "off"), ("False", "off"), ("077", "77")])
def test_table(text, table):
    assert _values.table(text) == table


@pytest.mark.parametrize("text", [*HOSTILE, "main", "0", "-1", "4294967296", "7 7"])
def test_no_table(text):
    with pytest.raises(ValueError, match="^table is "):
        _values.table(text)


@pytest.mark.parametrize("text", [*HOSTILE, "AAAA", "a" * 44, "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo=\n"])
def test_no_public_key(text):
    with pytest.raises(ValueError, match="^public_key is .*write the 44 characters"):
        _values.public_key(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_leaves_its_line(text):
    for check in (_values.line, _values.command, _values.path):
        with pytest.raises(ValueError, match=f"^option is {re.escape(repr(text))}: write "):
            check("option", text)


def test_a_hook_that_wg_quick_would_cut():
    assert (
        _values.command("post_up", "nft -f '/etc/x' && echo $(id) `id` %i") == "nft -f '/etc/x' && echo $(id) `id` %i"
    )
    with pytest.raises(ValueError, match="wg-quick takes '#' for a comment"):
        _values.command("post_up", "echo '#'")


@pytest.mark.parametrize("text", [*HOSTILE, "10.0.0.1/24", "dns.example.net", "10.0.0"])
def test_no_name_server(text):
    with pytest.raises(ValueError, match="^dns is "):
        _values.dns(text)


@pytest.mark.parametrize("text", [*HOSTILE, "10.0.0.1", "a b", "a,b", "$(id)", "a\n", "~", "~."])
def test_no_domain(text):
    with pytest.raises(ValueError, match="^dns_search is "):
        _values.domain(text)


def test_lists_keep_their_order_and_no_doubles():
    assert _values.networks("allowed_ips", ["10.9.0.7/16", "10.8.0.1", "10.9.0.0/16"]) == ("10.9.0.0/16", "10.8.0.1/32")
    assert _values.addresses("addresses", ["fd44::1", "10.8.0.1/24", "FD44::1"]) == ("fd44::1/128", "10.8.0.1/24")
    with pytest.raises(ValueError, match="^allowed_ips: '10.0.0.0/33' has no prefix length from 0 to 32"):
        _values.networks("allowed_ips", ["10.0.0.0/33"])


def test_numbers():
    assert _values.number("mtu", 576, 576, 65535) == 576
    with pytest.raises(ValueError, match="^mtu is 65536: write a number from 576 to 65535"):
        _values.number("mtu", 65536, 576, 65535)
