# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# shellcheck shell=bash
# Sourced by the runme.sh of a target: from here on everything runs in a box, that is in network, mount and process
# namespaces of its own with an empty /etc/wireguard and an empty /run, so that nothing that belongs to this machine can
# be reached or changed. When the script ends, for whatever reason, the kernel ends all that is in the box.

set -euo pipefail

if [ -z "${WIREFLEET_BOX:-}" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "these tests make network interfaces: run them as root" >&2
        exit 1
    fi
    for command in wg wg-quick ip nft unshare; do
        command -v "$command" >/dev/null || { echo "the command '$command' is missing: install it first" >&2; exit 1; }
    done
    mkdir -p /etc/wireguard
    WIREFLEET_BOX=1 exec unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc bash "$0" "$@"
fi

mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0700 tmpfs /etc/wireguard
mount -t sysfs sysfs /sys
ip link set lo up
# The network beneath the tunnels: it leads nowhere.
ip link add under0 type veth peer name under1
ip link set under0 up
ip link set under1 up
ip address add 198.51.100.2/24 dev under0
ip route add default via 198.51.100.1
bash "$(dirname "${BASH_SOURCE[0]}")/../setup_device/device.sh"
export PYTHONPATH="${ANSIBLE_COLLECTIONS_PATH:?is set by ansible-test}"
