#!/usr/bin/env bash
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# How fast wg_interface is, next to wg-quick and to merely looking. As root; about two minutes; nothing leaves the machine.
# Needs ANSIBLE_COLLECTIONS_PATH to lead to this collection, and an ansible-core in the python that is found first.

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/integration/targets/setup_box/box.sh
. "$here/../integration/targets/setup_box/box.sh"

python "$here/wg_interface.py" "$@"
