#!/usr/bin/env bash
# The plan playbook and the registry, with Ansible's own reading of an inventory; nothing is contacted.
set -euxo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r inventory record.yml "$work"
cd "$work"
registry=inventory/.wireguard-registry.yml

run() { ansible-playbook -i inventory "$@" | tee output; }
plan() { run wirefleet.wireguard.plan "$@"; }
changed() { grep -c 'changed=1' output || true; }
lacks() { # text, file
    if grep -F "$1" "$2"; then
        echo "$2 has this" && exit 1
    fi
}
refused() { # message, command...
    local message=$1
    shift
    if "$@"; then
        echo "this was not refused" && exit 1
    fi
    tr -s ' \n' ' ' <output | grep -F "$message"
}

# Check mode writes nothing, and tells what would be written.
plan --check --diff
[ "$(changed)" = 1 ]
grep -Fx '+Address = 10.44.0.1/32' output
[ ! -e wireguard-plan ] && [ ! -e "$registry" ]

plan
[ "$(ls wireguard-plan)" = "$(printf '%s\n' laptop nas relay1 topology.json topology.mmd web1)" ]
grep -Fx 'Endpoint = 198.51.100.1:51820' wireguard-plan/laptop/wg0.conf
grep -Fx 'AllowedIPs = 10.44.0.3/32, fd44::3/128, 10.44.0.0/24, fd44::/64' wireguard-plan/laptop/wg0.conf
grep -Fx 'PrivateKey = (on the host)' wireguard-plan/laptop/wg0.conf
grep -Fx 'net.ipv6.conf.all.forwarding = 1' wireguard-plan/relay1/sysctl.conf
[ ! -e "$registry" ]

# Again: nothing changes, not even a file's time.
find wireguard-plan -printf '%p %T@\n' | sort >before
plan
[ "$(changed)" = 0 ]
find wireguard-plan -printf '%p %T@\n' | sort | diff before -

# --limit writes those hosts, and plans with all of them.
sed -i 's/^laptop$/laptop wireguard_keepalive=15/; s/^nas$/nas wireguard_keepalive=20/' inventory/hosts.ini
plan --limit laptop
grep -Fx 'PersistentKeepalive = 15' wireguard-plan/laptop/wg0.conf
grep -Fx 'PersistentKeepalive = 25' wireguard-plan/nas/wg0.conf
plan
grep -Fx 'PersistentKeepalive = 20' wireguard-plan/nas/wg0.conf

# The registry: not in check mode; once; never read as an inventory source, though it lies in the inventory's folder.
run record.yml --check
[ ! -e "$registry" ]
run record.yml
grep -F 'nas:' "$registry"
stat -c %Y.%i "$registry" >before
ansible-inventory -i inventory --list >/dev/null
run record.yml
[ "$(changed)" = 0 ]
stat -c %Y.%i "$registry" | diff before -

# A host that left takes its files with it, and nobody else's address; a file of ours stays.
touch wireguard-plan/notes.txt
sed -i '/^nas/d' inventory/hosts.ini
plan
[ ! -e wireguard-plan/nas ] && [ -e wireguard-plan/notes.txt ]
grep -F 'Address = 10.44.0.4/32' wireguard-plan/web1/wg0.conf
run record.yml
lacks 'nas:' "$registry"

# A part of the inventory plans the same, and drops nothing.
cp -r wireguard-plan whole
cp "$registry" registry.before
sed -i '/^web1/d; /^relay1/d' inventory/hosts.ini
run record.yml -e wireguard_partial_inventory=true
diff registry.before "$registry"
plan -e wireguard_partial_inventory=true --limit laptop
diff whole/laptop/wg0.conf wireguard-plan/laptop/wg0.conf

# The same part, taken for the whole, is refused.
refused 'no longer has 2 of the 3 nodes that the registry knows (relay1, web1)' run record.yml
diff registry.before "$registry"

# A damaged registry names its line and is left alone.
echo '  wg0: {' >>"$registry"
cp "$registry" damaged
refused "$work/$registry, line" run record.yml -e wireguard_partial_inventory=true
diff damaged "$registry"
cp registry.before "$registry"

# Every fault of an inventory in one message, each with the host, the variable and what to write.
printf '%s\n' '[wireguard]' "relay1 wireguard_relay=perhaps wireguard_adress=10.44.0.1" "web1 wireguard_subnets='[\"10.44.0.0/16\"]'" 'laptop' >inventory/hosts.ini
refused 'for 3 faults' plan
tr -s ' \n' ' ' <output | grep -F "relay1: wireguard_relay is 'perhaps', which is neither true nor false; write true or false"
tr -s ' \n' ' ' <output | grep -F 'relay1: wireguard_adress is no variable of this collection; did you mean wireguard_address?'
tr -s ' \n' ' ' <output | grep -F "web1: wireguard_subnets has 10.44.0.0/16, which overlaps the network's own cidr 10.44.0.0/24"
