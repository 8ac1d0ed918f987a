# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""home-server is managed through its own tunnel: the controller logs in from the relay, by its address in the network.

Every mistake that cuts it off is undone by the host itself. Meanwhile two untouched pairs ping 20 times a second, and
lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fleet import Fleet

HOST = "home-server"
RELAY = "public-server1"
ONLY_THE_HOST = ("--limit", HOST)
CONFIRM_SECONDS = 20
SOON = ("-e", f"wireguard_confirm_timeout={CONFIRM_SECONDS}")
UNDONE = "put back its previous interfaces, firewall and sysctls"

# All that a run may change on a host; hashed, since the private key is among it. The kernel gives a link that is made
# anew another number and another link-local address.
STATE = r"""
part() { printf '%s: ' "$1"; sha256sum | cut -c1-16; }
wg showconf wg0 | sort | part device
ip -o address show wg0 | sed 's/^[0-9]*: //' | grep -v fe80: | part addresses
{ ip route show table all; ip -6 route show table all; ip rule; } | grep -v fe80: | sort | part routes
part mtu </sys/class/net/wg0/mtu
(cd /etc && find wireguard sysctl.d systemd/system -type f | sort | xargs sha256sum) | part files
nft --stateless list ruleset | part firewall
sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding | part sysctls
{ systemctl is-enabled wg-quick@wg0; systemctl is-active wg-quick@wg0; } | part unit
"""


class Managed:
    """The fleet, of which one host is reached through its tunnel."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.registry = self.fleet.project / ".wireguard-registry.yml"
        through_the_tunnel = (
            f"-F {self.fleet.state}/ssh_config -o ProxyCommand="
            f"'ip netns exec {self.fleet.state.name}.{RELAY} socat STDIO TCP4:10.0.44.3:22'"
        )
        self.add("tunnel", HOST, ansible_ssh_common_args=through_the_tunnel,
                 ansible_control_path_dir=f"{self.fleet.state}/cp-tunnel")  # fmt: skip

    def add(self, name: str, host: str, **variables: object) -> Path:
        """Write some variables of a host beside the inventory, after those that are there."""
        path = self.fleet.project / f"{name}.yml"
        path.write_text(yaml.safe_dump({"wireguard": {"hosts": {host: variables}}}))
        return path

    def state_of_host(self) -> dict[str, str]:
        """By the underlay: it must be told even of a host that is cut off."""
        return yaml.safe_load(self.fleet.ssh(HOST, STATE))

    def until_undone_by_itself(self) -> None:
        """Wait until the process that waits on the host has done its work."""
        self.fleet.ssh(
            HOST, f"timeout {3 * CONFIRM_SECONDS} sh -c 'until [ -e /run/wg_confirm/done ]; do sleep 0.2; done'"
        )


@pytest.fixture(scope="module")
def managed() -> Managed:
    managed = Managed()
    managed.fleet.ping("laptop", "direct", "10.0.44.2")
    managed.fleet.ping("laptop", "relayed", "10.0.44.5")
    return managed


@pytest.fixture(autouse=True)
def others_notice_nothing(managed: Managed, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    pings = managed.fleet.observe(["laptop"])["laptop"].pings
    print(f"chapter {request.node.name}: " + ", ".join(f"{name} {ping}" for name, ping in pings.items()))
    for ping in pings.values():
        assert ping.lost == 0
        assert ping.silent < 3


def test_a_change_that_leaves_the_connection_is_confirmed(managed: Managed) -> None:
    before = managed.state_of_host()
    run = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_mtu=1390")
    assert (run.code, run.hosts("changed")) == (0, {HOST})
    assert "Confirm the change" in run.output
    after = managed.state_of_host()
    assert {part for part in after if after[part] != before[part]} == {"mtu", "files"}
    assert managed.fleet.ssh(HOST, "ls -A /run/wg_confirm") == ""
    again = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_mtu=1390")
    assert (again.code, again.hosts("changed")) == (0, set())


MISTAKES = {
    "a wrong endpoint": (RELAY, {"wireguard_endpoint": "198.51.100.250"}),
    "a wrong key": (RELAY, {"wireguard_public_key": "mistake0mistake0mistake0mistake0mistake0mis="}),
    "a firewall that drops SSH": (
        HOST,
        {
            "wireguard_post_up": [
                "nft add table inet mistake",
                "nft 'add chain inet mistake input { type filter hook input priority 0; }'",
                "nft add rule inet mistake input tcp dport 22 drop",
            ],
            "wireguard_post_down": ["nft delete table inet mistake"],
        },
    ),
    "forwarding, and then a wrong address": (
        HOST,
        {"wireguard_address": "10.0.44.34", "wireguard_subnets": ["192.168.3.0/24"]},
    ),
    "to be removed": (HOST, {"wireguard_state": "absent"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_undone(managed: Managed, mistake: str) -> None:
    host, variables = MISTAKES[mistake]
    before = managed.state_of_host()
    registry = managed.registry.read_bytes()
    file = managed.add("zz-mistake", host, **variables)
    run = managed.fleet.run(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1390")
    assert run.code == 2
    assert run.hosts("failed") == {HOST}
    assert not run.hosts("unreachable")
    assert UNDONE in run.output
    assert managed.state_of_host() == before
    file.unlink()
    managed.registry.write_bytes(registry)


def test_the_controller_is_killed_before_it_can_confirm(managed: Managed) -> None:
    before = managed.state_of_host()
    process = managed.fleet.start(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1391")
    said = managed.fleet.until(process, "TASK .*Reach the host over a fresh connection")
    assert f"changed: [{HOST}] => (item=wg0)" in said
    managed.fleet.kill(process)
    managed.until_undone_by_itself()
    assert managed.state_of_host() == before


def test_a_part_that_fails_is_undone_at_once(managed: Managed) -> None:
    """Also over a connection of its own, where it is asked for: here the firewall changes first, then a hook fails."""
    before = managed.state_of_host()
    file = managed.add("zz-mistake", HOST, wireguard_listen_port=51999, wireguard_post_up=["false"])
    run = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_mtu=1390", "-e", "wireguard_confirm=true")
    assert (run.code, run.hosts("failed")) == (2, {HOST})
    assert UNDONE in run.output
    assert managed.state_of_host() == before
    file.unlink()


def test_everybody_confirms_where_that_is_wanted(managed: Managed) -> None:
    run = managed.fleet.run("-e", "wireguard_confirm=true", "-e", "wireguard_mtu=1392")
    assert (run.code, len(run.hosts("changed"))) == (0, 5)
    again = managed.fleet.run("-e", "wireguard_confirm=true", "-e", "wireguard_mtu=1392")
    assert (again.code, again.hosts("changed")) == (0, set())
