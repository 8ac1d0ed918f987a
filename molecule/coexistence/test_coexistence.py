# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One network on hosts where others have a say, told in this order: an uplink that lives on router advertisements, name
servers in the hands of systemd-resolved, openresolv and resolvconf, what administrators do by hand, an interface in a
network namespace, and one that is not managed.

The client `resolved` sends everything through the relay; the others only what is for the network.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from fleet import Fleet, Run

CLIENTS = {"openresolv": "198.51.100.3", "resolvconf": "198.51.100.4", "resolved": "198.51.100.2"}
WITHOUT_VERIFY = ("--skip-tags", "verify")
ON_CLIENTS = (*WITHOUT_VERIFY, "--limit", "clients")
OTHER_NAMES = ("-e", '{"wireguard_dns": ["fd44::1", "other.example"]}')
CORP_ONLY = ("-e", '{"wireguard_dns": ["10.0.44.1", "~corp.example"]}')
NO_NAMES = ("-e", '{"wireguard_dns": []}')

# Once a second a router with a prefix (RFC 4861, section 4.2), whose lifetimes outlast the story.
ADVERTISE = """
import socket, struct, time
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 9000, 9000, 0, socket.inet_pton(socket.AF_INET6, "2001:db8:1::"))
while True:
    router.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 9000, 0, 0) + prefix, ("ff02::1%eth0", 0))
    time.sleep(1)
"""
NAME_SERVER = """
systemd-run --quiet --unit=names-of-{domain} dnsmasq --keep-in-foreground --no-resolv --no-hosts --bind-dynamic \
    --listen-address={listen} --host-record=files.{domain},{answer}
"""
# Whoever asks on the LAN past the tunnel gets this answer for every name, and is written down.
OUTSIDE = "198.51.100.66"
NAME_SERVER_OUTSIDE = f"""
systemd-run --quiet --unit=names-outside dnsmasq --keep-in-foreground --no-resolv --no-hosts --bind-dynamic \\
    --listen-address=198.51.100.1 --address=/#/{OUTSIDE} --log-queries --log-facility=/run/asked-outside
"""
KNOW_OUTSIDE = {
    "openresolv": "echo nameserver 198.51.100.1 | resolvconf -a eth0",
    "resolvconf": "echo nameserver 198.51.100.1 | resolvconf -a eth0",
    "resolved": "resolvectl dns eth0 198.51.100.1",
}
FORGET_OUTSIDE = {
    "openresolv": "resolvconf -d eth0 -f",
    "resolvconf": "resolvconf -d eth0",
    "resolved": "resolvectl revert eth0",
}
RESOLVE = """
for name in files files.corp.example files.other.example; do
    echo $(getent ahostsv4 $name | cut -d ' ' -f 1 | uniq)
done
"""
# What a host was handed for the interface, as each program keeps it, and the file that programs read.
HANDED = """
cat /run/resolvconf/interface*/*wg0 2>/dev/null
grep -h . /run/systemd/resolve/netif/* 2>/dev/null
cat /etc/resolv.conf
"""
FORGET_NAMES = {
    "openresolv": "resolvconf -d wg0 -f",
    "resolvconf": "resolvconf -d tun.wg0 -f",
    "resolved": "resolvectl revert wg0",
}

# The daemon takes over the address that the host has already.
NETWORKD = """
printf '[Match]\\nName=eth0\\n[Network]\\nAddress=198.51.100.2/24\\n' >/etc/systemd/network/10-eth0.network
systemctl start systemd-networkd
"""
RECONFIGURE = """
echo '# changed' >>/etc/systemd/network/10-eth0.network
networkctl reload
sleep 2
"""
RULES = "ip rule; ip -6 rule"
# What a service in the namespace reaches: a node, through the relay, and a host that the exit lets it reach. Then what
# the host itself has of all that.
IN_NAMESPACE = """
inside="systemd-run --quiet --wait --pipe -p NetworkNamespacePath=/run/netns/vpn"
for address in 10.0.44.2 fd44::2 198.51.100.2; do $inside ping -n -c 1 -W 5 $address | grep -o 'ttl=.*'; done
systemctl is-active wg-quick@wg0; systemctl is-enabled wg-quick@wg0
ip -4 route; ip -6 route show table all | grep fd44 || true; ip rule; ls /sys/class/net
ss -Huln sport 51820 | wc -l
"""
# An interface that somebody made by hand, and all that can be seen of it.
FOREIGN = """
umask 077
cat >/etc/wireguard/wg1.conf <<END
[Interface]
PrivateKey = $(wg genkey)
Address = 172.31.0.1/24
PostUp = ip rule add to 172.31.1.0/24 prio 99
# a remark
[Peer]
PublicKey = $(wg genkey | wg pubkey)
Endpoint = 198.51.100.250:51820
AllowedIPs = 172.31.0.2/32
END
systemctl enable -q --now wg-quick@wg1
"""
LOOK_AT_FOREIGN = """
systemctl show -P ActiveState -P UnitFileState -P ActiveEnterTimestamp wg-quick@wg1
ip -o addr show wg1; ip route show dev wg1; ip rule show prio 99; wg showconf wg1
stat -c '%A %U %Y' /etc/wireguard/wg1.conf; cat /etc/wireguard/wg1.conf
"""


class Story:
    """The fleet, with questions that several chapters ask."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def on(self, script: str) -> dict[str, str]:
        """What a script says on each client."""
        return {host: self.fleet.ssh(host, script) for host in CLIENTS}

    def answers(self) -> dict[str, list[str]]:
        """The addresses of `files`, files.corp.example and files.other.example on each client, '' for none."""
        return {host: said.splitlines() for host, said in self.on(RESOLVE).items()}

    def address(self, host: str, name: str) -> str:
        """The address that a client finds for a name, '' for none."""
        return self.fleet.ssh(host, f"getent ahostsv4 {name} | cut -d ' ' -f 1 | uniq").strip()

    def asked_outside(self, name: str) -> set[str]:
        """The clients that have asked for a name past the tunnel."""
        asked = self.fleet.ssh("relay", f"sed -n 's/.* query.* {name} from //p' /run/asked-outside").split()
        return {client for client, address in CLIENTS.items() if address in asked}

    def handed(self) -> str:
        """All name servers and search domains that clients know."""
        return "\n".join(self.on(HANDED).values())

    def write(self, host: str, **variables: Any) -> None:
        """The user writes variables of a client."""
        path = self.fleet.project / "inventory.yml"
        inventory = yaml.safe_load(path.read_text())
        of_host = inventory["wireguard"]["children"]["clients"]["hosts"][host]
        of_host.update({f"wireguard_{name}": value for name, value in variables.items()})
        path.write_text(yaml.safe_dump(inventory))

    def settled(self, *arguments: str) -> Run:
        """A run that has nothing to change."""
        run = self.fleet.run(*arguments)
        assert (run.code, run.hosts("changed")) == (0, set())
        return run


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition; fail if it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    fleet = Fleet()
    advertiser = subprocess.Popen([*fleet.inside("provider"), "python3", "-c", ADVERTISE])
    try:
        yield Story(fleet)
    finally:
        advertiser.kill()
        advertiser.wait()


def test_forwarding_leaves_the_default_route_that_a_router_advertises(story: Story) -> None:
    """Trap: a kernel that forwards IPv6 drops the default route of a router advertisement, unless accept_ra is 2."""
    advertised = "ip -6 route show default proto ra"
    until(lambda: "dev eth0" in story.fleet.ssh("relay", advertised))
    assert story.fleet.run().code == 0
    assert story.fleet.ssh("relay", "cat /proc/sys/net/ipv6/conf/all/forwarding") == "1\n"
    assert "dev eth0" in story.fleet.ssh("relay", advertised)
    persisted = story.fleet.ssh("relay", "cat /etc/sysctl.d/70-wireguard-wg0.conf").split()
    assert "net.ipv6.conf.eth0.accept_ra=2" in persisted
    assert "accept_ra" not in story.fleet.ssh("resolved", "cat /etc/sysctl.d/*wireguard* || true")


def test_names_are_asked_for_through_the_tunnel(story: Story) -> None:
    story.fleet.ssh("relay", NAME_SERVER.format(domain="corp.example", listen="10.0.44.1", answer="10.0.44.10"))
    story.fleet.ssh("relay", NAME_SERVER.format(domain="other.example", listen="fd44::1", answer="10.0.44.20"))
    until(lambda: story.answers() == dict.fromkeys(CLIENTS, ["10.0.44.10", "10.0.44.10", ""]))
    story.on("wg-quick down wg0")
    assert story.answers() == dict.fromkeys(CLIENTS, ["", "", ""])
    story.on("wg-quick up wg0")
    assert story.answers() == dict.fromkeys(CLIENTS, ["10.0.44.10", "10.0.44.10", ""])
    story.settled(*ON_CLIENTS)


def test_name_servers_that_somebody_took_away_come_back(story: Story) -> None:
    for host, script in FORGET_NAMES.items():
        story.fleet.ssh(host, script)
    assert story.answers() == dict.fromkeys(CLIENTS, ["", "", ""])
    told = story.fleet.run(*ON_CLIENTS, "--check", "--diff")
    assert told.hosts("changed") == set(CLIENTS)
    assert told.output.count("# to do: set name servers 10.0.44.1") == len(CLIENTS)
    assert story.fleet.run(*ON_CLIENTS).hosts("changed") == set(CLIENTS)
    assert story.answers() == dict.fromkeys(CLIENTS, ["10.0.44.10", "10.0.44.10", ""])


def test_other_name_servers(story: Story) -> None:
    assert story.fleet.run(*ON_CLIENTS, *OTHER_NAMES).hosts("changed") == set(CLIENTS)
    assert story.answers() == dict.fromkeys(CLIENTS, ["10.0.44.20", "", "10.0.44.20"])


def test_only_some_domains_are_asked_for_in_the_tunnel(story: Story) -> None:
    """Which systemd-resolved can, and resolvconf cannot."""
    story.fleet.ssh("relay", NAME_SERVER_OUTSIDE)
    for host, script in KNOW_OUTSIDE.items():
        story.fleet.ssh(host, script)
    run = story.fleet.run(*ON_CLIENTS, *CORP_ONLY)
    assert (run.hosts("changed"), run.hosts("failed")) == ({"resolved"}, {"openresolv", "resolvconf"})
    assert "dns_search has ~corp.example, but this host hands name servers to resolvconf" in run.output
    story.settled(*WITHOUT_VERIFY, "--limit", "resolved", *CORP_ONLY)
    for event in ("resolvectl flush-caches", "systemctl restart wg-quick@wg0"):
        story.fleet.ssh("resolved", event)
        assert story.address("resolved", "files.corp.example") == "10.0.44.10", event
        assert story.address("resolved", "www.example") == OUTSIDE, event
    assert story.asked_outside("www.example") == {"resolved"}
    assert story.asked_outside("files.corp.example") == set()


def test_no_query_leaks_past_a_full_tunnel(story: Story) -> None:
    """A name server on the LAN can be reached past the tunnel, whatever is a default route."""
    full_tunnel = story.fleet.project / "group_vars/clients.yml"
    full_tunnel.parent.mkdir()
    full_tunnel.write_text("wireguard_exit_via: relay")
    run = story.fleet.run(*ON_CLIENTS)
    assert (run.code, run.hosts("changed")) == (0, set(CLIENTS))
    assert "this host's resolvconf, Debian's, keeps the name servers of other interfaces too" in run.output
    for host in CLIENTS:
        assert story.address(host, "files.corp.example") == "10.0.44.10"
        story.address(host, "through.example")
    assert story.asked_outside("files.corp.example") == set()
    # What the one in the tunnel does not answer, Debian's resolvconf has asked elsewhere: so the run has warned.
    assert story.asked_outside("through.example") == {"resolvconf"}
    story.on("wg-quick down wg0")
    for host in CLIENTS:
        assert story.address(host, "without.example") == OUTSIDE
    assert story.asked_outside("without.example") == set(CLIENTS)
    story.on("wg-quick up wg0")
    for host in CLIENTS:
        story.address(host, "again.example")
    assert story.asked_outside("again.example") == {"resolvconf"}
    full_tunnel.unlink()
    full_tunnel.parent.rmdir()
    for host, script in FORGET_OUTSIDE.items():
        story.fleet.ssh(host, script)
    assert story.fleet.run(*ON_CLIENTS).hosts("changed") == {"openresolv", "resolvconf"}
    assert story.answers() == dict.fromkeys(CLIENTS, ["10.0.44.10", "10.0.44.10", ""])


def test_systemd_resolved_without_resolvconf(story: Story) -> None:
    """As most distributions have it; the others stand for a host that has nothing."""
    story.fleet.ssh("resolved", "rm /usr/sbin/resolvconf")
    before = story.on("cat /etc/wireguard/wg0.conf; wg show wg0")
    with story.fleet.broken("openresolv", "mv /usr/sbin/resolvconf /root", "mv /root/resolvconf /usr/sbin"):
        run = story.fleet.run(*ON_CLIENTS)
        assert run.hosts("failed") == {"openresolv"}
        assert "this host has neither 'resolvconf' nor systemd-resolved: install openresolv" in run.output
        assert story.fleet.ssh("openresolv", "cat /etc/wireguard/wg0.conf") in before["openresolv"]
    assert story.fleet.run(*ON_CLIENTS).code == 0
    assert "PostUp = resolvectl dns %i 10.0.44.1\n" in story.fleet.ssh("resolved", "cat /etc/wireguard/wg0.conf")
    story.fleet.ssh("resolved", FORGET_NAMES["resolved"])
    assert story.fleet.run(*ON_CLIENTS).hosts("changed") == {"resolved"}
    assert story.answers() == dict.fromkeys(CLIENTS, ["10.0.44.10", "10.0.44.10", ""])
    story.on("systemctl restart wg-quick@wg0")
    assert story.answers() == dict.fromkeys(CLIENTS, ["10.0.44.10", "10.0.44.10", ""])


def test_without_name_servers_nothing_of_them_is_left(story: Story) -> None:
    assert "10.0.44.1" in story.handed()
    assert story.fleet.run(*ON_CLIENTS, *NO_NAMES).hosts("changed") == set(CLIENTS)
    assert not re.search(r"10\.0\.44\.|fd44::|example", story.handed())
    assert story.fleet.run(*ON_CLIENTS).hosts("changed") == set(CLIENTS)


def test_networkd_lets_the_rules_of_a_full_tunnel_be(story: Story) -> None:
    """Trap: whenever systemd-networkd configures a link, it removes the rules that are not its own."""
    before = story.fleet.ssh("resolved", RULES)
    story.fleet.ssh("resolved", f"{NETWORKD}\n{RECONFIGURE}")
    until(lambda: "51820" not in story.fleet.ssh("resolved", RULES))
    assert story.fleet.run(*ON_CLIENTS).hosts("changed") == {"resolved"}
    for event in ("", "systemctl restart systemd-networkd", "systemctl restart systemd-networkd wg-quick@wg0"):
        story.fleet.ssh("resolved", f"{event}\n{RECONFIGURE}")
        assert len(story.fleet.ssh("resolved", RULES).splitlines()) == len(before.splitlines()), event
    story.settled(*ON_CLIENTS)


@pytest.mark.parametrize(
    ("by_hand", "mended"),
    [
        pytest.param("systemctl restart wg-quick@wg0", False, id="unit restarted"),
        pytest.param("wg-quick down wg0; wg-quick up wg0", False, id="down and up"),
        pytest.param("systemctl stop wg-quick@wg0; wg-quick up wg0", True, id="up beside the unit"),
        pytest.param("wg-quick down wg0", True, id="down"),
        pytest.param("systemctl disable -q wg-quick@wg0", True, id="unit disabled"),
        pytest.param("pkill -x wireguard-go; until ! ip link show wg0; do sleep 0.1; done", True, id="killed"),
    ],
)
def test_what_administrators_do(story: Story, by_hand: str, mended: bool) -> None:
    """Traps: wg-quick and its unit know nothing of each other; a device in user space dies with its process."""
    story.on(by_hand)
    assert story.fleet.run(*ON_CLIENTS).hosts("changed") == (set(CLIENTS) if mended else set())
    story.on("systemctl -q is-active wg-quick@wg0 && systemctl -q is-enabled wg-quick@wg0 && ping -c 1 -W 5 10.0.44.1")
    story.settled(*ON_CLIENTS)


def test_an_interface_in_a_network_namespace(story: Story) -> None:
    """All of the namespace goes through the tunnel, nothing of the host does. Trap: wg-quick knows no namespaces."""
    story.write("openresolv", netns="vpn", exit_via="relay", dns=[], listen_port=51820)
    assert (
        story.fleet.run(*ON_CLIENTS, "--check", "--diff").output.count("# to do: move wg0 into network namespace vpn")
        == 1
    )
    assert story.fleet.run().hosts("changed") == {"openresolv"}
    seen = story.fleet.ssh("openresolv", IN_NAMESPACE).splitlines()
    assert [line.split()[0] for line in seen[:3]] == ["ttl=63", "ttl=63", "ttl=63"]
    assert seen[3:] == [
        "active",
        "enabled",
        "198.51.100.0/24 dev eth0 proto kernel scope link src 198.51.100.3 ",
        "0:\tfrom all lookup local",
        "32766:\tfrom all lookup main",
        "32767:\tfrom all lookup default",
        "eth0",
        "lo",
        "2",
    ]
    assert "10.0.44" not in story.fleet.ssh("openresolv", HANDED)
    reboot = "ansible.builtin.reboot", "-a", "reboot_timeout=120"
    subprocess.run(["ansible", "-i", story.fleet.project, "openresolv", "-b", "-m", *reboot], check=True)
    story.fleet.ssh("openresolv", "systemctl is-system-running --wait || true")
    again = story.fleet.ssh("openresolv", IN_NAMESPACE).splitlines()
    assert [line.split()[0] for line in again[:3]] == ["ttl=63", "ttl=63", "ttl=63"]
    assert again[3:] == seen[3:]
    assert "wg0: 24 of 24 pings answered, 12 direct" in story.settled().output


def test_keys_change_in_a_network_namespace(story: Story) -> None:
    """The node's own key and the preshared ones are changed on the live device, which the namespace alone has."""
    preshared = ("-e", "wireguard_preshared_keys=true")
    node = story.fleet.registry()["openresolv"]["public_key"]
    assert story.fleet.run(*preshared).code == 0
    keys = story.fleet.ssh("openresolv", "ip netns exec vpn wg show wg0 preshared-keys").split()[1::2]
    assert "(none)" not in keys
    assert keys
    story.settled(*preshared)
    rotated = story.fleet.run(*preshared, "-e", "wireguard_rotate_hosts=openresolv", playbook="rotate")
    assert rotated.code == 0
    key = story.fleet.ssh("openresolv", "ip netns exec vpn wg show wg0 public-key").strip()
    assert key == story.fleet.registry()["openresolv"]["public_key"] != node
    story.settled(*preshared)
    assert story.fleet.run().code == 0
    story.settled()


def test_a_foreign_interface_is_never_touched(story: Story) -> None:
    story.on(FOREIGN)
    before = story.on(LOOK_AT_FOREIGN)
    story.settled(*ON_CLIENTS)
    assert story.fleet.run(*ON_CLIENTS, "-e", "wireguard_mtu=1300").hosts("changed") == set(CLIENTS)
    assert story.fleet.run("--limit", "clients", playbook="remove").hosts("changed") == set(CLIENTS)
    assert story.on(LOOK_AT_FOREIGN) == before
    left = story.on(
        "ls /etc/wireguard /sys/class/net /etc/systemd/system; ip netns; ip rule; wg show interfaces;"
        " systemctl list-units 'wg-quick*'"
    )
    assert {
        host: any(trace in said for trace in ("wg0", "51820", "vpn")) for host, said in left.items()
    } == dict.fromkeys(CLIENTS, False)
