#!/usr/bin/env bash
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Says what a WireGuard device is on this machine: the kernel's, or a process where the kernel has none.

set -eu
if ip link add device0 type wireguard 2>/dev/null; then
    ip link delete device0
    echo "device under test: kernel WireGuard $(uname -r)"
else
    echo "device under test: wireguard-go, for kernel $(uname -r) has no WireGuard"
fi
