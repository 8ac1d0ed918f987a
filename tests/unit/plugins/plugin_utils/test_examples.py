# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventories plan, and the pictures in the docs are theirs."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.picture import mermaid
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan

ROOT = pathlib.Path(__file__).resolve().parents[4]
PAGE_OF = {"smallest": "README.md", "namespace": "docs/namespaces.md"}
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.yml"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_picture_in_the_docs_is_that_of_the_example(example):
    group = yaml.safe_load((ROOT / "examples" / f"{example}.yml").read_text())["wireguard"]
    hosts = {name: {**group["vars"], **(settings or {})} for name, settings in group["hosts"].items()}
    plan = make_plan(Inventory({"all": list(hosts), "wireguard": list(hosts)}, hosts), {}, {})
    page = (ROOT / PAGE_OF.get(example, "docs/topology.md")).read_text()
    assert f"```mermaid\n{mermaid(plan)}```" in page


def test_there_are_examples():
    assert {
        "smallest",
        "full",
        "internet-browsing",
        "lan-bridging",
        "client-to-server",
        "server-to-server",
        "two-relays",
    } <= set(EXAMPLES)
