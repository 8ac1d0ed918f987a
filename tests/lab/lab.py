# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts on one machine: systemd containers with sshd, NAT routers, and an "internet" without an uplink.

    lab.py up NAME NETWORK.toml     build and start the hosts, wait until ssh answers on all of them
    lab.py down NAME                remove every trace of it, also of a broken or half-started one
    lab.py status NAME              what runs; fails if anything could send a packet out of the lab
    lab.py shell NAME HOST [CMD..]  log in as root, or run a command

Every host is a systemd-nspawn container on an overlay over a shared root file system, in a network namespace of
its own. Routers, the switch (one bridge per segment) and hosts without a `distribution` are namespaces only. There is
no management network, which would give pings a way round: ssh reaches a host's sshd through `ip netns exec`.

What a lab leaves on the machine while it is up, all of it bearing its name, all of it removed by `down`:
namespaces `wf-NAME.*`, cgroups `wf-NAME`, /run/wf-NAME (keys, ssh_config, connection.json) and .cache/lab/NAME
(overlays). Its mounts exist in the containers' own mount namespaces only. The root file systems stay, in .cache/images.
The Debian packages that it needs are those of pyproject.toml.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn

# A bare host is what an installer leaves behind; a prepared one has what the role `install` would add.
BARE_PACKAGES = ("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "iproute2")
PREPARED_PACKAGES = (*BARE_PACKAGES, "iputils-ping", "nftables", "procps", "wireguard-go", "wireguard-tools")
DISTRIBUTIONS = ("bookworm", "trixie")
ARCHIVE = "deb.debian.org"
SOURCES = f"""\
deb http://{ARCHIVE}/debian SUITE main
deb http://{ARCHIVE}/debian SUITE-updates main
deb http://{ARCHIVE}/debian-security SUITE-security main
"""
# Host keys belong to hosts, not to images; timers and consoles only make noise in a benchmark.
CUSTOMISE = """\
set -eu
rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname
[ -L "$1/etc/resolv.conf" ] || rm -f "$1/etc/resolv.conf"  # a link belongs to the program that manages it
for unit in apt-daily.timer apt-daily-upgrade.timer console-getty.service dpkg-db-backup.timer e2scrub_all.timer; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
"""

CACHE = Path(__file__).resolve().parents[2] / ".cache"
RUN = Path("/run")
BOOT_TIMEOUT = 120  # seconds, from start to a login by ssh; a loaded machine needs some 10
# Limits of the machine's kernel that 20 booted hosts exceed. The last lab to go puts the old values back.
KERNEL_LIMITS = {"fs/inotify/max_user_instances": 8192, "kernel/keys/maxkeys": 20000, "kernel/keys/maxbytes": 2000000}

# What comes from outside unasked is dropped before conntrack remembers it: else the mapping of an answer to it would be
# taken, and a kept port would not be kept.
NAT_RULES = """\
table inet nat_router {
    chain input {
        type filter hook input priority filter;
        iifname "OUTSIDE" meta l4proto udp ct state new drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct status dnat accept
        iifname != "OUTSIDE" accept
    }
    chain prerouting {
        type nat hook prerouting priority dstnat;
        FORWARDS
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "OUTSIDE" MASQUERADE
    }
}
"""
MASQUERADES = {"random": "masquerade fully-random", "kept": "masquerade"}

# The network namespace outlives a reboot of its host, what the host has put there must not.
FORGET = """\
for device in $(ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/'); do
    case $device in lo|eth*) ;; *) ip link del "$device" || true; esac  # some are the kernel's own, as sit0
done
for family in -4 -6; do
    ip $family rule flush
    ip $family rule add lookup main pref 32766
done
ip rule add lookup default pref 32767
nft flush ruleset
echo 0 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv6/conf/all/forwarding
"""

# Everything a container needs happens in a mount namespace of its own, which dies with it. The cgroup comes first:
# it is the record of which processes are the lab's. Paths are relative, for mount(8) has its own idea of ":" and ",".
ENTER_CGROUPS = """\
for cgroup in $CGROUPS; do echo $$ > "$cgroup/cgroup.procs"; done
"""
START_HOST = f"""\
{ENTER_CGROUPS}\
mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t overlay overlay -o "lowerdir=$IMAGE,upperdir=$OVERLAY/upper,workdir=$OVERLAY/work" "$OVERLAY/root"
until systemd-nspawn --quiet --boot --directory="$OVERLAY/root" --machine="$NAMESPACE" --hostname="$HOST" \
    --network-namespace-path="/run/netns/$NAMESPACE" --capability=CAP_NET_ADMIN --bind=/dev/net/tun \
    --register=no --keep-unit --settings=no --link-journal=no --resolv-conf=off --timezone=off \
    --system-call-filter="@keyring bpf"
do
    test $? = 133  # the host reboots
    ip netns exec "$NAMESPACE" sh -euc "$FORGET"
done
"""


class LabError(Exception):
    """Something the user can act upon; shown without a traceback."""


def run(*command: str | Path, text: str | None = None) -> str:
    """Run a command, give its standard output; LabError with its standard error if it fails."""
    done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{shlex.join(map(str, command))}\n  failed with {done.returncode}: {said}")
    return done.stdout


def remove(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)


def say(message: str) -> None:
    print(message, flush=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other labs out meanwhile; the directory itself is the lock, so that nothing stays behind."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def wait_for(condition: Callable[[], bool], seconds: float, failure: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(failure)
        time.sleep(0.1)


# --- the description of a network -------------------------------------------------------------------------------------


def read_network(path: Path) -> dict[str, dict]:
    """Read and check a description; gives {"hosts": {name: {...}}, "routers": {name: {...}}} with every key set.

    [hosts.NAME]    distribution: one of DISTRIBUTIONS; left out: no container, a namespace that answers pings
                    prepared: false for a host without WireGuard that can reach Debian's archive, and nothing else
                    packages: what it has beyond that, installed before its first boot
    [routers.NAME]  outside: the segment towards which it masquerades, and from which it lets nothing in
                    ports: which port a packet leaves with: "random", another one towards every destination, or "kept",
                    the port that the host behind it sends from (endpoint-independent mapping, while it has one host)
                    forwards: UDP port -> "ADDRESS:PORT" behind it, where packets from everybody go
    both            links: segment -> list of addresses with prefix length; eth0, eth1, ... in this order
                    gateways: addresses of its default routes
    """
    try:
        network = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{path}: {error}") from None
    defaults = {
        "hosts": {"distribution": None, "prepared": True, "packages": [], "gateways": []},
        "routers": {"outside": None, "ports": "random", "forwards": {}, "gateways": []},
    }
    nodes: dict[str, dict[str, dict]] = {
        kind: {name: {**defaults[kind], **node} for name, node in network.get(kind, {}).items()} for kind in defaults
    }
    every = [(kind, name, node) for kind in nodes for name, node in nodes[kind].items()]
    segments = [segment for _kind, _name, node in every for segment in node.get("links", {})]
    faults = [f"unknown table [{kind}]" for kind in network.keys() - defaults.keys()]
    faults += [f"{name} is a host and a router" for name in nodes["hosts"].keys() & nodes["routers"].keys()]
    for segment in sorted(set(segments)):
        if segments.count(segment) == 1:
            faults.append(f"segment {segment} has one link only")
        if not re.fullmatch(r"[a-z0-9-]{1,15}", segment):
            faults.append(f"segment {segment}: at most 15 of a-z, 0-9 and -")
    for kind, name, node in every:
        faults += [f"{kind}.{name}: unknown key {key}" for key in node.keys() - {"links"} - defaults[kind].keys()]
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) or name == "switch":
            faults.append(f"{kind}.{name}: not a host name (a-z, 0-9 and -)")
        if not node.get("links"):
            faults.append(f"{kind}.{name}: no links")
        if kind == "hosts" and node["distribution"] not in (None, *DISTRIBUTIONS):
            faults.append(f"{kind}.{name}: distribution is none of {', '.join(DISTRIBUTIONS)}")
        if kind == "routers" and node["outside"] not in node.get("links", {}):
            faults.append(f"{kind}.{name}: outside is none of its links")
        if kind == "routers" and node["ports"] not in MASQUERADES:
            faults.append(f"{kind}.{name}: ports is none of {', '.join(MASQUERADES)}")
    if faults:
        raise LabError(f"{path}:\n  " + "\n  ".join(faults))
    return nodes


# --- root file systems ------------------------------------------------------------------------------------------------


class Image(NamedTuple):
    """A root file system, by what is in it."""

    distribution: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        recipe = repr((*self, SOURCES, CUSTOMISE))
        return CACHE / "images" / f"{self.distribution}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def image_of(host: dict) -> Image:
    packages = PREPARED_PACKAGES if host["prepared"] else BARE_PACKAGES
    return Image(host["distribution"], (*packages, *sorted(host["packages"])))


def images_of(nodes: dict[str, dict]) -> set[Image]:
    return {image_of(host) for host in nodes["hosts"].values() if host["distribution"]}


def build_images(wanted: set[Image]) -> None:
    """Have the root file systems at their paths, where they appear only when complete; remove outdated ones."""
    images = CACHE / "images"
    images.mkdir(parents=True, exist_ok=True)
    with locked(images):
        missing = [image for image in sorted(wanted) if not image.path.is_dir()]
        with ThreadPoolExecutor() as pool:
            list(pool.map(build_image, missing))
        if missing and not any(RUN.glob("wf-*/lab.json")):
            networks = map(read_network, Path(__file__).parent.glob("*/network.toml"))
            current = {image.path for image in wanted.union(*map(images_of, networks))}
            for outdated in set(images.iterdir()) - current:
                shutil.rmtree(outdated)


def build_image(image: Image) -> None:
    say(f"  building the root file system {image.path.name} (once, about half a minute)")
    unfinished = image.path.with_suffix(".unfinished")
    remove(unfinished)
    run(
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(image.packages)}",
        f"--customize-hook={CUSTOMISE}", image.distribution, unfinished, "-",
        text=SOURCES.replace("SUITE", image.distribution),
    )  # fmt: skip
    unfinished.rename(image.path)


# --- kernel limits and cgroups ----------------------------------------------------------------------------------------


def raise_kernel_limits() -> None:
    with locked(RUN):
        saved = RUN / "wf-kernel-limits.json"
        if not saved.exists():
            current = {name: int(Path("/proc/sys", name).read_text()) for name in KERNEL_LIMITS}
            saved.write_text(json.dumps(current))
            for name, wanted in KERNEL_LIMITS.items():
                Path("/proc/sys", name).write_text(str(max(wanted, current[name])))


def restore_kernel_limits() -> None:
    with locked(RUN):
        saved = RUN / "wf-kernel-limits.json"
        if saved.exists() and not any(RUN.glob("wf-*/lab.json")):
            for name, value in json.loads(saved.read_text()).items():
                Path("/proc/sys", name).write_text(str(value))
            saved.unlink()


def cgroup_roots() -> list[Path]:
    """Where processes are grouped: the cgroup2 tree, first, and systemd's own tree where that is a version 1 one."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    version2 = [Path(where) for _dev, where, kind, *_rest in mounts if kind == "cgroup2"]
    systemd = [
        Path(where) for _dev, where, kind, options, *_rest in mounts if kind == "cgroup" and "name=systemd" in options
    ]
    if not version2:
        raise LabError("no cgroup2 file system is mounted (/sys/fs/cgroup or /sys/fs/cgroup/unified)")
    return [version2[0], *systemd[:1]]


class Lab:
    """One running network, known by its name."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
            raise LabError(f"{name!r} is no name for a lab: a-z, 0-9 and -")
        self.name = name
        self.state = RUN / f"wf-{name}"
        self.cgroups = [root / f"wf-{name}" for root in cgroup_roots()]

    def namespace(self, node: str) -> str:
        return f"wf-{self.name}.{node}"

    def described(self) -> dict:
        """What `up` wrote down: the network, and where the overlays are."""
        try:
            return json.loads((self.state / "lab.json").read_text())
        except FileNotFoundError:
            raise LabError(f"there is no lab {self.name!r}") from None

    def ssh(self, host: str, *command: str) -> list[str]:
        return ["ssh", "-F", str(self.state / "ssh_config"), host, *command]

    # --- up -----------------------------------------------------------------------------------------------------------

    def up(self, network: Path) -> None:
        nodes = read_network(network)
        try:
            self.state.mkdir(mode=0o700)  # the name is ours from here on
        except FileExistsError:
            raise LabError(f"the lab {self.name!r} is up already; first: lab.py down {self.name}") from None
        try:
            self.build(nodes)
        except BaseException:
            self.down()
            raise

    def build(self, nodes: dict[str, dict]) -> None:
        booted = {name: host for name, host in nodes["hosts"].items() if host["distribution"]}
        say(f"lab {self.name}: {len(booted)} hosts, {len(nodes['routers'])} NAT routers")
        started = time.monotonic()
        build_images(images_of(nodes))
        overlays = CACHE / "lab" / self.name
        remove(overlays)  # of a lab that a reboot of the machine has ended
        (self.state / "lab.json").write_text(json.dumps({**nodes, "overlays": str(overlays)}))
        raise_kernel_limits()
        self.build_network(nodes)
        self.write_connections(booted)
        self.wait_until_booted({name: self.start(name, host, overlays / name) for name, host in booted.items()})
        for name in (name for name, host in booted.items() if not host["prepared"]):
            self.open_archive(name)
        say(f"  all hosts answer, after {time.monotonic() - started:.1f} s; connections: {self.state}/connection.json")

    def build_network(self, nodes: dict[str, dict]) -> None:
        """Namespaces, a bridge per segment in the switch, a veth pair per link, addresses, routes, NAT."""
        switch = self.namespace("switch")
        every = {**nodes["routers"], **nodes["hosts"]}
        for name in ("switch", *every):
            namespace = self.namespace(name)
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            # A new namespace may inherit the machine's forwarding (docker turns it on).
            forward = int(name in nodes["routers"])
            silent = int(name == "switch")
            run(
                "ip", "netns", "exec", namespace, "sh", "-euc",
                f"cd /proc/sys/net; echo {forward} > ipv4/ip_forward; echo {forward} > ipv6/conf/all/forwarding; "
                f"echo {silent} > ipv6/conf/default/disable_ipv6",
            )  # fmt: skip
        for segment in sorted({segment for node in every.values() for segment in node["links"]}):
            run("ip", "-n", switch, "link", "add", segment, "up", "type", "bridge", "mcast_snooping", "0")
        port = 0
        for name, node in every.items():
            namespace = self.namespace(name)
            commands = []
            for index, (segment, addresses) in enumerate(node["links"].items()):
                port += 1
                peer = ("peer", "name", f"eth{index}", "netns", namespace)
                run("ip", "-n", switch, "link", "add", f"port{port}", "master", segment, "up", "type", "veth", *peer)
                commands.append(f"link set eth{index} up")
                commands += [f"addr add {a} dev eth{index}{' nodad' * (':' in a)}" for a in addresses]
            commands += [f"route add default via {gateway}" for gateway in node["gateways"]]
            run("ip", "-n", namespace, "-batch", "-", text="\n".join(commands))
        for name, router in nodes["routers"].items():
            outside = f"eth{list(router['links']).index(router['outside'])}"
            forwards = [f'iifname "{outside}" udp dport {at} dnat ip to {to}' for at, to in router["forwards"].items()]
            rules = NAT_RULES.replace("MASQUERADE", MASQUERADES[router["ports"]])
            rules = rules.replace("FORWARDS", "\n".join(forwards)).replace("OUTSIDE", outside)
            run("ip", "netns", "exec", self.namespace(name), "nft", "-f", "-", text=rules)

    def write_connections(self, hosts: dict[str, dict]) -> None:
        """One key to log in, one host key per host, ssh_config, and an inventory of connection variables only."""
        key = self.state / "id_ed25519"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.state.name, "-f", key)
        known, config = [], []
        for name in hosts:
            host_key = self.state / f"host_key.{name}"
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", host_key)
            known.append(f"{name} {host_key.with_suffix(host_key.suffix + '.pub').read_text()}")
            into = f"ip netns exec {self.namespace(name)} socat STDIO TCP4:127.0.0.1:22"
            config.append(f"Host {name}\n    ProxyCommand {into}\n")
        (self.state / "known_hosts").write_text("".join(known))
        (self.state / "ssh_config").write_text(
            "".join(config) + f"Host *\n    User root\n    IdentityFile {key}\n    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {self.state}/known_hosts\n    StrictHostKeyChecking yes\n    LogLevel ERROR\n"
        )
        connection = {
            "ansible_ssh_common_args": f"-F {self.state}/ssh_config",
            "ansible_control_path_dir": f"{self.state}/cp",  # hosts of two labs may share a name
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        inventory = {"all": {"hosts": dict.fromkeys(hosts, connection)}}
        (self.state / "connection.json").write_text(json.dumps(inventory, indent=2) + "\n")

    def start(self, name: str, host: dict, overlay: Path) -> subprocess.Popen:
        for directory in ("upper/etc/ssh", "upper/root/.ssh", "work", "root"):
            (overlay / directory).mkdir(parents=True)
        (overlay / "upper/root").chmod(0o700)
        (overlay / "upper/root/.ssh").chmod(0o700)
        files = {
            "etc/hostname": name,
            "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + name,
            "root/.ssh/authorized_keys": (self.state / "id_ed25519.pub").read_text(),
            "etc/ssh/ssh_host_ed25519_key": (self.state / f"host_key.{name}").read_text(),
            "etc/ssh/ssh_host_ed25519_key.pub": (self.state / f"host_key.{name}.pub").read_text(),
        }
        if not host["prepared"]:
            files["etc/hosts"] += f"\n127.0.0.1 {ARCHIVE}"
        for path, content in files.items():
            (overlay / "upper" / path).write_text(content.rstrip("\n") + "\n")
        (overlay / "upper/etc/ssh/ssh_host_ed25519_key").chmod(0o600)
        environment = {
            "PATH": os.environ["PATH"],
            "IMAGE": os.path.relpath(image_of(host).path, CACHE),
            "OVERLAY": os.path.relpath(overlay, CACHE),
            "NAMESPACE": self.namespace(name),
            "HOST": name,
            "FORGET": FORGET,
            "CGROUPS": " ".join(map(str, self.make_cgroup(name))),
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # /proc/sys/net is the host's own
        }
        Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
        with (overlay / "console.log").open("w") as console:
            return subprocess.Popen(
                ["unshare", "--mount", "--propagation", "slave", "sh", "-euc", START_HOST],
                cwd=CACHE, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                start_new_session=True,
            )  # fmt: skip

    def make_cgroup(self, name: str) -> list[Path]:
        paths = [cgroup / name for cgroup in self.cgroups]
        for path in paths:
            path.mkdir(parents=True)
        return paths

    def wait_until_booted(self, containers: dict[str, subprocess.Popen]) -> None:
        """Log in to each by ssh until its systemd has finished booting."""
        ask = "systemctl is-system-running --wait; systemctl --failed --plain --no-legend"
        end = time.monotonic() + BOOT_TIMEOUT
        logins: dict[str, subprocess.Popen] = {}
        waiting = dict.fromkeys(containers, "")
        while waiting:
            for name in list(waiting):
                if containers[name].poll() is not None or time.monotonic() > end:
                    console = CACHE / "lab" / self.name / name / "console.log"
                    raise LabError(f"{name} does not boot: {waiting[name]}\n{console.read_text()[-3000:]}")
                if name not in logins:
                    logins[name] = subprocess.Popen(
                        self.ssh(name, ask), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                    )
                elif logins[name].poll() is not None:
                    waiting[name] = logins.pop(name).communicate()[0]
                    state, _newline, failed = waiting[name].strip().partition("\n")
                    if state == "running":
                        del waiting[name]
                    elif state == "degraded":
                        raise LabError(f"{name} has booted, but: {failed}")
            time.sleep(0.1)

    def open_archive(self, name: str) -> None:
        """Port 80 on the host's own loopback becomes Debian's archive, through ssh: the one way out, and only there."""
        cgroups = self.make_cgroup(f"archive-for-{name}")
        forward = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:80:{ARCHIVE}:80"]
        subprocess.Popen(
            ["sh", "-euc", f'{ENTER_CGROUPS}exec "$@"', "sh", "ssh", *forward, *self.ssh(name)[1:]],
            env={**os.environ, "CGROUPS": " ".join(map(str, cgroups))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        probe = self.ssh(name, "ss -Hltn sport = :80 | grep -q .")
        wait_for(
            lambda: subprocess.run(probe, check=False).returncode == 0, 20, f"{name}: no way to {ARCHIVE} after 20 s"
        )

    # --- down ---------------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """Remove everything that bears the lab's name; nothing of it is remembered by number, so none can be stale."""
        with uninterrupted():
            self.remove_everything()

    def remove_everything(self) -> None:
        unified = self.cgroups[0]
        if unified.exists():
            (unified / "cgroup.kill").write_text("1")
            wait_for(
                lambda: "populated 0" in (unified / "cgroup.events").read_text(), 20, f"{unified} has processes left"
            )
        for cgroup in self.cgroups:
            for directory, _subdirectories, _files in os.walk(cgroup, topdown=False):
                os.rmdir(directory)
        for namespace in self.namespaces():
            # Shells in hosts without a container, and socats of ssh, are in no cgroup of ours.
            for pid in run("ip", "netns", "pids", namespace).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", namespace)
        with contextlib.suppress(LabError):
            remove(Path(self.described()["overlays"]))
        remove(self.state)
        restore_kernel_limits()

    def namespaces(self) -> list[str]:
        return sorted(path.name for path in Path("/run/netns").glob(self.namespace("*")))

    # --- looking around -----------------------------------------------------------------------------------------------

    def shell(self, host: str, command: list[str]) -> NoReturn:
        described = self.described()
        if described["hosts"].get(host, {}).get("distribution"):
            become(self.ssh(host, *command))
        if host in (*described["hosts"], *described["routers"]):  # a namespace only, with the machine's own files
            become(["ip", "netns", "exec", self.namespace(host), *(command or ["bash"])])
        raise LabError(f"no host {host!r} in the lab {self.name!r}, only {', '.join(described['hosts'])}")

    def status(self) -> None:
        described = self.described()
        for kind in ("routers", "hosts"):
            for name, node in described[kind].items():
                what = "NAT router" if kind == "routers" else node["distribution"] or "namespace"
                links = "; ".join(f"{segment} {' '.join(addresses)}" for segment, addresses in node["links"].items())
                say(f"{name:20} {what:12} {self.namespace(name):36} {links}")
        ways_out = self.ways_out()
        if ways_out:
            raise LabError("packets can leave the lab: " + "; ".join(ways_out))
        say("no packet can leave the lab: no device is the machine's, and all ends are in the lab's namespaces")

    def ways_out(self) -> list[str]:
        """Devices in the lab's namespaces whose other end is not in one of them."""
        switch = self.namespace("switch")
        links = {
            namespace: json.loads(run("ip", "-n", namespace, "-details", "-json", "link"))
            for namespace in self.namespaces()
        }
        ports = {(link["ifindex"], link["link_index"]) for link in links[switch] if "link_netnsid" in link}
        found = []
        ends = []
        for namespace, link in [(name, link) for name in links for link in links[name]]:
            if link["link_type"] != "loopback" and "info_kind" not in link.get("linkinfo", {}):
                found.append(f"{namespace}: {link['ifname']} is a device of the machine")
            elif namespace != switch and "link_netnsid" in link:  # its other end is in another namespace
                ends.append((link["link_index"], link["ifindex"]))
                if ends[-1] not in ports:
                    found.append(f"{namespace}: {link['ifname']} ends outside")
        if len(ends) != len(ports):
            found.append(f"the switch has {len(ports)} ports, but the hosts have {len(ends)} links")
        return found


def become(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execvp(command[0], command)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("up", "down", "status", "shell"):
        commands.add_parser(command).add_argument("name")
    commands.choices["up"].add_argument("network", type=Path)
    commands.choices["shell"].add_argument("host")
    commands.choices["shell"].add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        if os.geteuid() != 0:
            raise LabError("namespaces and mounts need root")
        lab = Lab(options.name)
        if options.command == "up":
            lab.up(options.network)
        elif options.command == "down":
            lab.down()
        elif options.command == "status":
            lab.status()
        else:
            lab.shell(options.host, options.arguments)
    except (LabError, OSError) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted, and removed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
