# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wirefleet.wireguard.plugins.module_utils import _firewall, _unit
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
        self.active = False
        self.refuses = None
        self.iptables = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n"
        self.changes = []

    def run(self, argv, data=None):
        name, *rest = argv
        words = " ".join(rest)
        if name == "nft":
            return self.nft(words, rest, data)
        if name in ("iptables", "ip6tables"):
            return 0, self.iptables, ""
        return self.systemctl(words)

    def nft(self, words, rest, data):
        if words == "list tables inet":
            return 0, "".join(f"table inet {table}\n" for table in self.tables), ""
        if words == "--json --terse list ruleset":
            if self.others is None:
                return 1, "", "Error: JSON support not compiled-in"
            return 0, json.dumps({"nftables": self.others}), ""
        if words.startswith("--stateless list table inet "):
            found = self.tables.get(rest[-1])
            return (1, "", "Error: No such file or directory") if found is None else (0, found, "")
        self.changes.append(f"nft {words}")
        if self.refuses:
            return 1, "", self.refuses
        if words == "--file -":
            self.load(data)
        elif words.startswith("delete table inet "):
            del self.tables[rest[-1]]
        else:
            raise AssertionError(words)
        return 0, "", ""

    def load(self, text):
        first, second, table = text.split("\n", 2)
        assert second == f"delete {first}"
        self.tables[first.split()[-1]] = table

    def systemctl(self, words):
        if words.startswith("is-active --quiet wireguard-firewall-"):
            return (0 if self.active else 3), "", ""
        self.changes.append(f"systemctl {words}")
        if words == f"enable --quiet {UNIT}":
            self.link.parent.mkdir(parents=True, exist_ok=True)
            self.link.symlink_to(self.unit_file)
        elif words == f"disable --quiet {UNIT}":
            self.link.unlink()
        elif words == f"start {UNIT}":
            self.load(self.rules_file.read_text())
            self.active = True
        elif words == f"stop {UNIT}":
            self.tables.pop("wireguard_wg0", None)
            self.active = False
        else:
            assert words == "daemon-reload"
        return 0, "", ""

    def look(self):
        files = {str(path): path.read_text() for path in self.folder.rglob("*") if path.is_file()}
        return files, dict(self.tables), self.active, self.link.is_symlink()


@pytest.fixture
def host(monkeypatch, tmp_path):
    host = Host(tmp_path)
    host.commands = {"nft": "nft", "systemctl": "systemctl", "iptables": "iptables"}
    host.systemd = True
    monkeypatch.setattr(_firewall, "RULES_FILE", f"{tmp_path}/wireguard/{{}}.nft")
    monkeypatch.setattr(_firewall, "UNITS", f"{tmp_path}/systemd")
    monkeypatch.setattr(_firewall, "DROP_INS", f"{tmp_path}/systemd/nftables.service.d")
    monkeypatch.setattr(_firewall, "find", host.commands.get)
    monkeypatch.setattr(_firewall, "service", lambda run, name: _unit.Systemd(run, name) if host.systemd else None)
    monkeypatch.setattr(_firewall, "default_route_interfaces", lambda: {"eth0"})
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, argv, data=None: host.run(argv, data))
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
    assert host.active
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
    host.active = False


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
    host.refuses = "Error: Could not process rule: Operation not supported"
    result = run_module(wg_firewall, **RELAY)
    assert result["failed"]
    assert result["msg"] == "'nft --file -' failed: Error: Could not process rule: Operation not supported"
    assert host.look() == ({}, {}, False, False)


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
    chain = {"family": "inet", "table": "filter", "name": "fwd", "type": "filter", "hook": "forward", "policy": "drop"}
    host.others = [{"chain": chain}]
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
        'the chain \'fwd\' of table inet filter drops iifname "wg0" oifname "wg0": add it to that ruleset. '
        f"Until that is loaded anew, this does: nft '{rule}'"
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


def test_no_nft_and_something_filters(run_module, host):
    del host.commands["nft"]
    for host.iptables in ("-P INPUT DROP\n", "-P INPUT ACCEPT\n-A FORWARD -j REJECT --reject-with x\n"):
        result = run_module(wg_firewall, **RELAY)
        assert result["msg"] == (
            "iptables filters on this host, and the command 'nft' to let WireGuard through is missing: "
            "install the package nftables"
        )


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
    monkeypatch.setattr(_firewall, "_text", files.get)
    assert _firewall.default_route_interfaces() == {"eth0", "eth1"}
    monkeypatch.setattr(_firewall, "_text", {}.get)
    assert _firewall.default_route_interfaces() == set()


def test_no_kill_switch_is_left_out_in_silence(run_module, host):
    result = run_module(wg_firewall, name="wg0", backend="none", kill_switch={"fwmark": 51820})
    assert result["failed"] and "kill_switch needs rules" in result["msg"]
    assert host.changes == []
