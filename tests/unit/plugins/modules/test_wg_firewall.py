# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wirefleet.wireguard.plugins.module_utils import (
    _amendments,
    _backend,
    _firewall,
    _firewalld,
    _iptables,
    _nftables,
    _ufw,
    _unit,
)
from ansible_collections.wirefleet.wireguard.plugins.modules import wg_firewall

UNIT = "wireguard-firewall-wg0.service"
RELAY = {"name": "wg0", "listen_port": 51820, "forward": [{"from": "wg0", "to": "wg0"}]}


class Host:
    """A host with nft and systemctl as far as the module uses them. ``changes`` are the commands that changed it."""

    def __init__(self, folder):
        self.folder = folder
        self.rules_file = folder / "wireguard" / "wg0.nft"
        self.unit_file = folder / "systemd" / UNIT
        self.drop_in = folder / "systemd" / "nftables.service.d" / "wireguard-wg0.conf"
        self.link = folder / "systemd" / "multi-user.target.wants" / UNIT
        self.tables = {}
        self.others = []
        self.running = set()
        self.refuses = None
        self.iptables = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n"
        self.zones, self.only_now = None, ""
        self.listing = "table inet filter { # handle 1\n\tchain fwd { # handle 2\n\t}\n}\n"
        self.changes = []

    def run(self, argv, data=None):
        name, *rest = argv
        words = " ".join(rest)
        if name == "nft":
            return self.nft(words, rest, data)
        if name == "firewall-cmd":
            return self.firewalld(words)
        if name.endswith("tables-save"):
            return 0, f"*filter\n{self.iptables}COMMIT\n", ""
        if name.endswith("tables-restore"):
            return self.restore(name, data)
        return self.systemctl(words)

    def firewalld(self, words):
        if words == "--state":
            return (0 if self.zones is not None else 252), "", ""
        if words == "--get-zones":
            return 0, " ".join(self.zones), ""
        if words in ("--check-config", "--reload"):
            self.changes.append(f"firewall-cmd {words}")
            if self.refuses:
                return 1, "", self.refuses
            self.zones = sorted(path.stem for path in (self.folder / "zones").iterdir())
            return 0, "", ""
        return 0, "" if "--permanent" in words else self.only_now, ""

    def restore(self, name, data):
        """One host has both versions in one text."""
        self.changes.append(f"{name} {data}")
        added = [line for line in data.splitlines() if line.startswith((":", "-A", "-I"))]
        gone = [line.split()[1] for line in data.splitlines() if line.startswith("-X")]
        if name == "iptables-restore":
            ours = [line.replace("-I", "-A") for line in added if line.split()[0][1:] not in gone]
            theirs = [line for line in self.iptables.splitlines() if "wg-" not in line]
            self.iptables = "".join(f"{line}\n" for line in theirs + ours)
        return 0, "", ""

    def nft(self, words, rest, data):
        if words == "list tables inet":
            return 0, "".join(f"table inet {table}\n" for table in self.tables), ""
        if words == "--json --terse list ruleset":
            if self.others is None:
                return 1, "", "Error: JSON support not compiled-in"
            return 0, json.dumps({"nftables": self.others}), ""
        if rest[:2] == ["list", "table"]:
            return 1, "", "Error: No such file or directory"
        if words == "--stateless --terse --handle list ruleset":
            return 0, self.listing, ""
        if words.startswith("--stateless list table inet "):
            found = self.tables.get(rest[-1])
            return (1, "", "Error: No such file or directory") if found is None else (0, found, "")
        self.changes.append(f"nft {words}")
        if self.refuses:
            return 1, "", self.refuses
        if words == "--file -" and data.startswith(("insert rule", "delete rule")):
            self.amend(data)
        elif words == "--file -":
            self.load(data)
        else:
            raise AssertionError(words)
        return 0, "", ""

    def load(self, text):
        first, second, table = text.split("\n", 2)
        assert second == f"delete {first}"
        self.tables.pop(first.split()[-1], None)
        if table:
            self.tables[first.split()[-1]] = table

    def amend(self, text):
        """One chain of others, its rules ours."""
        lines = self.listing.splitlines()[2:-2]
        for number, line in enumerate(text.splitlines(), 10):
            verb, _rule, family, table, chain, *rule = line.split(" ", 5)
            assert (family, table, chain) == ("inet", "filter", "fwd")
            if verb == "insert":
                lines.insert(0, f"\t\t{rule[0]} # handle {number}")
            else:
                lines = [each for each in lines if not each.endswith(f" # {rule[0]}")]
        head = "table inet filter { # handle 1\n\tchain fwd { # handle 2\n"
        self.listing = head + "".join(f"{line}\n" for line in lines) + "\t}\n}\n"

    def systemctl(self, words):
        verb, unit = words.split()[0], words.split()[-1]
        if verb == "is-active":
            return (0 if unit in self.running else 3), "", ""
        self.changes.append(f"systemctl {words}")
        link = self.link.parent / unit
        if verb == "enable":
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self.unit_file.parent / unit)
        elif verb == "disable":
            link.unlink()
        elif verb == "start":
            self.running.add(unit)
            if unit == UNIT:
                self.load(self.rules_file.read_text())
        elif verb == "stop":
            self.running.remove(unit)
            if unit == UNIT:
                self.tables.pop("wireguard_wg0", None)
        else:
            assert words == "daemon-reload"
        return 0, "", ""

    def look(self):
        files = {str(path): path.read_text() for path in self.folder.rglob("*") if path.is_file()}
        links = {path.name for path in self.folder.rglob("*") if path.is_symlink()}
        return files, dict(self.tables), self.iptables, self.listing, set(self.running), links


@pytest.fixture
def host(monkeypatch, tmp_path):
    host = Host(tmp_path)
    host.commands = {"nft": "nft", "systemctl": "systemctl", "sh": "sh"}
    host.systemd = True
    packaged = tmp_path / "packaged"
    packaged.mkdir()
    (packaged / "nftables.service").touch()
    for backend, suffix in (
        (_nftables.Nftables, "nft"),
        (_iptables.Iptables, "iptables"),
        (_amendments.Amendments, "amendments"),
    ):
        monkeypatch.setattr(backend, "rules_file", f"{tmp_path}/wireguard/{{}}.{suffix}")
    monkeypatch.setattr(_backend, "UNITS", f"{tmp_path}/systemd")
    monkeypatch.setattr(_backend, "PACKAGED_UNITS", (str(packaged),))
    monkeypatch.setattr(_backend, "service", lambda run, name: _unit.Systemd(run, name) if host.systemd else None)
    monkeypatch.setattr(_ufw, "SETTINGS", f"{tmp_path}/ufw/ufw.conf")
    monkeypatch.setattr(_ufw, "AFTER_INIT", f"{tmp_path}/ufw/after.init")
    monkeypatch.setattr(_firewalld, "ZONES", f"{tmp_path}/zones")
    monkeypatch.setattr(_firewalld, "POLICIES", f"{tmp_path}/policies")
    monkeypatch.setattr(_firewalld.Firewalld, "rules_file", f"{tmp_path}/zones/{{}}.xml")
    monkeypatch.setattr(_iptables, "PLUGINS", f"{tmp_path}/plugins")
    for module in (_firewall, _iptables, _firewalld, _amendments, _ufw):
        monkeypatch.setattr(module, "find", host.commands.get)
    monkeypatch.setattr(_amendments, "default_route_interfaces", lambda: {"eth0"})
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, argv, data=None: host.run(argv, data))
    monkeypatch.setattr(_nftables._conntrack, "inbound", lambda: ["session"])
    monkeypatch.setattr(_nftables._conntrack, "track", lambda sessions: host.changes.append(f"track {sessions}"))
    return host


def mode(path):
    return path.stat().st_mode & 0o7777


def test_present(run_module, host):
    result = run_module(wg_firewall, **RELAY)
    assert result["changed"]
    assert (result["backend"], result["persistent"], result["blocked_by"]) == ("nftables", True, [])
    assert "udp dport 51820 counter accept" in host.tables["wireguard_wg0"]
    assert [mode(each) for each in (host.rules_file, host.rules_file.parent)] == [0o600, 0o700]
    assert [mode(each) for each in (host.unit_file, host.drop_in)] == [0o644, 0o644]
    assert f"ExecStart=nft --file {host.rules_file}\n" in host.unit_file.read_text()
    assert "\nWantedBy=multi-user.target\n" in host.unit_file.read_text()
    assert f"ExecStartPost=-nft --file {host.rules_file}\nExecReload=-nft --file {host.rules_file}\n" in (
        host.drop_in.read_text()
    )
    assert host.running == {UNIT}
    assert host.link.is_symlink()


def test_what_is_left_of_an_interface_is_found_whatever_it_is(run_module, host):
    assert _firewall.interfaces_with_rules(host.run) == []
    run_module(wg_firewall, **RELAY)
    assert _firewall.interfaces_with_rules(host.run) == ["wg0"]
    host.drop_in.unlink()
    host.rules_file.unlink()
    host.tables["filter"] = ""
    assert _firewall.interfaces_with_rules(host.run) == ["wg0"]
    del host.tables["wireguard_wg0"]
    assert _firewall.interfaces_with_rules(host.run) == []
    host.rules_file.touch()
    assert _firewall.interfaces_with_rules(host.run) == ["wg0"]
    host.rules_file.unlink()
    host.drop_in.touch()
    assert _firewall.interfaces_with_rules(host.run) == ["wg0"]


def test_a_second_run_issues_no_changing_command(run_module, host):
    run_module(wg_firewall, **RELAY)
    host.changes.clear()
    result = run_module(wg_firewall, **RELAY)
    assert not result["changed"]
    assert result["diff"] == []
    assert host.changes == []


def test_one_transaction_for_a_change(run_module, host):
    run_module(wg_firewall, **RELAY)
    host.changes.clear()
    assert run_module(wg_firewall, **{**RELAY, "listen_port": 51821})["changed"]
    assert host.changes == ["nft --file -"]
    assert "udp dport 51821 counter accept" in host.rules_file.read_text()


def drift_table(host):
    host.tables["wireguard_wg0"] = host.tables["wireguard_wg0"].replace("51820", "1")


def drift_flush(host):
    host.tables.clear()


def drift_rules_file(host):
    host.rules_file.write_text("")


def drift_unit(host):
    host.unit_file.write_text("[Unit]\n")


def drift_drop_in(host):
    host.drop_in.unlink()


def drift_disabled(host):
    host.link.unlink()


def drift_inactive(host):
    host.running.clear()


@pytest.mark.parametrize(
    "drift",
    [drift_table, drift_flush, drift_rules_file, drift_unit, drift_drop_in, drift_disabled, drift_inactive],
)
def test_drift_is_shown_and_repaired(run_module, host, drift):
    run_module(wg_firewall, **RELAY)
    right = host.look()
    drift(host)
    wrong = host.look()
    assert wrong != right
    predicted = run_module(wg_firewall, check=True, **RELAY)
    assert host.look() == wrong
    result = run_module(wg_firewall, **RELAY)
    assert host.look() == right
    assert result["changed"]
    assert len(result["diff"]) == 1
    assert predicted["diff"] == result["diff"]


@pytest.mark.parametrize("removal", [{"name": "wg0", "state": "absent"}, {"name": "wg0"}])
def test_removal_leaves_nothing(run_module, host, removal):
    (host.folder / "systemd").mkdir()
    (host.folder / "wireguard").mkdir(mode=0o700)
    before = host.look()
    run_module(wg_firewall, **RELAY)
    predicted = run_module(wg_firewall, check=True, **removal)
    result = run_module(wg_firewall, **removal)
    assert result["changed"]
    assert predicted["diff"] == result["diff"]
    assert host.look() == before
    assert not host.drop_in.parent.exists()
    host.changes.clear()
    assert not run_module(wg_firewall, **removal)["changed"]
    assert host.changes == []


def test_drop_ins_of_others_stay(run_module, host):
    run_module(wg_firewall, **RELAY)
    other = host.drop_in.parent / "wireguard-wg1.conf"
    other.write_text("")
    run_module(wg_firewall, name="wg0", state="absent")
    assert list(host.drop_in.parent.iterdir()) == [other]


def test_removal_after_a_flush(run_module, host):
    run_module(wg_firewall, **RELAY)
    host.tables.clear()
    assert run_module(wg_firewall, name="wg0", state="absent")["changed"]
    assert not host.unit_file.exists()


def test_check_mode_on_a_fresh_host(run_module, host):
    before = host.look()
    predicted = run_module(wg_firewall, check=True, **RELAY)
    assert host.look() == before
    assert host.changes == []
    assert run_module(wg_firewall, **RELAY)["diff"] == predicted["diff"]


def test_what_nft_refuses_is_not_kept_for_the_next_boot(run_module, host):
    before = host.look()
    host.refuses = "Error: Could not process rule: Operation not supported"
    result = run_module(wg_firewall, **RELAY)
    assert result["failed"]
    assert result["msg"] == "'nft --file -' failed: Error: Could not process rule: Operation not supported"
    assert host.look() == before


def test_without_systemd(run_module, host):
    host.systemd = False
    result = run_module(wg_firewall, **RELAY)
    assert (result["changed"], result["persistent"]) == (True, False)
    assert f"nothing on this host loads {host.rules_file} at boot" in str(result["warnings"])
    assert host.rules_file.exists()
    assert not host.unit_file.exists()
    assert host.changes == ["nft --file -"]
    again = run_module(wg_firewall, **RELAY)
    assert not again["changed"]
    assert "warnings" not in again
    assert run_module(wg_firewall, name="wg0", state="absent")["persistent"] is True
    assert not host.rules_file.exists()


def test_a_name_that_no_unit_may_have(run_module, host):
    predicted = run_module(wg_firewall, check=True, name="a=b+c", listen_port=1)
    titles = [entry["after_header"] for entry in predicted["diff"]]
    assert titles == [
        "table inet wireguard_a/3db/2bc",
        f"{host.folder}/systemd/wireguard-firewall-a\\x3db\\x2bc.service",
        f"{host.folder}/systemd/nftables.service.d/wireguard-a=b+c.conf",
        f"{host.folder}/wireguard/a=b+c.nft",
        "wireguard-firewall-a\\x3db\\x2bc.service",
    ]


def test_a_chain_that_would_still_drop(run_module, host):
    host.others = [{"chain": FORWARDS}]
    result = run_module(wg_firewall, **RELAY)
    rule = 'insert rule inet filter fwd iifname "wg0" oifname "wg0" accept'
    assert result["blocked_by"] == [
        {
            "family": "inet",
            "table": "filter",
            "chain": "fwd",
            "hook": "forward",
            "traffic": 'iifname "wg0" oifname "wg0"',
            "rule": rule,
        }
    ]
    (warning,) = result["warnings"]
    assert (
        'the chain \'fwd\' of table inet filter drops iifname "wg0" oifname "wg0": add that to its ruleset, '
        f"or let amend do it. Until that is loaded anew, this does: nft '{rule}'"
    ) in (warning if isinstance(warning, str) else warning["event"]["msg"])


def test_an_nft_without_json(run_module, host):
    host.others = None
    result = run_module(wg_firewall, **RELAY)
    assert result["changed"]
    assert result["blocked_by"] == []
    assert (
        "cannot tell whether other rules on this host drop what shall pass: "
        "'nft --json --terse list ruleset' failed: Error: JSON support not compiled-in"
    ) in str(result["warnings"])


def test_no_nft_and_nothing_filters(run_module, host):
    del host.commands["nft"]
    result = run_module(wg_firewall, **RELAY)
    assert (result["changed"], result["backend"]) == (False, "none")


@pytest.mark.parametrize("theirs", [":INPUT DROP [0:0]\n", ":INPUT ACCEPT [0:0]\n-A FORWARD -j REJECT\n"])
def test_where_iptables_filters_our_chains_are_there(run_module, host, theirs):
    host.commands.update(iptables="iptables", ip6tables="ip6tables")
    host.iptables = theirs
    before = host.look()
    predicted = run_module(wg_firewall, check=True, **RELAY)
    assert host.look() == before
    made = run_module(wg_firewall, **RELAY)
    assert (made["changed"], made["backend"], made["blocked_by"]) == (True, "iptables", [])
    assert made["diff"] == predicted["diff"]
    assert [entry["after_header"] for entry in made["diff"]] == [
        "iptables",
        "ip6tables",
        f"{host.folder}/systemd/wireguard-iptables-wg0.service",
        f"{host.folder}/systemd/nftables.service.d/iptables-wireguard-wg0.conf",
        f"{host.folder}/wireguard/wg0.iptables",
        "wireguard-iptables-wg0.service",
    ]
    assert host.tables == {}
    assert _firewall.interfaces_with_rules(host.run) == ["wg0"]
    host.changes.clear()
    again = run_module(wg_firewall, **RELAY)
    assert (again["changed"], again["diff"], host.changes) == (False, [], [])
    assert run_module(wg_firewall, name="wg0", state="absent")["changed"]
    assert host.look() == before


def test_another_back_end_takes_over_and_leaves_nothing(run_module, host):
    host.commands.update(iptables="iptables", ip6tables="ip6tables")
    with_table = run_module(wg_firewall, **RELAY) and host.look()
    assert run_module(wg_firewall, **RELAY, backend="iptables")["changed"]
    assert host.tables == {} and "wg-in-wg0" in host.iptables
    assert not host.rules_file.exists()
    assert host.running == {"wireguard-iptables-wg0.service"}
    # Its own chains are no firewall of others.
    assert run_module(wg_firewall, **RELAY)["backend"] == "nftables"
    assert host.look() == with_table


def test_a_kill_switch_is_in_nftables_whatever_else_is(run_module, host):
    host.commands.update(iptables="iptables")
    options = {**RELAY, "backend": "iptables", "kill_switch": {"fwmark": 51820}}
    assert run_module(wg_firewall, **options)["backend"] == "iptables"
    assert "chain output" in host.tables["wireguard_wg0"] and "chain input" not in host.tables["wireguard_wg0"]
    assert "wg-in-wg0" in host.iptables
    assert not run_module(wg_firewall, **options)["changed"]
    del host.commands["nft"]
    assert "the kill switch needs the command 'nft'" in run_module(wg_firewall, **options)["msg"]


def test_a_back_end_that_the_host_lacks(run_module, host):
    result = run_module(wg_firewall, **RELAY, backend="iptables")
    assert result["msg"] == "the command 'iptables' is missing on this host: install the package iptables"
    host.commands["iptables"] = "iptables"
    result = run_module(wg_firewall, **RELAY, backend="ufw")
    assert "backend is ufw, which is not active on this host" in result["msg"]
    result = run_module(wg_firewall, **RELAY, backend="firewalld")
    assert "backend is firewalld, which does not run on this host" in result["msg"]


def test_ufw_loads_our_chains_again(run_module, host):
    host.commands.update(iptables="iptables", ufw="ufw")
    (host.folder / "ufw").mkdir()
    (host.folder / "ufw" / "ufw.conf").write_text("ENABLED=yes\n")
    after_init = host.folder / "ufw" / "after.init"
    after_init.write_text("#!/bin/sh\n: theirs\n")
    after_init.chmod(0o640)
    before = host.look()
    assert run_module(wg_firewall, **RELAY)["backend"] == "ufw"
    assert f"sh {host.folder}/wireguard/wg0.iptables" in after_init.read_text()
    assert mode(after_init) == 0o750
    assert not run_module(wg_firewall, **RELAY)["changed"]
    run_module(wg_firewall, name="wg0", state="absent")
    assert host.look() == before
    assert mode(after_init) == 0o640


def test_netfilter_persistent_loads_our_chains_again(run_module, host):
    host.commands["iptables"] = "iptables"
    plugins = host.folder / "plugins"
    plugins.mkdir()
    run_module(wg_firewall, name="a=b", listen_port=1, backend="iptables")
    (plugin,) = plugins.iterdir()
    assert (plugin.name, mode(plugin)) == ("60-wireguard-a_3db", 0o755)
    assert plugin.read_text().endswith(f'[ "$1" != start ] || sh {host.folder}/wireguard/a=b.iptables\n')
    run_module(wg_firewall, name="a=b", state="absent", backend="iptables")
    assert list(plugins.iterdir()) == []


@pytest.fixture
def firewalld(host):
    """firewalld runs on the host, with one zone."""
    host.commands["firewall-cmd"] = "firewall-cmd"
    host.zones = ["public"]
    for folder in ("zones", "policies", "wireguard", "systemd"):
        (host.folder / folder).mkdir()
    (host.folder / "zones" / "public.xml").write_text('<zone><service name="ssh"/></zone>')
    return host


def test_firewalld_opens_and_a_table_does_the_rest(run_module, firewalld):
    before = firewalld.look()
    predicted = run_module(wg_firewall, check=True, **RELAY)
    assert firewalld.look() == before
    made = run_module(wg_firewall, **RELAY)
    assert (made["backend"], made["persistent"], made["diff"]) == ("firewalld", True, predicted["diff"])
    assert firewalld.zones == ["public", "wg0"]
    assert "ssh" in (firewalld.folder / "zones/wg0.xml").read_text()
    assert [path.name for path in (firewalld.folder / "policies").iterdir()] == ["wg0-in.xml"]
    assert "chain forward" in firewalld.tables["wireguard_wg0"]
    assert _firewall.interfaces_with_rules(firewalld.run) == ["wg0"]
    firewalld.changes.clear()
    assert not run_module(wg_firewall, **RELAY)["changed"]
    assert firewalld.changes == []
    # Another kind takes over.
    assert run_module(wg_firewall, **RELAY, backend="nftables")["changed"]
    assert firewalld.zones == ["public"]
    run_module(wg_firewall, **RELAY)
    assert run_module(wg_firewall, name="wg0", state="absent")["changed"]
    assert firewalld.look() == before
    assert firewalld.zones == ["public"]


def test_what_firewalld_has_only_now_is_not_lost(run_module, firewalld):
    firewalld.only_now = "public\n  services: https\n"
    before = firewalld.look()
    result = run_module(wg_firewall, **RELAY)
    assert (
        result["failed"]
        and "firewalld has settings that the reload which this change needs would lose" in result["msg"]
    )
    assert firewalld.look() == before
    assert firewalld.changes == []


def test_what_firewalld_refuses_is_not_kept(run_module, firewalld):
    firewalld.refuses = "INVALID_ZONE"
    before = firewalld.look()
    assert run_module(wg_firewall, **RELAY)["msg"] == "'firewall-cmd --check-config' failed: INVALID_ZONE"
    assert firewalld.look() == before


@pytest.mark.parametrize(
    ("name", "zone", "said"),
    [
        ("a=b", None, "firewalld allows no zone a=b"),
        ("wg0", ("wg0", "<zone/>"), "firewalld has a zone wg0 already"),
        ("wg0", ("work", '<zone><interface name="wg0"/></zone>'), "the zone work of firewalld has wg0"),
    ],
)
def test_what_is_in_the_way_of_a_zone(run_module, firewalld, name, zone, said):
    if zone:
        (firewalld.folder / "zones" / f"{zone[0]}.xml").write_text(zone[1])
    before = firewalld.look()
    assert said in run_module(wg_firewall, name=name, listen_port=1)["msg"]
    assert firewalld.look() == before


FORWARDS = {"family": "inet", "table": "filter", "name": "fwd", "type": "filter", "hook": "forward", "policy": "drop"}


def test_chains_of_others_are_amended_by_permission(run_module, host):
    host.others = [{"chain": FORWARDS}]
    run_module(wg_firewall, **RELAY)
    without = host.look()
    predicted = run_module(wg_firewall, check=True, **RELAY, amend=True)
    assert host.look() == without
    made = run_module(wg_firewall, **RELAY, amend=True)
    assert (made["changed"], made["blocked_by"], made["diff"]) == (True, [], predicted["diff"])
    assert "warnings" not in made
    rule = 'iifname "wg0" oifname "wg0" accept comment "wireguard wg0"'
    assert made["diff"][0]["after"] == f"inet filter fwd {rule}\n"
    assert f"\tchain fwd {{ # handle 2\n\t\t{rule} # handle 10\n" in host.listing
    assert f"insert 'inet filter fwd' '{rule}'\n" in (host.folder / "wireguard/wg0.amendments").read_text()
    # What nft says then; our own rule is no reason to think that it is not needed.
    accept = {"comment": "wireguard wg0", "expr": [{"accept": None}]}
    host.others.append({"rule": {"family": "inet", "table": "filter", "chain": "fwd", **accept}})
    host.changes.clear()
    assert not run_module(wg_firewall, **RELAY, amend=True)["changed"]
    assert host.changes == []
    revoked = run_module(wg_firewall, **RELAY)
    assert revoked["changed"] and revoked["blocked_by"]
    assert host.look() == without


def test_no_nft_and_masquerading(run_module, host):
    del host.commands["nft"]
    result = run_module(wg_firewall, **RELAY, masquerade=[{"source": "10.44.0.0/24"}])
    assert result["msg"] == (
        "masquerading needs the command 'nft', which this host lacks: install the package nftables"
    )


def test_no_nft_though_it_is_asked_for(run_module, host):
    del host.commands["nft"]
    result = run_module(wg_firewall, **RELAY, backend="nftables")
    assert result["msg"] == "the command 'nft' is missing on this host: install the package nftables"


def test_no_nft_and_nothing_wanted(run_module, host):
    del host.commands["nft"]
    assert not run_module(wg_firewall, name="wg0", state="absent")["changed"]


def test_hands_off(run_module, host):
    run_module(wg_firewall, **RELAY)
    before = host.look()
    result = run_module(wg_firewall, **{**RELAY, "listen_port": 1}, backend="none")
    assert (result["changed"], result["backend"]) == (False, "none")
    assert host.look() == before


def test_default_routes(monkeypatch):
    files = {
        "/proc/net/route": (
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
            "eth0\t00000000\t016433C6\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
            "wg0\t00002C0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        ),
        "/proc/net/ipv6_route": (
            f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n"
            f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 28} 00000400 00000001 00000000 00000003     eth1\n"
        ),
    }
    monkeypatch.setattr(_amendments, "text_of", files.get)
    assert _amendments.default_route_interfaces() == {"eth0", "eth1"}
    monkeypatch.setattr(_amendments, "text_of", {}.get)
    assert _amendments.default_route_interfaces() == set()


def test_no_kill_switch_is_left_out_in_silence(run_module, host):
    result = run_module(wg_firewall, name="wg0", backend="none", kill_switch={"fwmark": 51820})
    assert result["failed"] and "kill_switch needs rules" in result["msg"]
    assert host.changes == []


def test_open_sessions_are_tracked_before_a_kill_switch(run_module, host):
    run_module(wg_firewall, **RELAY)
    assert not [change for change in host.changes if change.startswith("track")]
    host.changes.clear()
    run_module(wg_firewall, **RELAY, kill_switch={"fwmark": 51820})
    assert host.changes[:2] == ["track ['session']", "nft --file -"]


def test_kill_switch_is_refused_where_it_would_cut(run_module, host, monkeypatch):
    def not_supported(_sessions):
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(_nftables._conntrack, "track", not_supported)
    result = run_module(wg_firewall, name="wg0", kill_switch={"fwmark": 51820})
    assert "a kill switch would cut off the connections" in result["msg"]
    assert "nf_conntrack_netlink" in result["msg"]
    assert host.changes == []


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("file", ["rules_file", "unit_file", "drop_in"])
def test_a_link_in_the_place_of_a_file_is_refused(run_module, host, file, state):
    run_module(wg_firewall, **RELAY)
    link = getattr(host, file)
    link.unlink()
    link.symlink_to("elsewhere")
    (link.parent / "elsewhere").write_text("mine")
    before = host.look()
    host.changes.clear()
    for check in (True, False):
        result = run_module(wg_firewall, check=check, **{**RELAY, "listen_port": 1, "state": state})
        assert result["msg"] == (
            f"{link} is a symbolic link to elsewhere: it is neither followed nor replaced; put the file itself there, "
            "or remove the link"
        )
    assert host.look() == before and host.changes == []
