#!/usr/bin/python
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wg_info
short_description: Tell what is there of WireGuard on a host
version_added: 0.1.0
description:
  - Returns the WireGuard interfaces of a host with their peers, handshakes and transfer, the public keys of private key
    files, and what the host offers for WireGuard (commands, kernel, init system, forwarding).
  - Changes nothing and returns no secret. Works on hosts that have none of the tools yet.
author:
  - wirefleet contributors (@wirefleet)
options:
  interfaces:
    description:
      - Names of the interfaces to tell of. Names that the host does not know are left out of the result.
      - Left out, all interfaces are told that are there or have a file C(/etc/wireguard/NAME.conf).
    type: list
    elements: str
  private_key_files:
    description: Paths of private key files whose public keys are wanted.
    type: list
    elements: path
    default: []
  compare:
    description:
      - For each interface that is to be compared with what there is, the options of M(wirefleet.wireguard.wg_interface)
        with O(wirefleet.wireguard.wg_interface#module:state=present), and C(digest), a text that stands for them.
      - Names of other options are allowed, and say nothing.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise, since it changes nothing.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
seealso:
  - module: wirefleet.wireguard.wg_keypair
  - module: wirefleet.wireguard.wg_interface
"""

EXAMPLES = r"""
- name: Look at every WireGuard interface
  wirefleet.wireguard.wg_info:
  register: wireguard

- name: List the peers that have been silent for three minutes
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.peers | rejectattr('online') | map(attribute='public_key') | list }}"
  loop: "{{ wireguard.interfaces }}"
  loop_control:
    label: "{{ item.name }}"

- name: Read one interface and the public key of its key file
  wirefleet.wireguard.wg_info:
    interfaces: [wg0]
    private_key_files: [/etc/wireguard/wg0.key]
"""

RETURN = r"""
interfaces:
  description: The interfaces, sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the interface.
      type: str
      sample: wg0
    state:
      description: V(up), or V(down) if the link is down or if there is only the configuration file.
      type: str
      sample: up
    backend:
      description: V(kernel), V(wireguard-go) or V(userspace) (another program). Null if there is no link.
      type: str
      sample: kernel
    netns:
      description:
        - The network namespace into which M(wirefleet.wireguard.wg_interface) has put it. Null for the host's own.
      type: str
      sample: vpn
    public_key:
      description: The interface's public key. Null if it has no key, or if C(wg) is missing.
      type: str
      sample: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=
    listen_port:
      description: The UDP port it listens on.
      type: int
      sample: 51820
    fwmark:
      description: The mark of its outgoing packets, V(0) for none.
      type: int
      sample: 0
    mtu:
      description: MTU in bytes.
      type: int
      sample: 1420
    addresses:
      description: Its addresses with prefix length.
      type: list
      elements: str
      sample: [10.44.0.1/24]
    unit:
      description: Whether the service that brings it up at boot is enabled, and whether it is active now.
      type: dict
      sample: {enabled: true, active: true}
    config_file:
      description: The path of its configuration file, and whether it is there.
      type: dict
      sample: {path: /etc/wireguard/wg0.conf, present: true}
    peers:
      description: Its peers, sorted by public key.
      type: list
      elements: dict
      contains:
        public_key:
          description: The peer's public key.
          type: str
          sample: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
        endpoint:
          description: The address it was last seen at, or that was configured. Null if neither.
          type: str
          sample: 198.51.100.7:51820
        allowed_ips:
          description: The prefixes that are routed to it and accepted from it.
          type: list
          elements: str
          sample: [10.44.0.2/32]
        latest_handshake:
          description: When it last shook hands, in seconds since 1970. Null if never.
          type: int
          sample: 1790000000
        handshake_age:
          description: Seconds since then. Null if never.
          type: int
          sample: 42
        online:
          description: Whether that was in the last 180 seconds, after which WireGuard itself rejects a session.
          type: bool
          sample: true
        rx_bytes:
          description: Bytes received from it.
          type: int
          sample: 1234
        tx_bytes:
          description: Bytes sent to it.
          type: int
          sample: 5678
        persistent_keepalive:
          description: Seconds between keepalives. Null if off.
          type: int
          sample: 25
        has_preshared_key:
          description: Whether a preshared key is set for it.
          type: bool
          sample: false
public_keys:
  description:
    - For each of O(private_key_files) the public key. Null if M(wirefleet.wireguard.wg_keypair) would have something to
      do or to say about it (no file, no key in it, wrong owner or mode), or if the host cannot compute it yet.
  returned: success
  type: dict
  sample: {/etc/wireguard/wg0.key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=}
preshared_keys:
  description:
    - For each interface with a configuration file, of those peers that have a preshared key in it, the fingerprint of
      that key. Two ends of a tunnel that have one key have one fingerprint, and nothing else can be told from it.
  returned: success
  type: dict
  sample: {wg0: {HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=: 0f343b0931126a20f133d67c2b018a3b}}
as_wanted:
  description:
    - What came as C(digest) with those interfaces of O(compare) at which M(wirefleet.wireguard.wg_interface) would
      change nothing, and would warn of nothing.
  returned: success
  type: dict
  sample: {wg0: 5feceb66ffc86f38d952786c6d696c79}
key_ages:
  description:
    - For each of O(private_key_files) its age in days, by the time of the file's last change. Null where its public key
      in RV(public_keys) is.
  returned: success
  type: dict
  sample: {/etc/wireguard/wg0.key: 12.25}
tools:
  description: The commands there are. C(wg) and C(nft) as version or null, the others as true or false.
  returned: success
  type: dict
  sample: {wg: 1.0.20210914, wg_quick: true, ip: true, nft: 1.0.6, sysctl: true, wireguard_go: false, pynacl: false}
missing_tools:
  description: The commands this collection needs on this host that are missing.
  returned: success
  type: list
  elements: str
  sample: [wg, wg-quick]
kernel:
  description: The kernel's release.
  returned: success
  type: str
  sample: 6.12.38+deb13-amd64
kernel_wireguard:
  description: Whether the kernel has WireGuard, loaded or to be loaded on demand.
  returned: success
  type: bool
  sample: true
init:
  description: V(systemd), V(openrc) or V(other).
  returned: success
  type: str
  sample: systemd
python:
  description: Version of the Python that runs the modules.
  returned: success
  type: str
  sample: 3.13.5
firewalls:
  description: The interfaces for which M(wirefleet.wireguard.wg_firewall) has left rules or files.
  returned: success
  type: list
  elements: str
  sample: [wg0]
names:
  description:
    - For each interface whose network has its names in C(/etc/hosts) the digest of that block; see
      M(wirefleet.wireguard.wg_names).
  returned: success
  type: dict
  sample: {wg0: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
connection:
  description:
    - The addresses of the SSH connection of this run, C(client) where it comes from and C(server) on this host, and the
      interface by which the host answers.
    - All null if the host is not connected through SSH.
  returned: success
  type: dict
  sample: {client: 10.44.0.1, server: 10.44.0.3, interface: wg0}
sysctl:
  description: Whether the host forwards.
  returned: success
  type: dict
  contains:
    live:
      description:
        - The kernel's values. Null where the kernel lacks the protocol.
        - With them what RV(sysctl.persisted) names, and C(accept_ra) of the links on which the kernel itself has learnt
          an IPv6 default route from a router advertisement. With V(1) that route goes when IPv6 forwarding is turned
          on, with V(2) it stays.
      type: dict
      sample: {net.ipv4.ip_forward: "1", net.ipv6.conf.all.forwarding: "0", net.ipv6.conf.eth0.accept_ra: "1"}
    persisted:
      description: For each interface what its file C(/etc/sysctl.d/70-wireguard-NAME.conf) says.
      type: dict
      sample: {wg0: {net.ipv4.ip_forward: "1"}}
links:
  description:
    - The symbolic links among the files of interfaces, in C(/etc/wireguard), C(/etc/sysctl.d) and the folders of
      systemd, and where they lead. A module that is to write or remove one of these files refuses the link.
  returned: always
  type: dict
  sample: {/etc/wireguard/wg0.conf: /srv/vpn/wg0.conf}
"""

import glob
import os
import platform
import re
import time
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.wirefleet.wireguard.plugins.module_utils import (
    _connection,
    _device,
    _files,
    _firewall,
    _full_tunnel,
    _host,
    _names,
    _netns,
    _sealing,
    _unit,
    _values,
    _wanted,
    _wg_quick,
)
from ansible_collections.wirefleet.wireguard.plugins.module_utils._keys import KeyFile, public_key_of
from ansible_collections.wirefleet.wireguard.plugins.module_utils._module import Module

ONLINE_SECONDS = 180
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
IPV6_ROUTES = "/proc/net/ipv6_route"
# A default route that the kernel made for a router advertisement (linux/ipv6_route.h: RTF_DEFAULT and RTF_ADDRCONF)
BY_ADVERTISEMENT = 0x00010000 | 0x00040000
SYSCTL_FILE = "/etc/sysctl.d/70-wireguard-{}.conf"
CONFIG_FILE = "/etc/wireguard/{}.conf"
# Where files of interfaces are that the modules and roles of this collection write.
FILES = (
    "/etc/wireguard/*",
    SYSCTL_FILE.format("*"),
    _full_tunnel.NETWORKD_FILE.format("*"),
    f"{_unit.UNITS}/wireguard-*",
)


def peer_report(peer: _device.Peer, now: int) -> dict:
    """What is returned of a peer: everything but its preshared key. ``now`` in seconds since the epoch."""
    age = max(now - peer.latest_handshake, 0) if peer.latest_handshake else None
    return {
        "public_key": peer.public_key,
        "endpoint": peer.endpoint,
        "allowed_ips": list(peer.allowed_ips),
        "latest_handshake": peer.latest_handshake or None,
        "handshake_age": age,
        "online": age is not None and age <= ONLINE_SECONDS,
        "rx_bytes": peer.rx_bytes,
        "tx_bytes": peer.tx_bytes,
        "persistent_keepalive": peer.persistent_keepalive or None,
        "has_preshared_key": peer.preshared_key is not None,
    }


def interface_report(name: str, device: _device.Device | None, unit: dict, now: int) -> dict:
    """What is returned of an interface: everything but secrets. ``device`` is None if there is no link."""
    path = CONFIG_FILE.format(name)
    return {
        "name": name,
        "state": "up" if device and device.up else "down",
        "backend": device and device.kind,
        "netns": _netns.recorded(path),
        "public_key": device and device.public_key,
        "listen_port": device and device.listen_port,
        "fwmark": device and device.fwmark,
        "mtu": device and device.mtu,
        "addresses": list(device.addresses) if device else [],
        "unit": unit,
        "config_file": {"path": path, "present": os.path.exists(path)},
        "peers": [peer_report(device.peers[key], now) for key in sorted(device.peers)] if device else [],
    }


def interfaces(module: Module) -> list[dict]:
    """The reports of the interfaces that are wanted, or of all."""
    before, after = CONFIG_FILE.split("{}")
    configured = {path[len(before) : -len(after)] for path in glob.glob(CONFIG_FILE.format("*"))}
    away = {name: netns for name in configured if (netns := _netns.recorded(CONFIG_FILE.format(name)))}
    wanted = module.params["interfaces"]
    devices = {}
    try:
        # wg also tells of userspace devices in other network namespaces: only those of our making can be read.
        for name in away.keys() | _device.names(module.run_command) if wanted != [] else ():
            if (wanted is None or name in wanted) and _netns.exists(away.get(name)):
                with _netns.entered(away.get(name)):
                    device = _device.read(module.run_command, name)
                if device:
                    devices[name] = device
    except _device.DeviceError as error:
        module.warn(str(error))
    names = sorted(name for name in devices.keys() | configured if wanted is None or name in wanted)
    now = int(time.time())
    return [interface_report(name, devices.get(name), unit_report(name, module.run_command), now) for name in names]


def unit_report(name: str, run_command) -> dict[str, bool]:
    """Whether the service of an interface starts at boot, and whether it is started; both false without a service."""
    service = _unit.service(run_command, name)
    state = service and service.state()
    return {"enabled": bool(state and state.enabled), "active": bool(state and state.active)}


def public_key_in(path: str, run_command) -> str | None:
    """The public key of a private key file that is right in every way, else None."""
    try:
        file = KeyFile(path)
        return public_key_of(file.private_key, run_command, _host.find("wg")) if file.is_right else None
    except (ValueError, OSError):
        return None


def digests_as_wanted(parts: list[dict[str, t.Any]], run_command) -> dict[str, str]:
    """{interface: digest} of those parts that have both, where wg_interface would find nothing to do or to say."""
    spec = _wanted.argument_spec()
    options = {*spec, *(alias for option in spec.values() for alias in option.get("aliases", ()))}
    found = {}
    for part in parts:
        given = ArgumentSpecValidator(spec).validate({name: part[name] for name in part if name in options})
        if not given.error_messages and is_as_wanted(given.validated_parameters, run_command):
            found[given.validated_parameters["name"]] = part.get("digest")
    return found


def is_as_wanted(params: dict[str, t.Any], run_command) -> bool:
    """Whether wg_interface would find nothing to do or to say. What it would fail of, it shall say itself."""
    warnings: list[str] = []
    try:
        interface = _wanted.interface_of(params, run_command, warnings.append)
        steps = _wanted.making(params, interface, run_command, warnings.append).steps
    except (ValueError, OSError, _device.DeviceError):
        return False
    return not steps and not warnings


def preshared_key_fingerprints() -> dict[str, dict[str, str]]:
    """For each configuration file the fingerprints of its preshared keys, by the peers' public keys."""
    before, after = CONFIG_FILE.split("{}")
    found = {}
    for path in sorted(glob.glob(CONFIG_FILE.format("*"))):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
            # Large files are parsed only if there is something to find.
            peers = _wg_quick.parse(text).peers if "PresharedKey" in text else ()
            found[path[len(before) : -len(after)]] = {
                peer.public_key: _sealing.fingerprint(peer.preshared_key) for peer in peers if peer.preshared_key
            }
        except (ValueError, OSError):
            continue  # a file that others wrote, and that wg_interface will speak of
    return found


def age_in_days(path: str) -> float:
    """The age of a file by its last change, in days, to the hundredth."""
    return round((time.time() - os.stat(path).st_mtime) / 86400, 2)


def connection(run_command) -> dict[str, str | None]:
    """The way of this run's own SSH connection."""
    client, server = _connection.ssh_ends()
    return {
        "client": client,
        "server": server,
        "interface": client and _connection.interface_towards(run_command, client),
    }


def live_sysctl(name: str) -> str | None:
    """The kernel's value of a sysctl, None if it has none of that name."""
    try:
        with open(_host.sysctl_path(name), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def advertised_uplinks() -> list[str]:
    """The links on which the kernel has learnt a default route from a router advertisement."""
    try:
        with open(IPV6_ROUTES, encoding="ascii") as file:
            routes = [line.split() for line in file]
    except OSError:
        return []
    # Destination, its length, source, its length, gateway, metric, references, uses, flags, link
    return sorted({route[9] for route in routes if int(route[8], 16) & BY_ADVERTISEMENT == BY_ADVERTISEMENT})


def live_sysctls(persisted: dict[str, dict[str, str]]) -> dict[str, str | None]:
    """The kernel's values of what matters for forwarding, and of all that is ``persisted``."""
    uplinks = [f"net.ipv6.conf.{link.translate(_host.DOTS_AND_SLASHES)}.accept_ra" for link in advertised_uplinks()]
    ours = [name for settings in persisted.values() for name in settings]
    return {name: live_sysctl(name) for name in (*FORWARDING, *uplinks, *ours)}


def parse_sysctl(text: str) -> dict[str, str]:
    """The settings of a sysctl.d(5) file: ``name = value`` lines, comments begin with # or ;."""
    settings = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", ";")):
            name = name.strip().lstrip("-")
            # The first separator is the one that separates.
            separator = re.search(r"[./]", name)
            settings[name.translate(_host.DOTS_AND_SLASHES) if separator and separator[0] == "/" else name] = (
                value.strip()
            )
    return settings


def persisted_sysctls() -> dict[str, dict[str, str]]:
    """For each interface with a file of its own, that file's settings; a symbolic link is none."""
    before, after = SYSCTL_FILE.split("{}")
    found = {}
    for path in sorted(glob.glob(SYSCTL_FILE.format("*"))):
        if os.path.islink(path):
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            found[path[len(before) : -len(after)]] = parse_sysctl(file.read())
    return found


def links() -> dict[str, str]:
    """{path: target} of the symbolic links among the files of interfaces."""
    paths = sorted(path for pattern in FILES for path in glob.glob(pattern) if os.path.islink(path))
    return {path: os.readlink(path) for path in paths}


def look(module: Module) -> dict[str, t.Any]:
    """All that is returned. Raises ValueError and OSError."""
    tools = _host.tools(module.run_command)
    kernel_wireguard = _host.kernel_has_wireguard(module.run_command)
    paths = [_values.path("private_key_files", path) for path in module.params["private_key_files"]]
    public_keys = {path: public_key_in(path, module.run_command) for path in paths}
    persisted = persisted_sysctls()
    return {
        "interfaces": interfaces(module),
        "public_keys": public_keys,
        "as_wanted": digests_as_wanted(module.params["compare"], module.run_command),
        "preshared_keys": preshared_key_fingerprints(),
        "key_ages": {path: age_in_days(path) if public_key else None for path, public_key in public_keys.items()},
        "tools": tools,
        "missing_tools": _host.missing_tools(tools, kernel_wireguard),
        "kernel": platform.release(),
        "kernel_wireguard": kernel_wireguard,
        "init": _host.init_system(),
        "python": platform.python_version(),
        "firewalls": _firewall.interfaces_with_rules(module.run_command),
        "sysctl": {"live": live_sysctls(persisted), "persisted": persisted},
        "links": links(),
        "names": _names.digests(_files.read(_names.HOSTS) or b""),
        "connection": connection(module.run_command),
    }


def main() -> None:
    """Entry point of the module."""
    module = Module(
        argument_spec={
            "interfaces": {"type": "list", "elements": "str"},
            "private_key_files": {"type": "list", "elements": "path", "default": [], "no_log": False},
            "compare": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    with module.errors_reported(ValueError, OSError):
        result = look(module)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
