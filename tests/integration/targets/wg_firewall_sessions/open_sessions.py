# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets a kill switch while TCP connections are open, on a host whose kernel has tracked no connection so far.

The next packet of each is one of this host, as in the SSH session of a run. Those that others opened must go on, and
those that this host opened must not. Runs as root in a box (see setup_box). Ends with 1 at the first fault.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _netns

HOST, OTHER = {4: "198.51.101.1", 6: "2001:db8:1::1"}, {4: "198.51.101.2", 6: "2001:db8:1::2"}
SETUP = """
ip netns add other
ip link add lan0 type veth peer name lan0 netns other
ip address add 198.51.101.1/24 dev lan0
ip address add 2001:db8:1::1/64 dev lan0 nodad
ip link set lan0 up
ip -n other address add 198.51.101.2/24 dev lan0
ip -n other address add 2001:db8:1::2/64 dev lan0 nodad
ip -n other link set lan0 up
"""
# What another program may have on a host: with it the kernel begins to track.
TRACKING = """
table inet others {
    chain input { type filter hook input priority 0; ct state established,related accept; }
}
"""
MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_firewall
with patch_module_args(json.loads(sys.argv[1])):
    wg_firewall.main()
"""


def sh(script):
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True)


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def connected(version, from_other):
    """A connection between the two hosts: the socket of this one and that of the other."""
    addresses = HOST if from_other else OTHER
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with _netns.entered(None if from_other else "other"):
        listener = socket.create_server((addresses[version], 0), family=family)
    with _netns.entered("other" if from_other else None):
        client = socket.create_connection((addresses[version], listener.getsockname()[1]))
    server, _address = listener.accept()
    client.settimeout(5)
    server.settimeout(5)
    # The listener lives as long as its server: that is what an inbound connection is known by.
    return (server, client, listener) if from_other else (client, server, listener)


def is_received(here, there, text):
    here.sendall(text)
    try:
        return there.recv(100) == text
    except TimeoutError:
        return False


def set_kill_switch(allowed):
    options = {"name": "wg0", "kill_switch": {"fwmark": 51820, "allowed": allowed}}
    done = subprocess.run(
        [sys.executable, "-c", MODULE, json.dumps(options)], capture_output=True, text=True, check=False
    )
    result = json.loads(done.stdout)
    if not result.get("changed"):
        sys.exit(f"no kill switch: {result} {done.stderr}")


def check(scenario, before):
    """Every connection, after a kill switch was set; ``before`` is done while they are open."""
    inbound = {f"IPv{version}": connected(version, True) for version in (4, 6)}
    outbound = {f"IPv{version}": connected(version, False) for version in (4, 6)}
    before([*inbound.values(), *outbound.values()])
    set_kill_switch([])
    for version, (here, there, _listener) in inbound.items():
        began = time.monotonic()
        if not is_received(here, there, b"an answer") or not is_received(there, here, b"a question"):
            sys.exit(f"{scenario}: the {version} connection to this host was cut off")
        print(f"{scenario}: {version} connection to this host goes on, {time.monotonic() - began:.2f} s", flush=True)
    for version, (here, there, _listener) in outbound.items():
        if is_received(here, there, b"leak"):
            sys.exit(f"{scenario}: the {version} connection that this host opened leaks past the tunnel")
    # A second time, with other rules: what is known already stays.
    set_kill_switch(["203.0.113.0/24"])
    for version, (here, there, _listener) in inbound.items():
        if not is_received(here, there, b"another"):
            sys.exit(f"{scenario}: the {version} connection to this host was cut off by the second kill switch")
    sh("nft delete table inet wireguard_wg0; rm /etc/wireguard/wg0.nft")


def nothing(_connections):
    """No packet between the opening of the connections and the kill switch."""


def tracked_the_wrong_way_round(connections):
    """Other rules were loaded, and then this host sent the first packet of each."""
    nft(TRACKING)
    for here, there, _listener in connections:
        if not is_received(here, there, b"first"):
            sys.exit("the test itself is wrong: nothing is rejected yet")


def main():
    sh(SETUP)
    check("nothing tracked yet", nothing)
    check("tracked by others' rules", tracked_the_wrong_way_round)
    check("tracked from the beginning", nothing)


if __name__ == "__main__":
    main()
