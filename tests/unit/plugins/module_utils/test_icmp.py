# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _icmp

ECHO = _icmp.Echo(0x1234, 7, b"payload")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        # RFC 1071, section 3: the sum of these is 0xddf2.
        ("0001f203f4f5f6f7", ~0xDDF2 & 0xFFFF),
        ("", 0xFFFF),
        ("ff", 0x00FF),
        ("ffff" * 40000, 0),
    ],
)
def test_checksum(data, value):
    assert _icmp.checksum(bytes.fromhex(data)) == value


def test_request_of_version_4_has_a_checksum():
    message = _icmp.echo_request(4, ECHO)
    assert (message[0], message[1]) == (8, 0)
    assert message[4:] == struct.pack("!HH", 0x1234, 7) + b"payload"
    assert _icmp.checksum(message) == 0


def test_request_of_version_6_leaves_the_checksum_to_the_kernel():
    assert _icmp.echo_request(6, ECHO) == b"\x80\x00\x00\x00\x12\x34\x00\x07payload"


def reply(version, kind, code=0):
    message = struct.pack("!BBHHH", kind, code, 0, 0x1234, 7) + b"payload"
    if version == 4:
        message = message[:2] + struct.pack("!H", _icmp.checksum(message)) + message[4:]
    return message


@pytest.mark.parametrize(("version", "kind"), [(4, 0), (6, 129)])
def test_reply(version, kind):
    assert _icmp.parse_reply(version, reply(version, kind)) == ECHO


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (4, b""),
        (4, b"\0" * 7),
        (4, reply(4, 8)),
        (4, reply(4, 3)),
        (4, reply(4, 0, code=1)),
        (4, reply(4, 0)[:-1] + b"x"),
        (6, reply(6, 128)),
        (6, reply(6, 129)[:6]),
    ],
)
def test_what_is_no_reply(version, message):
    assert _icmp.parse_reply(version, message) is None


def test_split_of_an_ipv4_packet():
    plain = bytes([0x45]) + b"\0" * 7 + bytes([63]) + b"\0" * 11
    options = bytes([0x46]) + b"\0" * 7 + bytes([61]) + b"\0" * 15
    assert _icmp.split_ipv4(plain + b"rest") == (63, b"rest")
    assert _icmp.split_ipv4(options + b"rest") == (61, b"rest")
    assert _icmp.split_ipv4(plain[:19]) is None


@pytest.mark.parametrize(("hop_limit", "count"), [(64, 0), (63, 1), (62, 2), (128, 0), (127, 1), (255, 0), (250, 5)])
def test_hops(hop_limit, count):
    assert _icmp.hops(hop_limit) == count


class FakeSocket:
    """Answers as the table ``answers`` says: address -> list of what its n-th request brings."""

    answers: dict = {}

    def __init__(self, version, interface):
        self.arrived = []
        self.asked = {}

    def fileno(self):
        return self.ready.fileno()

    def close(self):
        pass

    def send(self, address, echo):
        number = self.asked[address] = self.asked.get(address, 0) + 1
        outcome = self.answers.get(address, {}).get(number)
        if isinstance(outcome, OSError):
            raise outcome
        if outcome:
            self.arrived.extend(outcome(address, echo))

    def receive(self):
        arrived, self.arrived = self.arrived, []
        return arrived


@pytest.fixture
def network(monkeypatch):
    """Replaces sockets and waiting; give it the answers."""

    class Fake(FakeSocket):
        pass

    monkeypatch.setattr(_icmp, "_Socket", Fake)
    clock = [0.0]
    monkeypatch.setattr(_icmp.time, "monotonic", lambda: clock[0])

    def select(sockets, _writing, _failing, seconds):
        ready = [each for each in sockets if each.arrived]
        if not ready:
            clock[0] += seconds
        return ready, [], []

    monkeypatch.setattr(_icmp.select, "select", select)

    def answer(answers):
        Fake.answers = answers
        return clock

    return answer


def good(hop_limit):
    return lambda address, echo: [(address, hop_limit, echo)]


def test_all_answer_at_once(network):
    clock = network({"10.44.0.1": {1: good(64)}, "fd44::1": {1: good(63)}})
    outcome = _icmp.ping(["10.44.0.1", "fd44:0::1"], "wg0", timeout=15, interval=0.5)
    assert [each.hop_limit for each in outcome] == [64, 63]
    assert clock[0] < 0.1


def test_asks_again_until_answered(network):
    clock = network({"10.44.0.1": {7: good(64)}})
    (outcome,) = _icmp.ping(["10.44.0.1"], "wg0", timeout=15, interval=0.5)
    assert outcome.hop_limit == 64
    assert clock[0] == pytest.approx(3.0)


def test_gives_up_when_time_is_over(network):
    clock = network({"10.44.0.1": {1: good(64)}})
    outcome = _icmp.ping(["10.44.0.1", "10.44.0.2"], "wg0", timeout=15, interval=0.5)
    assert outcome[0].hop_limit == 64
    assert outcome[1] == "no answer"
    assert clock[0] == pytest.approx(15)


def test_the_last_error_of_sending_is_told(network):
    network({"10.44.0.1": {number: OSError(126, "Required key not available") for number in range(1, 99)}})
    assert _icmp.ping(["10.44.0.1"], "wg0", 2, 0.5) == ["Required key not available"]


def test_an_error_that_goes_away_does_no_harm(network):
    network({"10.44.0.1": {1: OSError(126, "Required key not available"), 2: good(64)}})
    assert _icmp.ping(["10.44.0.1"], "wg0", 2, 0.5)[0].hop_limit == 64


@pytest.mark.parametrize(
    "forge",
    [
        lambda address, echo: [("10.44.0.9", 64, echo)],
        lambda address, echo: [(address, 64, echo._replace(identifier=echo.identifier ^ 1))],
        lambda address, echo: [(address, 64, echo._replace(payload=b"\0" * len(echo.payload)))],
    ],
    ids=["other source", "other identifier", "other nonce"],
)
def test_answers_to_others_do_not_count(network, forge):
    network({"10.44.0.1": {1: forge}})
    assert _icmp.ping(["10.44.0.1"], "wg0", 2, 0.5) == ["no answer"]


def test_a_thousand_are_told_apart(network):
    addresses = [f"10.44.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    network({address: {1: good(64 - number % 2)} for number, address in enumerate(addresses)})
    outcome = _icmp.ping(addresses, "wg0", 15, 0.5)
    assert [each.hop_limit for each in outcome] == [64, 63] * 500


def test_no_address():
    with pytest.raises(ValueError, match="'relay1' does not appear to be an IPv4 or IPv6 address"):
        _icmp.ping(["relay1"], "wg0", 1, 1)


def test_no_targets():
    assert _icmp.ping([], "wg0", 15, 0.5) == []
