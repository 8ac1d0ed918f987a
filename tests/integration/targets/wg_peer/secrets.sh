#!/usr/bin/env bash
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs secrets.yml, in the box of the target, for several forms of one key: as verbosely as Ansible can, with diffs and
# tracebacks, and with a journal that keeps every field. Then nothing of the key may be in all that was said and logged.

set -euo pipefail

mkdir -p /run/python/systemd
touch /run/python/systemd/__init__.py
echo 'def booted(): return True' > /run/python/systemd/daemon.py
cat > /run/python/systemd/journal.py <<'END'
def sendv(*fields): pass
def send(*args, **fields):
    with open("/run/journal", "a") as file:
        print(args, fields, file=file)
END

key=$(wg genpsk)
# What nobody would take for a key, wg least of all, is one that was copied badly.
forms=("${key%=}" "${key:0:9}x${key:9}" "${key:0:20} ${key:20}"$'\r' "$key")
for form in "${forms[@]}"; do
    printf %s "$form" > /run/form
    [ "$form" = "$key" ] && right=true || right=false
    PYTHONPATH=/run/python:$PYTHONPATH ANSIBLE_DISPLAY_TRACEBACK=always \
        ansible-playbook -i localhost, -c local secrets.yml -vvvv --diff -e "{\"right\": $right}" >> /run/said 2>&1 ||
        { tail -n 60 /run/said; exit 1; }
done
grep -c 'Invoked with' /run/journal
for place in /run/said /run/journal; do
    for ((at = 0; at + 8 <= ${#key}; at++)); do
        if grep -iqF -- "${key:at:8}" "$place"; then
            echo "$place has a part of the key:" >&2
            grep -iF -m 3 -- "${key:at:8}" "$place" | cut -c 1-400 >&2
            exit 1
        fi
    done
done
echo "nothing of the key was said or logged, in ${#forms[@]} forms"
