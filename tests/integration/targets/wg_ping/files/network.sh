#!/bin/sh
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Builds a relay (.1) and two nodes (.2, .3) that know the relay only, in the namespaces $1, $2 and $3 which are there.
set -eu
umask 077
number=0
ip -n "$1" link add name bridge type bridge
ip -n "$1" link set bridge up
ip -n "$1" address add 198.51.100.1/24 dev bridge
for namespace in "$@"; do
    number=$((number + 1))
    if [ "$number" -gt 1 ]; then
        ip -n "$namespace" link add name eth0 type veth peer name "port$number" netns "$1"
        ip -n "$1" link set "port$number" master bridge up
        ip -n "$namespace" address add "198.51.100.$number/24" dev eth0
        ip -n "$namespace" link set eth0 up
    fi
    wg genkey > "key$number"
    interface=wfping$number
    ip -n "$namespace" link add "$interface" type wireguard 2> /dev/null ||
        ip netns exec "$namespace" wireguard-go "$interface" > /dev/null 2>&1
    ip -n "$namespace" address add "10.99.0.$number/24" dev "$interface"
    ip -n "$namespace" address add "fd99::$number/64" dev "$interface" nodad
    ip -n "$namespace" link set "$interface" up
    ip netns exec "$namespace" wg set "$interface" private-key "key$number" listen-port 51820
done
for number in 2 3; do
    eval "namespace=\$$number"
    ip netns exec "$1" wg set wfping1 peer "$(wg pubkey < key$number)" allowed-ips "10.99.0.$number/32,fd99::$number/128"
    ip netns exec "$namespace" wg set "wfping$number" peer "$(wg pubkey < key1)" endpoint 198.51.100.1:51820 \
        persistent-keepalive 1 allowed-ips 10.99.0.0/24,fd99::/64
done
ip netns exec "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
