# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host offers: commands, a kernel with WireGuard or without, an init system. Nothing here changes the host."""

from __future__ import annotations

import errno
import importlib.util
import os
import platform
import re
import shutil
import socket
import struct

# cron and sudo shells often lack the sbin directories, where Debian keeps ip, nft and modprobe.
SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
)


# A sysctl by its name has slashes where its path has dots: net.ipv6.conf.eth0/100.accept_ra is of the link eth0.100.
DOTS_AND_SLASHES = str.maketrans("./", "/.")


def sysctl_path(name: str) -> str:
    """The file of a sysctl(8) by its name, see sysctl.d(5)."""
    return "/proc/sys/" + name.translate(DOTS_AND_SLASHES)


def find(command: str) -> str | None:
    """The full path of a command, None if the host lacks it."""
    return shutil.which(command, path=SEARCH_PATH)


def version_in(text: str) -> str | None:
    """The first version number in a tool's own words ("nftables v1.0.6 (Lester Gooch #5)" -> "1.0.6")."""
    found = re.search(r"\bv?(\d+(?:\.\d+)+)", text)
    return found.group(1) if found else None


def tools(run_command) -> dict:
    """Which commands are there: a version where that is of use, else true; None or false if missing."""

    def version(command: str):
        path = find(command)
        if path is None:
            return None
        _code, out, err = run_command([path, "--version"])
        # A tool that does not tell its version is there all the same.
        return version_in(out + err) or "unknown"

    return {
        "wg": version("wg"),
        "wg_quick": find("wg-quick") is not None,
        "ip": find("ip") is not None,
        "nft": version("nft"),
        "sysctl": find("sysctl") is not None,
        "wireguard_go": find("wireguard-go") is not None,
        "pynacl": importlib.util.find_spec("nacl") is not None,
    }


def missing_tools(present: dict, kernel_wireguard: bool) -> list[str]:
    """The commands that the other modules need here and that are missing from ``tools()``, in a fixed order.

    ``wireguard-go`` is needed only where the kernel has no WireGuard.
    """
    needed = [("wg", "wg"), ("wg-quick", "wg_quick"), ("ip", "ip")]
    if not kernel_wireguard:
        needed.append(("wireguard-go", "wireguard_go"))
    return [command for command, name in needed if not present[name]]


TUN = "/dev/net/tun"


def wireguard_go_lacks(is_installed: bool) -> list[str]:
    """What keeps wireguard-go from making a device, with what to do about it. ``is_installed``: it is, or will be."""
    lacks = [] if is_installed else ["the command 'wireguard-go' is missing: install wireguard-go"]
    try:
        os.close(os.open(TUN, os.O_RDWR))
    except OSError as error:
        lacks.append(
            f"wireguard-go cannot open {TUN} ({error.strerror}): have the kernel's module 'tun', and give a container "
            f"that device (docker and podman: --device {TUN})"
        )
    return lacks


def init_system() -> str:
    """``systemd``, ``openrc`` or ``other``: what runs as init (sd_booted(3); OpenRC's own softlevel file)."""
    if os.path.isdir("/run/systemd/system"):
        return "systemd"
    if os.path.exists("/run/openrc/softlevel"):
        return "openrc"
    return "other"


def kernel_has_wireguard(run_command) -> bool:
    """Whether ``ip link add type wireguard`` can work. The cheapest certain answer of three is taken:

    1. the module is loaded or built in: it shows in sysfs, also inside containers;
    2. modprobe(8) looks, without loading it, for the alias that the kernel would ask it for (which obeys blacklists);
       certain only where the running kernel's modules lie in this file system;
    3. the kernel itself is asked (containers, hosts that await the reboot into a new kernel): see ``_ask_kernel``.
    """
    if os.path.isdir("/sys/module/wireguard"):
        return True
    modprobe = find("modprobe")
    if modprobe and os.path.exists(f"/lib/modules/{platform.release()}/modules.dep"):
        code, _out, _err = run_command([modprobe, "--dry-run", "--quiet", "rtnl-link-wireguard"])
        return code == 0
    return _ask_kernel("wireguard")


def link_request(kind: str) -> bytes:
    """A netlink message (rtnetlink(7)) that asks for a link of that kind with more queues than any link may have.

    The kernel first looks the kind up (EOPNOTSUPP: unknown), then counts the queues (EINVAL), and only then would make
    a device: so the answer tells whether the kind is known, and no device ever exists.
    """

    def attribute(number: int, payload: bytes) -> bytes:
        size = 4 + len(payload)
        return struct.pack("=HH", size, number) + payload + b"\0" * (-size % 4)

    ifla_ifname, ifla_num_tx_queues, ifla_linkinfo, ifla_info_kind = 3, 31, 18, 1
    rtm_newlink, nlm_f_request, nlm_f_ack, nlm_f_excl, nlm_f_create = 16, 0x1, 0x4, 0x200, 0x400
    body = (
        struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
        + attribute(ifla_ifname, b"wgprobe\0")
        + attribute(ifla_num_tx_queues, struct.pack("=I", 2**31 - 1))
        + attribute(ifla_linkinfo, attribute(ifla_info_kind, kind.encode() + b"\0"))
    )
    flags = nlm_f_request | nlm_f_ack | nlm_f_excl | nlm_f_create
    return struct.pack("=IHHII", 16 + len(body), rtm_newlink, flags, 1, 0) + body


def _ask_kernel(kind: str) -> bool:
    """Whether the kernel knows links of that kind. False, too, where we may not ask (no CAP_NET_ADMIN): then we could
    not create one either. The kernel may load its module for the answer, as it would when the link is made.
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(2)
            netlink.send(link_request(kind))
            answer = netlink.recv(4096)
    except OSError:
        return False
    # An NLMSG_ERROR message: header of 16 bytes, then the negative errno.
    return -struct.unpack_from("=i", answer, 16)[0] == errno.EINVAL
