# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    """Runs wg_info on the host and checks its answer; see the module's documentation."""
