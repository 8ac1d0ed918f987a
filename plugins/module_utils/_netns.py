# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network namespaces with a name, see ip-netns(8): entering one, and the script that brings an interface up in one.

A WireGuard device sends its encrypted packets from the namespace in which it was made, wherever it goes later
(https://www.wireguard.com/netns/). So it is made in the host's own namespace, and then moved.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import typing as t

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _files
from ansible_collections.wirefleet.wireguard.plugins.module_utils._device import DeviceError, RunCommand
from ansible_collections.wirefleet.wireguard.plugins.module_utils._difference import Step
from ansible_collections.wirefleet.wireguard.plugins.module_utils._host import find

DIRECTORY = "/run/netns"
CLONE_NEWNET = 0x40000000  # sched.h
# The alias of the loopback of a namespace that we have made: a mark that lives exactly as long as the namespace.
MARK = "wirefleet.wireguard"

# wg-quick(8) knows no namespaces. This does what it does, in its order, with the same file.
SCRIPT = """\
#!/bin/bash
# Managed by Ansible (wirefleet.wireguard.wg_interface): up and down, in the place of wg-quick, for an interface in a
# network namespace. Its socket is where it is made: in the host's own namespace.
set -e -o pipefail
shopt -s extglob
name={name}
netns={netns}
config={config}

values() {{ sed -n "s/^$1 = //p" "$config"; }}
networks() {{ values AllowedIPs | tr -d ' ' | tr , '\\n'; }}
hooks() {{
    values "$1" | while read -r command; do
        # Not as an argument, which everybody may read: it may hold a key.
        nsenter --net="{directory}/$netns" bash -e -o pipefail -O extglob -c \\
            'read -r; exec </dev/null; eval "$REPLY"' <<< "${{command//%i/$name}}"
    done
}}
fail() {{
    ip link delete dev "$name" || ip -n "$netns" link delete dev "$name"
}} 2>/dev/null

case $1 in
up)
    if [ ! -e "{directory}/$netns" ]; then
        ip netns add "$netns"
        ip -n "$netns" link set dev lo alias {mark} up
    fi
    hooks PreUp
    trap fail ERR
    ip link add "$name" type wireguard || wireguard-go "$name"
    wg setconf "$name" <(wg-quick strip "$config")
    ip link set dev "$name" netns "$netns"
    table=$(values Table)
    {{
        values Address | sed "s/.*/address add & dev $name/"
        echo "link set dev $name mtu $(values MTU) up"
        [ "$table" = off ] || networks | sort -t / -k 2nr | sed "s/.*/route add & dev $name table $table/"
    }} | ip -n "$netns" -batch -
    hooks PostUp
    ;;
down)
    ip -n "$netns" link show dev "$name" >/dev/null  # else there is nothing for hooks to take down
    hooks PreDown || true
    ip -n "$netns" link delete dev "$name"
    hooks PostDown || true
    ;;
*)
    echo "usage: $0 up|down" >&2
    exit 2
    ;;
esac
"""


def script_of(config_file: str) -> str:
    """The path of the script that belongs to an interface's file."""
    return config_file[: -len(".conf")] + ".netns"


def script(name: str, netns: str, config_file: str) -> str:
    """The text of the script."""
    return SCRIPT.format(name=name, netns=netns, config=config_file, directory=DIRECTORY, mark=MARK)


def recorded(config_file: str) -> str | None:
    """The namespace of an interface as its script tells; None: the host's own."""
    found = re.search(rb"^netns=(\S+)$", _files.read(script_of(config_file)) or b"", re.MULTILINE)
    return found[1].decode() if found else None


def exists(netns: str | None) -> bool:
    """Whether there is a namespace of this name; the host's own is always there."""
    return netns is None or os.path.exists(f"{DIRECTORY}/{netns}")


@contextlib.contextmanager
def entered(netns: str | None) -> t.Iterator[None]:
    """Be in a namespace, with all that is started meanwhile; None: stay. Raises DeviceError if that cannot be."""
    if netns is None:
        yield
        return
    with open("/proc/self/ns/net", "rb") as here:
        try:
            with open(f"{DIRECTORY}/{netns}", "rb") as there:
                _set(there)
        except OSError as error:
            raise DeviceError(f"the network namespace {netns} cannot be entered: {error.strerror}") from None
        try:
            yield
        finally:
            _set(here)


def _set(namespace: t.BinaryIO) -> None:
    # os.setns is there from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def steps_to(netns: str | None) -> list[Step]:
    """Make the namespace if it is not there."""
    if exists(netns):
        return []
    # In one process: a run that is killed in between must not leave one that nobody knows to be ours.
    ip = find("ip")
    script = f"{ip} netns add {netns} && {ip} -n {netns} link set dev lo alias {MARK} up"
    return [Step("command", ("sh", "-c", script), f"create network namespace {netns}")]


def steps_from(run_command: RunCommand, name: str, netns: str | None) -> list[Step]:
    """When the interface ``name`` is gone: remove the namespace, if we have made it and nobody else uses it."""
    if netns is None or not exists(netns):
        return []
    ip = find("ip")
    _code, out, _err = run_command([ip, "-n", netns, "-json", "link", "show"])
    links = json.loads(out or "[]")
    if not any(link["ifname"] == "lo" and link.get("ifalias") == MARK for link in links):
        return []
    # Links that are down come with every namespace, where modules such as ipip are loaded.
    others = [link for link in links if link["ifname"] not in ("lo", name) and "UP" in link["flags"]]
    if others or run_command([ip, "netns", "pids", netns])[1].strip():
        return []
    return [Step("command", ("ip", "netns", "delete", netns), f"remove network namespace {netns}")]
