# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan becomes outside of Python: files, the picture, the folder, the registry's file, the verdict."""

from __future__ import annotations

import concurrent.futures
import json
import os
import stat

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.inventory import Inventory
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.picture import mermaid
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan import make_plan
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan_folder import LISTING, PlanFolder
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.registry_file import (
    FILE_NAME,
    RegistryFile,
    default_path,
)
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.rendering import host_slice, plan_files
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.verdict import Ping, judge
from ansible_collections.wirefleet.wireguard.tests.unit.plugins.plugin_utils.networks import (
    FULL,
    RELAY,
    key_of,
    plan_of,
)

LAPTOP = f"""\
# laptop in wg0
[Interface]
PrivateKey = (on the host)
Address = 10.0.44.4/32

[Peer]
# public-server1
PublicKey = {key_of("public-server1")}
AllowedIPs = 10.0.44.1/32, 10.0.44.0/24
Endpoint = 198.51.100.1:51820
PersistentKeepalive = 25

[Peer]
# public-server2
PublicKey = {key_of("public-server2")}
AllowedIPs = 10.0.44.2/32
Endpoint = 198.51.100.2:51820
PersistentKeepalive = 25
"""

PICTURE = """\
flowchart LR
  %% hexagon: relay, box: public, rounded: NAT-ed; thick line: to the home relay, thin line: direct tunnel
  n0_3{{"public-server1<br/>10.0.44.1"}}
  n0_4["public-server2<br/>10.0.44.2"]
  subgraph n0_s0["home 1"]
    n0_0("home-server<br/>10.0.44.3")
    n0_1("laptop<br/>10.0.44.4")
    n0_2("phone<br/>10.0.44.5")
  end
"""


def test_the_files_of_the_published_network():
    files = plan_files(plan_of(FULL, cidr="10.0.44.0/24"))
    assert sorted(files) == [
        "home-server/wg0.conf",
        "laptop/wg0.conf",
        "phone/wg0.conf",
        "public-server1/firewall.nft",
        "public-server1/sysctl.conf",
        "public-server1/wg0.conf",
        "public-server2/firewall.nft",
        "public-server2/wg0.conf",
        "topology.json",
        "topology.mmd",
    ]
    assert files["laptop/wg0.conf"] == LAPTOP
    assert files["public-server1/sysctl.conf"] == "net.ipv4.ip_forward = 1\n"
    assert json.loads(files["topology.json"])["networks"]["wg0"]["nodes"]["laptop"]["relay"] == "public-server1"


def test_a_plan_before_any_key_is_known():
    files = plan_files(plan_of(FULL, cidr="10.0.44.0/24", with_keys=False))
    assert "PublicKey = (public-server1 has no key yet)" in files["laptop/wg0.conf"]


def test_a_key_in_a_hook_is_not_in_the_files():
    hook = f"wg set %i peer {key_of('web')} preshared-key <(echo {key_of('secret')})"
    plan = plan_of({"relay": RELAY, "laptop": {"post_up": hook}}, cidr="10.0.44.0/24")
    text = plan_files(plan)["laptop/wg0.conf"]
    assert f"PostUp = wg set %i peer {key_of('web')} preshared-key <(echo (on the host))\n" in text
    assert host_slice(plan.hosts()["laptop"])["interfaces"][0]["post_up"] == [hook]


def test_a_hosts_part_is_data():
    plan = plan_of(FULL, cidr="10.0.44.0/24", dns=["10.0.44.1", "example.net"])
    part = host_slice(plan.hosts()["laptop"])
    assert json.loads(json.dumps(part)) == part
    assert (part["interfaces"][0]["dns"], part["interfaces"][0]["dns_search"]) == (["10.0.44.1"], ["example.net"])
    assert [(target["name"], target["hops"]) for target in part["ping"][0]["targets"]] == [
        ("home-server", 1),
        ("phone", 1),
        ("public-server1", 0),
        ("public-server2", 0),
    ]


def test_a_large_network_pings_a_sample():
    plan = plan_of({"relay": RELAY, **{f"n{number}": {} for number in range(400)}}, cidr="10.44.0.0/16", topology="hub")
    pings = {
        name: [target["name"] for target in host_slice(parts)["ping"][0]["targets"]]
        for name, parts in plan.hosts().items()
    }
    assert {len(targets) for targets in pings.values()} == {32}
    assert all(name not in targets and len(set(targets)) == 32 for name, targets in pings.items())
    assert {target for targets in pings.values() for target in targets} == set(pings)


def test_the_picture():
    plain = mermaid(plan_of(FULL, cidr="10.0.44.0/24"))
    assert plain.count("===") == 3 and plain.count("---") == 4
    sites = {
        name: {**settings, **({} if "endpoint" in settings else {"site": "home 1"})} for name, settings in FULL.items()
    }
    assert mermaid(plan_of(sites, cidr="10.0.44.0/24")).startswith(PICTURE)


def test_the_picture_of_a_large_network_is_a_summary():
    text = mermaid(plan_of({"relay": RELAY, "web": {"endpoint": "web"}, **{f"n{number}": {} for number in range(60)}}))
    assert 'n0_0_served("60 nodes") === n0_0' in text and "1 public nodes with direct tunnels" in text
    assert len(text.splitlines()) < 10


def test_the_picture_of_two_networks():
    networks = {name: {"group": "all", "cidr": cidr} for name, cidr in (("a", "10.1.0.0/24"), ("b", "10.2.0.0/24"))}
    networks["b"]["port"] = 51821
    variables = {"relay": {"wireguard_networks": networks, "wireguard_endpoint": "relay", "wireguard_relay": True}}
    text = mermaid(make_plan(Inventory({"all": ["relay"]}, variables), {}, {}))
    assert '  subgraph n0["a"]' in text and '  subgraph n1["b"]' in text


def test_a_folder_gets_what_differs_and_loses_what_left(tmp_path):
    folder = PlanFolder(str(tmp_path / "plan"))
    files = {"a/wg0.conf": "A", "b/wg0.conf": "B", "topology.json": "T"}
    folder.apply(folder.changes(files, {"a", "b"}))
    (tmp_path / "plan/mine.txt").write_text("mine")
    assert folder.changes(files, {"a", "b"}) == []
    # Limited to a: b's file stays as it is, although the plan has another one now.
    limited = folder.changes({**files, "a/wg0.conf": "A2", "b/wg0.conf": "B2"}, {"a"})
    assert [(os.path.basename(os.path.dirname(change.path)), change.before, change.after) for change in limited] == [
        ("a", "A", "A2")
    ]
    folder.apply(folder.changes({"a/wg0.conf": "A", "topology.json": "T"}, {"a"}))
    assert sorted(os.listdir(tmp_path / "plan")) == [LISTING, "a", "mine.txt", "topology.json"]


def test_the_registry_file_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "new" / FILE_NAME
    with RegistryFile(str(path)) as file:
        assert file.read() == ""
        file.write("one")
    path.chmod(0o640)
    with RegistryFile(str(path)) as file:
        file.write("two")
    assert path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == [FILE_NAME]


def _append(path):
    with RegistryFile(path) as file:
        file.write(file.read() + "x")


def test_two_controllers_do_not_overwrite_each_other(tmp_path):
    path = str(tmp_path / FILE_NAME)
    # The lock is of the open folder, not of the process, so threads compete as controllers do.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(_append, [path] * 100))
    assert len((tmp_path / FILE_NAME).read_text()) == 100


def test_the_registry_lies_beside_the_first_inventory_source(tmp_path):
    (tmp_path / "prod").mkdir()
    (tmp_path / "prod/hosts.yml").write_text("")
    beside = str(tmp_path / "prod" / FILE_NAME)
    assert default_path([str(tmp_path / "prod/hosts.yml"), "/etc"], "/w") == beside
    assert default_path([str(tmp_path / "prod")], "/w") == beside
    assert default_path(["a,b,"], "/w") == f"/w/{FILE_NAME}"


def ping(source, target, path, ttl=64, as_planned=True):
    return Ping("wg0", source, target, f"10.44.0.{len(target)}", path, ttl, as_planned)


def test_the_verdict_shows_the_matrix():
    verdict = judge([ping("a", "bb", "direct"), ping("bb", "a", "relayed", 63)], {"a", "bb"})
    assert verdict.summary == ["wg0: 2 of 2 pings answered, 1 direct, 1 through relays"]
    assert verdict.failures == [] and verdict.silent == []
    assert verdict.matrix[1:3] == ["  1 a       .    64", "  2 bb    63*     ."]


@pytest.mark.parametrize(
    ("found", "failures"),
    [
        (ping("a", "b", "none", None, False), ["wg0: a gets no answer from b (10.44.0.1)"]),
        (
            ping("a", "b", "none", None, False)._replace(planned=0),
            ["wg0: a gets no answer from b (10.44.0.1) over their own tunnel"],
        ),
        (
            ping("a", "b", "none", None, False)._replace(planned=1),
            ["wg0: a gets no answer from b (10.44.0.1) through a relay"],
        ),
        (
            ping("a", "b", "relayed", 63, False),
            ["wg0: a reaches b (10.44.0.1) relayed with ttl 63, which is not the planned path"],
        ),
    ],
)
def test_the_verdict_fails_for_hosts_of_this_run_only(found, failures):
    assert judge([found], {"a", "b"}).failures == failures
    alone = judge([found], {"a"})
    assert alone.failures == [] and alone.silent == (["b"] if found.path == "none" else [])
