#!/usr/bin/env bash
# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# shellcheck source=tests/integration/targets/setup_box/box.sh
. ../setup_box/box.sh

ansible-playbook -i localhost, -c local test.yml "$@"
bash secrets.sh
