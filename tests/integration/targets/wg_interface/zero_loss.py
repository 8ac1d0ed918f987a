# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes everything around two peers that ping one another through this host, a hundred times a second.

Nothing may be lost, and no session renewed but by WireGuard itself, at its time. Runs as root in a box (see setup_box):
wg0 is here, wga and wgb are in network namespaces of their own, all over veth pairs.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time

from every_step import run

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _netns

# As long as the changes take, and at least:
SECONDS = 20
# An answer takes no longer than that, however slow the machine.
SECONDS_ON_THE_WAY = 1
# The age at which WireGuard itself renews a session in use, in seconds (whitepaper, section 6.1). A slow machine gets
# there. Handshakes are told in whole seconds, so one less may be seen.
REKEY_AFTER_TIME = 120


def sh(script):
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=True).stdout


def key(name):
    """A private key in /run, and its public half."""
    return sh(f"umask 077; wg genkey > /run/{name}.key; wg pubkey < /run/{name}.key").strip()


SETUP = """
ip address add 198.51.101.1/24 dev under0
for name in a b; do
    ip netns add $name
    ip link add to-$name type veth peer name eth0 netns $name
    ip link set to-$name up
    ip -n $name link add wg$name type wireguard 2>/dev/null || ip netns exec $name wireguard-go wg$name 2>/dev/null
    ip -n $name link set lo up
    ip -n $name link set eth0 up
done
ip address add 198.51.102.1/24 dev to-a
ip address add 198.51.103.1/24 dev to-b
ip -n a address add 198.51.102.2/24 dev eth0
ip -n b address add 198.51.103.2/24 dev eth0
echo 1 > /proc/sys/net/ipv4/ip_forward
"""
NEIGHBOUR = """
ip netns exec {name} wg set wg{name} private-key /run/{name}.key peer {relay} allowed-ips 10.44.0.0/24 \
    endpoint {endpoint}:51820 persistent-keepalive 25
ip -n {name} address add {address}/32 dev wg{name}
ip -n {name} link set wg{name} up
ip -n {name} route add 10.44.0.0/24 dev wg{name}
"""


def others(count, **changed):
    return [
        {"public_key": PUBLIC[number], "allowed_ips": [f"10.44.0.{100 + number}/32"], "name": f"n{number}", **changed}
        for number in range(count)
    ]


PUBLIC = [sh("wg genkey | wg pubkey").strip() for _number in range(50)]


def changes(base):
    """One wish after another, each a little different from the one before."""
    for number in range(51):
        yield {**base, "peers": base["peers"] + others(number)}
    for number in range(0, 50, 5):
        keepalive = others(50, persistent_keepalive=15)
        yield {**base, "peers": base["peers"] + keepalive[:number] + others(50)[number:]}
    yield {**base, "peers": base["peers"] + others(50, endpoint="198.51.100.7:51820")}
    yield {**base, "peers": base["peers"] + others(50, endpoint="198.51.100.8:51820")}
    for number in range(50, -1, -1):
        yield {**base, "peers": base["peers"] + others(number)}
    yield {**base, "addresses": [*base["addresses"], "10.45.0.1/24", "fd45::1/64"]}
    yield {**base, "addresses": [*base["addresses"], "10.45.0.2/24"]}
    yield {**base, "addresses": base["addresses"]}
    lan = {"public_key": PUBLIC[0], "allowed_ips": ["192.168.0.0/24", "10.46.0.0/16"]}
    yield {**base, "peers": [*base["peers"], lan]}
    yield {**base, "peers": [*base["peers"], {**lan, "allowed_ips": ["192.168.1.0/24", "10.46.0.0/16"]}]}
    yield {**base, "peers": [*base["peers"], {**lan, "public_key": PUBLIC[1]}]}
    yield {**base, "mtu": 1400}
    yield {**base, "mtu": 1410}
    yield {**base, "post_up": ["true"], "pre_down": ["true"]}
    yield base


def measure(title, base, ping, seconds=SECONDS, every=1):
    """Every so many-th of the changes, for at least so long."""
    assert not run(base).get("failed"), run(base)
    for _attempt in range(50):
        if subprocess.run([*ping, "-c", "1", "-W", "1"], capture_output=True, check=False).returncode == 0:
            break
    else:
        sys.exit(f"{title}: no ping arrives at all")
    sessions = Sessions(title)
    with tempfile.TemporaryFile("w+") as answers:
        pinging = subprocess.Popen([*ping, "-n", "-i", "0.01"], stdout=answers)
        count = change(title, list(changes(base))[::every], sessions, seconds)
        # Long enough for the last change to show.
        time.sleep(2 * SECONDS_ON_THE_WAY)
        pinging.send_signal(signal.SIGINT)
        pinging.wait()
        answers.seek(0)
        printed = answers.read()
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", printed)}
    sent = int(re.search(r"(\d+) packets transmitted", printed)[1])
    lost = sorted(set(range(1, max(answered))) - answered)
    print(
        f"{title}: {count} changes, {sent} pings sent, {len(lost)} lost, "
        f"{sessions.aged} sessions renewed by WireGuard itself after {REKEY_AFTER_TIME} s",
        flush=True,
    )
    # ping does not wait for the answers to the last ones that it sent.
    if lost or sent < 50 * seconds or sent - max(answered) > SECONDS_ON_THE_WAY * 100:
        sys.exit(f"{title}: of {sent} pings the last answer came to {max(answered)}, and none to {lost}")


def change(title, wishes, sessions, seconds):
    """Make all the changes, as often as there is time; how many there were."""
    count = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for wish in wishes:
            result = run(wish)
            if result.get("failed"):
                sys.exit(f"{title}: {result['msg']}")
            count += bool(result["changed"])
            sessions.check()
    return count


class Sessions:
    """The sessions of the two peers, to be looked at again and again."""

    def __init__(self, title):
        self.title = title
        self.began = handshakes()
        self.aged = 0

    def check(self):
        """End the test if a session is another one, unless the one before it had reached its age."""
        for peer, began in handshakes().items():
            age = began - self.began[peer]
            if age and age < REKEY_AFTER_TIME - 1:
                sys.exit(f"{self.title}: the session with {peer} was renewed after {age} s only")
            self.aged += bool(age)
            self.began[peer] = began


def handshakes():
    """When the sessions began that are in use, by peer: a, and b where it is a peer."""
    wg = "ip netns exec vpn wg" if _netns.exists("vpn") else "wg"
    shown = dict(line.split("\t") for line in sh(f"{wg} show wg0 latest-handshakes").splitlines())
    return {peer: int(shown[peer]) for peer in (A, B) if peer in shown}


A, B, RELAY = key("a"), key("b"), key("relay")


def main():
    sh(SETUP)
    sh(NEIGHBOUR.format(name="a", relay=RELAY, endpoint="198.51.102.1", address="10.44.0.2"))
    sh(NEIGHBOUR.format(name="b", relay=RELAY, endpoint="198.51.103.1", address="10.44.0.3"))
    relay = {
        "private_key_file": "/run/relay.key",
        "addresses": ["10.44.0.1/24"],
        "listen_port": 51820,
        "peers": [
            {"public_key": A, "allowed_ips": ["10.44.0.2/32"]},
            {"public_key": B, "allowed_ips": ["10.44.0.3/32"]},
        ],
    }
    measure("relay", relay, ["ip", "netns", "exec", "a", "ping", "10.44.0.3"])
    full = {
        **relay,
        "addresses": ["10.44.0.1/32"],
        "peers": [{"public_key": A, "allowed_ips": ["0.0.0.0/0", "::/0"], "endpoint": "198.51.102.2:51820"}],
    }
    sh("ip netns exec a wg set wga listen-port 51820")
    measure("full tunnel", full, ["ping", "-I", "10.44.0.1", "10.44.0.2"])
    inside = {**full, "netns": "vpn"}
    ping = ["ip", "netns", "exec", "vpn", "ping", "-I", "10.44.0.1", "10.44.0.2"]
    measure("full tunnel of a namespace", inside, ping, seconds=SECONDS / 2, every=10)
    run({"state": "absent"})


if __name__ == "__main__":
    main()
