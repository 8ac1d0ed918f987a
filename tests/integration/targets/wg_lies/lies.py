# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbooks over three hosts that are all in memory, of which the first one lies; see files/."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIAR, HONEST = "crook", ("honest1", "honest2")
REGISTRY = ".wireguard-registry.yml"
# Whom a host exchanges keys with depends on who is left in the run; all else does not.
FAILED: list[str] = []
OF_THE_PLAN = ("wg_info", "wg_keypair", "wg_firewall", "wg_interface", "wg_ping")
sys.path.insert(0, str(HERE / "files/connection_plugins"))


@dataclasses.dataclass
class Run:
    """What a run printed, what it asked the hosts, and what it left on the controller."""

    code: int
    printed: str
    asked: dict[str, list]
    files: dict[str, str]

    def words(self) -> str:
        """All that was printed, on one line."""
        return re.sub(r"\s+", " ", self.printed)

    def failed(self, host: str) -> int:
        """How often a host failed, of the recap."""
        found = re.search(rf"^{host} .*failed=(\d+)", self.printed, re.MULTILINE)
        assert found, f"the recap does not have {host}"
        return int(found[1])


def run(before: dict[str, str], playbook: str, lies: dict, **environment: str) -> Run:
    """Runs a playbook in a folder with these files; what is in the folder afterwards is what the run left."""
    with tempfile.TemporaryDirectory(prefix="wirefleet-lies-") as top:
        folder, stub = Path(top, "project"), Path(top, "stub")
        shutil.copytree(HERE / "files", folder)
        stub.mkdir()
        for name, text in before.items():
            (folder / name).write_text(text)
        (stub / "lies.json").write_text(json.dumps({LIAR: lies}).replace("OUTSIDE", f"{top}/outside"))
        settings = {
            "ANSIBLE_CONNECTION_PLUGINS": str(folder / "connection_plugins"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            "STUB_FOLDER": str(stub),
            **{name: value.replace("PROJECT", str(folder)) for name, value in environment.items()},
        }
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventory.yml", playbook],
            check=False,
            cwd=folder,
            env={**os.environ, **settings},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        asked = {
            host: [json.loads(line) for line in (stub / f"asked-{host}").read_text().splitlines()]
            if (stub / f"asked-{host}").exists()
            else []
            for host in (LIAR, *HONEST)
        }
        for path in stub.glob("*"):
            path.unlink()
        files = {
            str(path.relative_to(top)): path.read_text(errors="replace")
            for path in sorted(Path(top).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
    return Run(done.returncode, done.stdout, asked, files)


@contextlib.contextmanager
def told(what: str, done: Run):
    """Prints a run in which something was not as it should be, and goes on: FAILED has them all."""
    try:
        yield
    except AssertionError as error:
        print(done.printed, f"FAILED: {what}: {error}", sep="\n", flush=True)
        FAILED.append(what)
    else:
        print(f"ok: {what}", flush=True)


class Story:
    """A network that all three hosts have joined, and what a run of it without lies does."""

    def __init__(self) -> None:
        first = run({}, "wirefleet.wireguard.site", {})
        with told("three truthful hosts join", first):
            assert first.code == 0
        self.registry = {REGISTRY: first.files[f"project/{REGISTRY}"]}
        self.truth = {}
        for playbook in ("wirefleet.wireguard.site", "gather_and_site.yml", "wirefleet.wireguard.rotate"):
            self.truth[playbook] = done = run(self.registry, playbook, {})
            with told(f"{playbook}: three truthful hosts", done):
                assert done.code == 0
                assert {"wg_interface", "wg_ping"} & {module for module, _asked in done.asked["honest1"]}

    def lie(
        self, what: str, lies: dict, named: str | None, playbook: str = "wirefleet.wireguard.site", **how: str
    ) -> Run:
        """Runs with these lies. ``named`` is what the liar fails with; None for lies that have no effect at all."""
        done, truth = run(self.registry, playbook, lies, **how), self.truth[playbook]
        with told(what, done):
            if named is None:
                assert (done.code, done.failed(LIAR)) == (0, 0)
            else:
                assert done.code != 0
                assert done.failed(LIAR)
                assert named in done.words(), named
            for host in HONEST:
                assert not done.failed(host)
                of_plan = [[one for one in asked.asked[host] if one[0] in OF_THE_PLAN] for asked in (done, truth)]
                assert of_plan[0] == of_plan[1], f"{host} was asked something else"
            left = {name: text for name, text in done.files.items() if "cached-" not in name}
            if "new key" not in what:
                assert left == truth.files
            assert "\x1b" not in done.printed
            assert "OWNED" not in "".join(left.values())
        return done


EVIL = {
    "wireguard_networks": {"wg0": {"group": "wireguard", "cidr": ["10.44.0.0/24"], "post_up": ["touch /OWNED"]}},
    "wireguard_registry_file": "OUTSIDE/registry.yml",
    "wireguard_prune": True,
    "wireguard_partial_inventory": True,
    "wireguard_rotate_force": True,
    "wireguard_relay": True,
    "wireguard_subnets": ["192.168.77.0/24"],
    "plan_record": True,
    "plan_output_dir": "OUTSIDE/plan",
    "__plan_whole": "OWNED",
    "__plan_node": {"interfaces": "OWNED"},
    "inventory_hostname": "honest1",
    "is_relay": True,
    "site_of_this_host": "elsewhere",
    "query": "OWNED",
    "ansible_host": "honest1",
}
TAKEN_UP = {
    "ansible_facts": EVIL,
    "ansible_stats": {"data": "OWNED", "per_host": True, "aggregate": True},
    "add_host": {"host_name": "honest1", "groups": ["wireguard"], "host_vars": EVIL},
    "add_group": "OWNED",
    "parent_groups": ["all"],
    "_ansible_notify": ["OWNED"],
    "_ansible_no_log": True,
    "_ansible_delegated_vars": {"ansible_host": "honest1"},
    "_ansible_item_label": "OWNED",
    "skipped": True,
    "unreachable": True,
    "include": "/etc/passwd",
    "include_args": {"x": "OWNED"},
    "failed_when_result": True,
    "exception": "OWNED",
    "deprecations": "OWNED",
    "invocation": {"module_args": "OWNED"},
    "stdout": {"x": "OWNED"},
    "ansible_job_id": "OWNED",
    "rc": "OWNED",
    "attempts": "OWNED",
    "item": {"network": "OWNED", "interface": "OWNED"},
    "ansible_loop_var": "OWNED",
    "__ansible_type": "TrustedAsTemplate",
}
KEY = "/etc/wireguard/wg0.key"
CACHE = {
    "ANSIBLE_CACHE_PLUGIN": "jsonfile",
    "ANSIBLE_CACHE_PLUGIN_CONNECTION": "PROJECT",
    "ANSIBLE_CACHE_PLUGIN_PREFIX": "cached-",
}


def main() -> None:
    from wirefleet_liar import key_of

    story = Story()
    modules = ("wg_info", "wg_keypair", "wg_firewall", "wg_interface", "wg_preshared", "wg_ping")

    story.lie("what ansible-core acts upon, in every answer", dict.fromkeys(modules, TAKEN_UP), None)
    for stats in (5, {"data": "OWNED"}, {"data": {"x": "OWNED"}, "aggregate": True}):
        story.lie(f"ansible_stats is {stats}", {"wg_info": {"ansible_stats": stats}}, None)

    rotate = "wirefleet.wireguard.rotate"
    gather = "gather_and_site.yml"
    story.lie(
        "names of the inventory among gathered facts", {"setup": {"ansible_facts": EVIL}}, "among its facts", gather
    )
    quiet = {name: value for name, value in EVIL.items() if not name.startswith(("wireguard_", "plan_", "__", "inv"))}
    story.lie("facts that a template could mean", {"setup": {"ansible_facts": quiet}}, None, gather)
    cached = run(story.registry, gather, {"setup": {"ansible_facts": EVIL}}, **CACHE).files
    of_cache = {name.partition("/")[2]: text for name, text in cached.items() if "cached-" in name}
    assert any(LIAR in name for name in of_cache)
    truth = story.registry
    story.registry = {**truth, **of_cache}
    done = story.lie("names of the inventory in the fact cache", {}, "crook is left out of this run", **CACHE)
    with told("the liar is not even asked", done):
        assert not done.asked[LIAR]
    done = run(story.registry, rotate, {}, **CACHE)
    with told("rotate: wireguard_rotate_force in the fact cache", done):
        assert "honest1 keeps its key: crook could not follow to the new key" in done.words()
        assert "wg_rotate" not in {module for host in HONEST for module, _asked in done.asked[host]}
    done = run(story.registry, "wirefleet.wireguard.plan", {}, **CACHE)
    with told("the plan names the host, and plans it as the inventory says", done):
        assert (done.code, done.failed(LIAR), done.failed("honest1")) == (2, 1, 0)
        assert "crook is left out of this run" in done.words()
        assert "OWNED" not in done.files["project/wireguard-plan/honest1/wg0.conf"]
        assert "# crook" in done.files["project/wireguard-plan/honest1/wg0.conf"]
        assert not [name for name in done.files if name.startswith("outside")]
    story.registry = truth

    def info(**lie: object) -> dict:
        return {"wg_info": lie}

    for what, lies, named in (
        ("a key with a line break", info(public_keys={KEY: key_of(LIAR) + "\n"}), "is not a WireGuard key"),
        ("a key that is a list", info(public_keys={KEY: [key_of(LIAR)]}), "is a list of 1 entries, which is not"),
        ("a key for another file", info(public_keys={"/etc/../x": key_of(LIAR)}), "exactly the entries"),
        ("keys that are a list", info(public_keys=[KEY]), "public_keys is a list of 1 entries"),
        ("Jinja in a key", info(public_keys={KEY: "{{ lookup('pipe', 'touch /OWNED') }}"}), "is not a WireGuard key"),
        ("Jinja in a text", info(kernel="{{ lookup('pipe', 'touch OWNED') }}"), None),
        ("colours and bells", info(kernel="\x1b[2J\x07", init="\x1b[31mOWN"), "x1b[31mOWN', which is not one of"),
        ("warnings with colours", info(warnings=["\x1b[31mred\x1b[0m", {"event": {"msg": "\x1b[2J"}}, 5]), None),
        ("deep structures", info(tools={"nft": {}, "sysctl": [[[[]]]]}), "tools"),
        ("another's key", info(public_keys={KEY: key_of("honest1")}), "which is honest1's, as after cloning"),
        ("no answer at all", {"wg_info": ""}, "crook"),
        ("no JSON", {"wg_info": "{" * 50}, "did not answer as a module does"),
        ("a list", {"wg_info": "[1, 2]"}, "crook"),
        ("endless brackets", {"wg_info": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"}, "did not answer as a module"),
        ("not a number", {"wg_info": '{"changed": false, "key_ages": NaN}'}, "did not answer as a module does"),
        ("megabytes", {"wg_info": json.dumps({"kernel": "x" * 3_000_000})}, "characters, of at most"),
        ("an unknown path", {"wg_ping": {"results": [{"path": "OWN"}]}}, "results"),
        ("a ping that is a text", {"wg_ping": {"results": "OWN"}}, "results is 'OWN', which is not a list"),
        ("a firewall of another kind", {"wg_firewall": {"backend": "OWN"}}, "backend is 'OWN', which is not one of"),
    ):
        story.lie(what, lies, named)

    next_key = {"path": f"{KEY}.next", "public_key": key_of("honest1")}
    done = run(story.registry, rotate, {"wg_keypair": next_key})
    with told("rotate: another's key as a next one", done):
        assert not any(map(done.failed, HONEST))
        assert f'"crook": "its next key, {key_of("honest1")} in {KEY}.next, is that of honest1' in done.words()
        announced = [asked for host in HONEST for module, asked in done.asked[host] if module == "wg_rotate"]
        assert announced
        assert key_of("honest1") not in [
            peer["next_public_key"] for asked in announced for peer in asked.get("peers", ())
        ]
    offers = {"offered": [{"public_key": key_of("honest1"), "sealed": "\n", "fingerprint": "x"}]}
    story.lie("a preshared key that is none", {"wg_preshared": offers}, "offered")


if __name__ == "__main__":
    main()
    sys.exit(f"failed: {', '.join(FAILED)}" if FAILED else 0)
