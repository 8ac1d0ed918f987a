# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""home-server is managed through its own tunnel: the controller logs in from the relay, by its address in the network.

Every mistake that cuts it off is rolled back by the host itself, whatever happens to the change, to the lock or to the
processes that wait. Meanwhile two untouched pairs ping 20 times a second, and lose nothing.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fleet import Fleet

HOST = "home-server"
RELAY = "public-server1"
SERVER = "public-server2"
ALL = {HOST, RELAY, SERVER, "laptop", "phone"}
ONLY_THE_HOST = ("--limit", HOST)
WITHOUT_VERIFY = ("--skip-tags", "verify")
CONFIRM_SECONDS = 12
SOON = ("-e", f"wireguard_confirm_timeout={CONFIRM_SECONDS}")
ROLLED_BACK = "has rolled back its interfaces, firewall, sysctls and files"

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
        self.add("tunnel", HOST, **self.from_inside(RELAY, "TCP4:10.0.44.3:22"))

    def from_inside(self, node: str, address: str) -> dict[str, str]:
        """Variables by which the controller connects from a host or router, to an address for socat(1)."""
        proxy = f"ip netns exec {self.fleet.state.name}.{node} socat STDIO {address}"
        return {
            "ansible_ssh_common_args": f"-F {self.fleet.state}/ssh_config -o ProxyCommand='{proxy}'",
            "ansible_control_path_dir": f"{self.fleet.state}/cp-{node}",
        }

    def add(self, name: str, host: str, **variables: object) -> Path:
        """Write some variables of a host beside the inventory, after those that are there."""
        path = self.fleet.project / f"{name}.yml"
        path.write_text(yaml.safe_dump({"wireguard": {"hosts": {host: variables}}}))
        return path

    @contextlib.contextmanager
    def mistake(self, host: str, **variables: object) -> Iterator[None]:
        """Meanwhile these variables of a host are in the inventory; the registry is as before afterwards."""
        registry = self.registry.read_bytes()
        file = self.add("zz-mistake", host, **variables)
        try:
            yield
        finally:
            file.unlink()
            self.registry.write_bytes(registry)

    def state_of_host(self, host: str = HOST) -> dict[str, str]:
        """By the underlay: it is read even of a host that is cut off."""
        return yaml.safe_load(self.fleet.ssh(host, STATE))

    def run_here(self, command: str) -> None:
        """On this machine, whose namespaces are the hosts."""
        subprocess.run(shlex.split(command), check=True)

    def until(self, condition: str) -> None:
        """Wait until a command of the host succeeds."""
        self.fleet.ssh(HOST, f"timeout 60 bash -c 'until {condition}; do sleep 0.1; done'")

    def at_the_arming(self, script: str) -> None:
        """Have the host run a script at the moment in which a rollback is armed."""
        waiting = f"until [ -e /run/wg_confirm/armed ]; do sleep 0.01; done\n{script}\n"
        unit = "systemd-run --quiet --collect --unit=at-the-arming bash /run/at-the-arming"
        self.fleet.ssh(HOST, f"rm -rf /run/wg_confirm; cat >/run/at-the-arming <<'END'\n{waiting}END\n{unit}")


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


def test_change_that_keeps_the_connection_is_confirmed(managed: Managed) -> None:
    before = managed.state_of_host()
    run = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_mtu=1390")
    assert (run.code, run.hosts("changed")) == (0, {HOST})
    after = managed.state_of_host()
    assert {part for part in after if after[part] != before[part]} == {"mtu", "files"}
    assert managed.fleet.ssh(HOST, "ls /run/wg_confirm").split() == ["changes", "confirmed"]


def test_run_with_nothing_pending_arms_nothing(managed: Managed) -> None:
    """Neither on the host, nor on the relay, which asks its firewall in every run."""
    managed.fleet.ssh(HOST, "rm -rf /run/wg_confirm")
    with managed.mistake(RELAY, **managed.from_inside(HOST, "TCP4:10.0.44.1:22")):
        run = managed.fleet.run("--limit", f"{HOST},{RELAY}", "-e", "wireguard_mtu=1390", *WITHOUT_VERIFY)
        assert (run.code, run.hosts("changed")) == (0, {RELAY})
        managed.fleet.ssh(RELAY, "test -e /run/wg_confirm/confirmed && rm -rf /run/wg_confirm")
        run = managed.fleet.run("--limit", f"{HOST},{RELAY}", "-e", "wireguard_mtu=1390", *WITHOUT_VERIFY)
        assert (run.code, run.hosts("changed")) == (0, set())
    for host in HOST, RELAY:
        managed.fleet.ssh(host, "test ! -e /run/wg_confirm")
    managed.fleet.run("--limit", RELAY, *WITHOUT_VERIFY)


def test_lost_result_is_asked_for_over_a_new_connection(managed: Managed) -> None:
    """The host sends the result to a wrong endpoint. The first packet of a new connection shows it the right one."""
    with managed.mistake(RELAY, wireguard_endpoint="198.51.100.250"):
        run = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_confirm_timeout=20", "-e", "wireguard_mtu=1390")
    assert (run.code, run.hosts("changed")) == (0, {HOST})
    assert managed.fleet.ssh(HOST, "ls /run/wg_confirm").split() == ["changes", "confirmed"]
    run = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_mtu=1390", *WITHOUT_VERIFY)
    assert (run.code, run.hosts("changed")) == (0, {HOST})


DROP_SSH = {
    "wireguard_post_up": [
        "nft add table inet mistake",
        "nft 'add chain inet mistake input { type filter hook input priority 0; }'",
        "nft add rule inet mistake input tcp dport 22 drop",
    ],
    "wireguard_post_down": ["nft delete table inet mistake"],
}
MISTAKES = {
    "a wrong key": (RELAY, {"wireguard_public_key": "mistake0mistake0mistake0mistake0mistake0mis="}),
    "a hook that drops SSH": (HOST, DROP_SSH),
    "a hook that does not end": (HOST, {"wireguard_post_up": ["sleep 1000 | sleep 1000"]}),
    "forwarding, and then a wrong address": (
        HOST,
        {"wireguard_address": "10.0.44.34", "wireguard_subnets": ["192.168.3.0/24"]},
    ),
    "to be removed": (HOST, {"wireguard_state": "absent"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_rolled_back(managed: Managed, mistake: str) -> None:
    host, variables = MISTAKES[mistake]
    before = managed.state_of_host()
    with managed.mistake(host, **variables):
        run = managed.fleet.run(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1390")
    assert run.code == 2
    assert run.hosts("failed") == {HOST}
    assert not run.hosts("unreachable")
    assert ROLLED_BACK in run.output
    assert managed.state_of_host() == before
    managed.fleet.ssh(HOST, "! pgrep -x sleep")


# Enabling the unit is the last step of a run, after it has been started.
CANNOT_ENABLE = (
    "systemctl disable -q wg-quick@wg0; cd /etc/systemd; mount --bind system system; mount -o remount,bind,ro system",
    "umount /etc/systemd/system; systemctl enable -q wg-quick@wg0",
)


@pytest.mark.parametrize("mistake", ["a step that fails", "a hook that drops SSH", "a network namespace"])
def test_device_whose_unit_is_inactive_stays(managed: Managed, mistake: str) -> None:
    """Somebody has brought it up by hand."""
    variables = {
        "a step that fails": {},
        "a hook that drops SSH": DROP_SSH,
        # The device is made anew in the unit, where wireguard-go must outlive the unit's going back to inactive.
        "a network namespace": {"wireguard_netns": "vpn"},
    }[mistake]
    managed.fleet.ssh(HOST, "systemctl stop wg-quick@wg0; wg-quick up wg0 2>/dev/null; ping -c 1 -W 9 10.0.44.1")
    assert managed.fleet.ssh(HOST, "systemctl is-active wg-quick@wg0 || true") == "inactive\n"
    with (
        managed.fleet.broken(HOST, *(("true", "true") if variables else CANNOT_ENABLE)),
        managed.mistake(HOST, **variables),
    ):
        before = managed.state_of_host()
        run = managed.fleet.run(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1390")
        assert (run.code, run.hosts("failed")) == (2, {HOST})
        assert ROLLED_BACK in run.output
        assert managed.state_of_host() == before
    run = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_mtu=1390")
    assert run.code == 0
    assert managed.fleet.ssh(HOST, "systemctl is-active wg-quick@wg0") == "active\n"


def test_lock_that_is_held_does_not_stop_the_rollback(managed: Managed) -> None:
    before = managed.state_of_host()
    managed.at_the_arming("exec flock /etc/wireguard sleep 1000")
    run = managed.fleet.run(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1391")
    assert (run.code, run.hosts("failed")) == (2, {HOST})
    assert ROLLED_BACK in run.output
    managed.fleet.ssh(HOST, "! pgrep -x sleep; flock --timeout 5 /etc/wireguard true")
    assert managed.state_of_host() == before


def test_killed_guard_is_replaced(managed: Managed) -> None:
    before = managed.state_of_host()
    managed.at_the_arming(
        'until set -- /run/systemd/transient/wireguard-*.scope; [ -e "$1" ]; do :; done\n'
        'systemctl kill -s KILL "${1##*/}"; touch /run/killed'
    )
    with managed.mistake(HOST, **DROP_SSH):
        run = managed.fleet.run(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1390")
    managed.fleet.ssh(HOST, "rm /run/killed")
    assert (run.code, run.hosts("failed")) == (2, {HOST})
    assert ROLLED_BACK in run.output
    assert managed.state_of_host() == before


def test_change_is_refused_when_all_guards_are_killed(managed: Managed) -> None:
    before = managed.state_of_host()
    managed.at_the_arming('sleep 0.3; systemctl kill -s KILL "wireguard-*.scope"')
    # Time for that: the change does not begin before the arming task has ended.
    run = managed.fleet.run(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1391", ANSIBLE_PIPELINING="false")
    assert (run.code, run.hosts("failed")) == (2, {HOST})
    assert "would roll this change back were killed; nothing was changed" in run.output
    assert managed.state_of_host() == before


def test_controller_is_killed_before_it_can_confirm(managed: Managed) -> None:
    before = managed.state_of_host()
    managed.fleet.ssh(HOST, "rm -rf /run/wg_confirm")
    process = managed.fleet.start(*ONLY_THE_HOST, *SOON, "-e", "wireguard_mtu=1389")
    managed.until("grep -q 1389 /sys/class/net/wg0/mtu")
    managed.fleet.kill(process)
    managed.until("[ -e /run/wg_confirm/done ]")
    assert managed.state_of_host() == before


def test_part_that_fails_is_rolled_back_at_once(managed: Managed) -> None:
    """Also over a connection of its own, where it is asked for: here the firewall changes first, then a hook fails."""
    before = managed.state_of_host()
    with managed.mistake(HOST, wireguard_listen_port=51999, wireguard_post_up=["false"]):
        began = time.monotonic()
        run = managed.fleet.run(*ONLY_THE_HOST, "-e", "wireguard_mtu=1390", "-e", "wireguard_confirm=true")
    assert (run.code, run.hosts("failed")) == (2, {HOST})
    assert time.monotonic() - began < 60
    assert ROLLED_BACK in run.output
    assert managed.state_of_host() == before


def test_hang_up_in_a_hook_leaves_nothing_half_way(managed: Managed) -> None:
    """In a terminal, as with ssh -tt, and without any rollback armed: the module itself rolls back."""
    before = managed.state_of_host()
    with managed.mistake(HOST, wireguard_post_up=["sleep 1000"]):
        terminal = {"ANSIBLE_PIPELINING": "false", "ANSIBLE_SSH_USETTY": "true"}
        never = ("-e", "wireguard_confirm=false", "-e", "wireguard_mtu=1391")
        process = managed.fleet.start(*ONLY_THE_HOST, *never, **terminal)
        managed.until("pgrep -x sleep >/dev/null && grep -q 1391 /sys/class/net/wg0/mtu")
        managed.fleet.kill(process)
        managed.until("! pgrep -x sleep >/dev/null && flock --timeout 10 /etc/wireguard true")
    assert managed.state_of_host() == before


def test_new_route_to_the_controller_is_rolled_back(managed: Managed) -> None:
    """The controller's client lies in a LAN that is routed into the tunnel from now on. The connection runs over no
    tunnel so far, and none becomes the default route.
    """
    relay, server = (f"{managed.fleet.state.name}.{name}" for name in (RELAY, SERVER))
    managed.run_here(f"ip -n {relay} address add 203.0.113.7/32 dev lo")
    managed.run_here(f"ip -n {server} route add 203.0.112.0/23 via 198.51.100.1")
    over = managed.add("zy-controller", SERVER, **managed.from_inside(RELAY, "TCP4:198.51.100.2:22,bind=203.0.113.7"))
    before = managed.state_of_host(SERVER)
    managed.fleet.ssh(SERVER, "rm -rf /run/wg_confirm")
    with managed.mistake("laptop", wireguard_subnets=["203.0.113.0/24"]):
        run = managed.fleet.run("--limit", SERVER, *SOON, *WITHOUT_VERIFY)
    assert (run.code, run.hosts("failed")) == (2, {SERVER})
    assert ROLLED_BACK in run.output
    assert managed.fleet.ssh(SERVER, "ls /run/wg_confirm").split() == ["changes", "done"]
    assert managed.state_of_host(SERVER) == before
    over.unlink()
    managed.run_here(f"ip -n {relay} address delete 203.0.113.7/32 dev lo")
    managed.run_here(f"ip -n {server} route delete 203.0.112.0/23")


def test_kill_switch_on_a_fresh_host_keeps_the_connection(managed: Managed) -> None:
    """Nothing has used connection tracking there. No rollback is armed, so nothing but the kill switch itself helps."""
    managed.fleet.ssh("phone", "! nft list ruleset | grep -q . && ! grep -q . /proc/net/nf_conntrack")
    over = managed.add("zy-controller", "phone", **managed.from_inside("mobile-router", "TCP4:192.168.5.2:22"))
    exit_of_all = managed.add("zz-exit", RELAY, wireguard_exit=True)
    client = managed.add("zz-client", "phone", wireguard_exit_via=RELAY, wireguard_kill_switch=True)
    assert managed.fleet.run("--limit", RELAY, *WITHOUT_VERIFY).code == 0
    began = time.monotonic()
    run = managed.fleet.run("--limit", "phone", *WITHOUT_VERIFY, "-e", "wireguard_confirm=false")
    seconds = time.monotonic() - began
    print(f"chapter kill switch: the run took {seconds:.0f} s")
    assert (run.code, run.hosts("changed")) == (0, {"phone"})
    assert "reject with" in managed.fleet.ssh("phone", "nft list table inet wireguard_wg0")
    for file in client, exit_of_all:
        file.unlink()
    assert managed.fleet.run("--limit", f"phone,{RELAY}", *WITHOUT_VERIFY).code == 0
    over.unlink()


def test_one_cut_off_host_costs_the_others_nothing(managed: Managed) -> None:
    """With as many forks as hosts, and each is confirmed while the bad one waits for its rollback."""
    for host in ALL:
        managed.fleet.ssh(host, "rm -rf /run/wg_confirm")
    before = managed.state_of_host()
    with managed.mistake(HOST, **DROP_SSH):
        run = managed.fleet.run(*SOON, *WITHOUT_VERIFY, "-e", "wireguard_confirm=true", "-e", "wireguard_mtu=1392")
    assert (run.code, run.hosts("failed")) == (2, {HOST})
    assert run.hosts("changed") == ALL - {HOST}
    assert managed.state_of_host() == before
    # The file whose name is the state is written when it is armed; ctime is the moment in which it was renamed.
    seconds = {
        host: float(
            managed.fleet.ssh(host, "stat --format '%.Z %.Y' /run/wg_confirm/confirmed | awk '{print $1 - $2}'")
        )
        for host in ALL - {HOST}
    }
    print(f"chapter one cut-off host: seconds from arming to confirmation: {seconds}")
    assert max(seconds.values()) < CONFIRM_SECONDS
    again = managed.fleet.run("-e", "wireguard_confirm=true", "-e", "wireguard_mtu=1392")
    assert (again.code, again.hosts("changed")) == (0, {HOST})
    again = managed.fleet.run("-e", "wireguard_confirm=true", "-e", "wireguard_mtu=1392")
    assert (again.code, again.hosts("changed")) == (0, set())
