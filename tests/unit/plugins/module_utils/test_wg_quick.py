# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _wg_quick
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import NO_KEY
from ansible_collections.wirefleet.wireguard.plugins.module_utils._wg_quick import Config, PeerSection

PRIVATE = "aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUs="
ALICE = "mqJr7x3tWy1il72N37cVaFz7Iie1o0ZGPWdejYC8Zxo="
BOB = "Qdg0BEdk/6S+eKbth6+jVvYZtVQddPA+bNpvJygOY3I="
CAROL = "OJSieaXwsUiau0mOYqBJ1Ipqdg+oKEW6917tuxH9dmw="
PSK = "niwagn805eu6wEGqPHol+QWdzfuCTq8C6COwYYW6dPE="

FULL = Config(
    private_key=PRIVATE,
    addresses=("10.44.0.1/24", "fd44::1/64"),
    listen_port=51820,
    fwmark=0xCA6C,
    mtu=1380,
    table="77",
    dns=("10.44.0.53", "fd44::53"),
    dns_search=("example.net",),
    pre_up=("echo 1 %i", "echo 2"),
    post_up=("echo 3",),
    pre_down=("echo 4",),
    post_down=("echo 5 = 5",),
    peers=(
        PeerSection(ALICE, "alice", PSK, "[2001:db8::1]:51820", ("10.44.0.2/32", "fd44::2/128"), 25),
        PeerSection(BOB, endpoint="198.51.100.2:1", endpoint_name="bob.example.net:1"),
        PeerSection(CAROL, endpoint_name="carol.example.net:1"),
    ),
)
FULL_TEXT = f"""\
{_wg_quick.HEADER}[Interface]
PrivateKey = {PRIVATE}
Address = 10.44.0.1/24
Address = fd44::1/64
ListenPort = 51820
FwMark = 0xca6c
MTU = 1380
Table = 77
DNS = 10.44.0.53, fd44::53, example.net
PreUp = echo 1 %i
PreUp = echo 2
PostUp = echo 3
PreDown = echo 4
PostDown = echo 5 = 5

[Peer]
# alice
PublicKey = {ALICE}
PresharedKey = {PSK}
AllowedIPs = 10.44.0.2/32, fd44::2/128
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = 25

[Peer]
PublicKey = {BOB}
# EndpointName = bob.example.net:1
Endpoint = 198.51.100.2:1

[Peer]
PublicKey = {CAROL}
# EndpointName = carol.example.net:1
"""


def test_renders_everything():
    assert _wg_quick.render(FULL) == FULL_TEXT


def test_what_is_rendered_is_parsed_again():
    assert _wg_quick.parse(FULL_TEXT) == FULL
    assert _wg_quick.parse(_wg_quick.render(Config())) == Config()


def test_parses_what_people_write():
    text = f"""
# my server
[interface]
address=10.44.0.1/24,FD44::1  # both
ADDRESS = 10.45.0.1
fwmark = off
Table = auto
dns = 1.1.1.1 example.net
SaveConfig = true

# bob
[PEER]
publickey={BOB}
AllowedIPs = 10.44.0.7/24
AllowedIPs = 192.168.1.9
PersistentKeepalive = off
"""
    assert _wg_quick.parse(text) == Config(
        addresses=("10.44.0.1/24", "fd44::1/128", "10.45.0.1/32"),
        fwmark=0,
        dns=("1.1.1.1",),
        dns_search=("example.net",),
        save_config=True,
        peers=(PeerSection(BOB, "bob", allowed_ips=("10.44.0.0/24", "192.168.1.9/32")),),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Interface]\nListenPort 12000\n", "line 2: there is no 'Key = value' of a section"),
        ("MTU = 1420\n", "line 1: there is no 'Key = value' of a section"),
        ("[Interface]\nListenPort = x\n", "line 2: ListenPort has no valid value"),
        ("[Interface]\nSecret = PrivateKey\n", "line 2: there is no such setting of an interface"),
        ("[Peers]\n", "line 1: there is no such section; a file has [Interface] and [Peer]"),
        ("[Interface]\n[Peer]\nAllowedIPs = 10.0.0.1/33\n", "line 3: AllowedIPs of peer 1 has no valid value"),
        ("[Interface]\n[Peer]\nAllowedIPs = 10.0.0.1\n", "peer 1 has no PublicKey"),
        (
            f"[Interface]\n[Peer]\n# bob\nPublicKey = {BOB}\nPresharedKey = {PSK[:-1]}\n",
            "line 5: PresharedKey of peer bob has no valid value; a key is 44 characters of base64, without quotes",
        ),
        (
            f"[Interface]\nPrivateKey = '{PRIVATE}'\n",
            "line 2: PrivateKey has no valid value; a key is 44 characters of base64, without quotes",
        ),
    ],
)
def test_names_the_line_that_it_does_not_understand(text, message):
    with pytest.raises(ValueError) as caught:
        _wg_quick.parse(text)
    assert str(caught.value) == message


def test_zeros_stand_for_no_key():
    text = f"[Interface]\nPrivateKey = {NO_KEY}\n[Peer]\nPublicKey = {BOB}\nPresharedKey = {NO_KEY}\n"
    assert _wg_quick.parse(text) == Config(peers=(PeerSection(BOB),))


def test_a_comment_with_a_key_is_no_name():
    for comment in (f"PresharedKey = {PSK[:-1]}", f"old: {PSK}"):
        assert _wg_quick.parse(f"[Peer]\n# {comment}\nPublicKey = {BOB}\n").peers == (PeerSection(BOB),)
        assert _wg_quick.parse(f"# {comment}\n[Peer]\nPublicKey = {BOB}\n").peers == (PeerSection(BOB),)


HAND_MADE = f"""\
# the office
[Interface]
PrivateKey={PRIVATE}
Address = 10.44.0.1/24   # main

# -- people --

# Alice, since 2019
[Peer]
PublicKey = {ALICE}
AllowedIPs = 10.44.0.2/32 , 10.44.0.22/32  # laptop
#AllowedIPs = 10.44.0.9/32
Endpoint=alice.example.net:51820


[Peer]
  PublicKey = {BOB}
  AllowedIPs = 10.44.0.3
  PersistentKeepalive = 25
# trailing note
"""


def peer_of(text, key):
    return next(peer for peer in _wg_quick.parse(text).peers if peer.public_key == key)


def test_an_equal_peer_changes_no_byte():
    for key in (ALICE, BOB):
        assert _wg_quick.with_peer(HAND_MADE, peer_of(HAND_MADE, key)) == HAND_MADE


def test_a_changed_value_changes_its_own_bytes_only():
    alice = peer_of(HAND_MADE, ALICE)._replace(allowed_ips=("10.44.0.2/32",))
    old, new = "10.44.0.2/32 , 10.44.0.22/32  # laptop", "10.44.0.2/32  # laptop"
    assert _wg_quick.with_peer(HAND_MADE, alice) == HAND_MADE.replace(old, new)
    bob = peer_of(HAND_MADE, BOB)._replace(persistent_keepalive=15)
    assert _wg_quick.with_peer(HAND_MADE, bob) == HAND_MADE.replace("= 25", "= 15")


def test_new_and_lost_settings():
    bob = peer_of(HAND_MADE, BOB)._replace(persistent_keepalive=0, preshared_key=PSK, endpoint="bob.example.net:1")
    last = "  PersistentKeepalive = 25\n"
    expected = HAND_MADE.replace(last, f"PresharedKey = {PSK}\nEndpoint = bob.example.net:1\n")
    assert sorted(_wg_quick.with_peer(HAND_MADE, bob).splitlines()) == sorted(expected.splitlines())
    assert peer_of(_wg_quick.with_peer(HAND_MADE, bob), BOB) == bob


def test_names_are_comments():
    renamed = _wg_quick.with_peer(HAND_MADE, peer_of(HAND_MADE, ALICE)._replace(name="alice"))
    assert renamed == HAND_MADE.replace("# Alice, since 2019", "# alice")
    named = _wg_quick.with_peer(HAND_MADE, peer_of(HAND_MADE, BOB)._replace(name="bob"))
    assert named == HAND_MADE.replace("\n[Peer]\n  P", "\n[Peer]\n# bob\n  P")


def test_the_name_of_an_endpoint_comes_and_goes():
    alice = peer_of(FULL_TEXT, ALICE)._replace(endpoint="198.51.100.1:1", endpoint_name="alice.example.net:1")
    named = _wg_quick.with_peer(FULL_TEXT, alice)
    assert peer_of(named, ALICE) == alice
    assert _wg_quick.with_peer(named, peer_of(FULL_TEXT, ALICE)) == FULL_TEXT
    moved = _wg_quick.with_peer(named, alice._replace(endpoint_name="other.example.net:2"))
    assert moved == named.replace("alice.example.net:1", "other.example.net:2")
    # It is a setting of its peer, not a comment above the next one.
    carol = f"[Peer]\nPublicKey = {CAROL}\n# EndpointName = carol.example.net:1\n"
    assert _wg_quick.without_peer(f"{carol}[Peer]\nPublicKey = {BOB}\n", BOB) == carol


@pytest.mark.parametrize("section", ["[Interface]", f"[Peer]\nPublicKey = {BOB}"])
def test_what_only_looks_like_the_name_of_an_endpoint_is_a_comment(section):
    for comment in ("# # EndpointName = x:1", "# the EndpointName = x:1"):
        assert not any(peer.endpoint_name for peer in _wg_quick.parse(f"{section}\n{comment}\n").peers)
    assert _wg_quick.parse("[Interface]\n# EndpointName = x:1\n") == Config()


@pytest.mark.parametrize("text", [HAND_MADE, HAND_MADE.rstrip("\n"), HAND_MADE + "\n\n", "", "[Interface]\n"])
def test_a_peer_that_comes_and_goes_leaves_nothing(text):
    carol = PeerSection(CAROL, "carol", PSK, "carol.example.net:51820", ("10.44.0.4/32",), 25)
    added = _wg_quick.with_peer(text, carol)
    assert added.startswith(text)
    assert peer_of(added, CAROL) == carol
    assert _wg_quick.without_peer(added, CAROL).rstrip("\n") == text.rstrip("\n")


def test_removal_takes_the_comment_above_along_and_nothing_else():
    start, end = HAND_MADE.index("\n# Alice"), HAND_MADE.index("\n\n[Peer]\n  P")
    assert _wg_quick.without_peer(HAND_MADE, ALICE) == HAND_MADE[:start] + HAND_MADE[end:]
    assert _wg_quick.without_peer(HAND_MADE, CAROL) == HAND_MADE


def test_a_peer_that_is_there_twice_is_not_edited():
    text = HAND_MADE + f"[Peer]\nPublicKey = {BOB}\n"
    with pytest.raises(ValueError, match="2 times"):
        _wg_quick.without_peer(text, BOB)


def test_carriage_returns_and_foreign_bytes_stay():
    text = "[Interface]\r\n# caf\udce9\r\n\r\n[Peer]\r\nPublicKey = " + BOB + "\r\nAllowedIPs = 10.0.0.1/32\r\n"
    changed = _wg_quick.with_peer(text, PeerSection(BOB, allowed_ips=("10.0.0.2/32",)))
    assert changed == text.replace("10.0.0.1", "10.0.0.2")
