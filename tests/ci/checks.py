# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is checked: `checks.py [PART ...]`, all parts by default. Started by make, which prepares .cache/ and PATH."""

from __future__ import annotations

import base64
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from configparser import RawConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import yaml
from environment import CACHE, PROJECT, ROOT, SETTINGS, find_pythons, virtualenv
from runner import Check, CheckFailed, Shell, run_all

CORE_PYTHONS: dict[str, list[str]] = SETTINGS["core-pythons"]
NAMESPACE, NAME = "wirefleet", "wireguard"


# --- environments ---------------------------------------------------------------------------------------------------


@cache
def pythons() -> dict[str, Path]:
    return find_pythons(SETTINGS["controller-pythons"] + SETTINGS["host-pythons"])


@dataclass(frozen=True)
class Core:
    """A version of ansible-core in an environment of its own, on the newest Python at hand that it supports."""

    name: str
    bin: Path

    def environment(self) -> dict[str, str]:
        """Its commands first, then the interpreters; no version manager's shims, which fail when they are called."""
        directories = [self.bin, *(python.parent for python in pythons().values())]
        rest = [directory for directory in os.environ["PATH"].split(":") if not directory.endswith("/shims")]
        return {"PATH": ":".join([*map(str, directories), *rest])}


@cache
def cores() -> list[Core]:
    """Every supported core that a Python at hand can run, newest first; the others are named aloud."""
    main = ".".join(version("ansible-core").split(".")[:2])
    found = []
    for core, versions in CORE_PYTHONS.items():
        at_hand = [python for python in versions if python in pythons()]
        if core == main:
            found.append(Core(core, CACHE / "venv/bin"))
        elif at_hand:
            found.append(Core(core, virtualenv(f"core-{core}", pythons()[at_hand[0]], [f"core-{core}"]) / "bin"))
        else:
            print(f"note   ansible-core {core} is not tested: it needs Python {' or '.join(versions)}", flush=True)
    return found


@contextmanager
def copy_of_checkout() -> Iterator[Path]:
    """What git would commit, in a folder outside of any repository: what ansible-test and a build should see."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="wirefleet-") as top:
        tree = Path(top, "ansible_collections", NAMESPACE, NAME)
        for name in filter(None, listed):
            if os.path.lexists(ROOT / name):
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
        yield tree


# --- lint -----------------------------------------------------------------------------------------------------------


def lint() -> list[Check]:
    commands = {
        "ruff check": ["ruff", "check", "--output-format=concise"],
        "ruff format": ["ruff", "format", "--check", "--output-format=concise"],
        "yamllint": ["yamllint", "--strict", "."],
        "ansible-lint": ["ansible-lint", "--offline", "--nocolor", "--format=pep8"],
        "changelog": ["antsibull-changelog", "lint"],
        "docs": ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "."],
    }
    return [Check(name, lambda shell, words=words: shell.run(*words)) for name, words in commands.items()]


# --- ansible-test ---------------------------------------------------------------------------------------------------


def ansible_test(core: Core, words: list[str], evidence: str, shell: Shell, under: Sequence[Path] = ()) -> None:
    """Run ansible-test on a copy of the checkout, in a home of its own under .cache/; `under`, if given, runs it.

    `evidence` is what it prints if it tested anything: finding nothing to test, it exits 0 as well.
    """
    home = CACHE / "ansible-test" / Path(shell.log.name).stem
    prepare_home(core, home)
    with copy_of_checkout() as tree:
        unit_requirements = tree / "tests/unit/requirements.txt"
        unit_requirements.parent.mkdir(parents=True, exist_ok=True)
        unit_requirements.write_text("\n".join(PROJECT["dependency-groups"]["unit"]))
        environment = core.environment() | {"HOME": str(home)}
        printed = shell.run(*under, "ansible-test", *words, "--color", "no", cwd=tree, **environment)
    if not re.search(evidence, printed) or "All targets skipped" in printed:
        raise CheckFailed("ansible-test tested nothing")


def prepare_home(core: Core, home: Path) -> None:
    """The user's settings of pip, which need not tell what it installs, and the stand-in for the get-pip script.

    The stand-in lies where ansible-test caches that script, under the names that this core asks for.
    """
    settings = RawConfigParser()
    settings.read([Path.home() / ".config/pip/pip.conf"])
    settings.read_dict({"install": {"quiet": "2"}})
    (home / ".config/pip").mkdir(parents=True, exist_ok=True)
    with (home / ".config/pip/pip.conf").open("w") as stream:
        settings.write(stream)

    internal = next(core.bin.parent.glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py"))
    downloads = home / ".ansible/test/cache"
    downloads.mkdir(parents=True, exist_ok=True)
    for release in re.findall(r"pip='([0-9.]+)'", internal.read_text()):
        shutil.copy(ROOT / "tests/ci/get_pip.py", downloads / f"get_pip_{release.replace('.', '_')}.py")


def sanity() -> list[Check]:
    """Every test of the newest core; of the older ones those that depend on the core."""
    newest, *older = cores()
    tests = ["ansible-doc", "action-plugin-docs", "compile", "import", "runtime-metadata", "validate-modules"]
    some = [f"--test={test}" for test in tests]
    evidence = r'Running sanity test "validate-modules"'
    return [Check(f"sanity, core {newest.name}", partial(ansible_test, newest, ["sanity"], evidence))] + [
        Check(f"sanity, core {core.name}", partial(ansible_test, core, ["sanity", *some], evidence)) for core in older
    ]


def unit() -> list[Check]:
    """Each Python with the newest core that supports it, and each core at least once."""
    runs: list[tuple[str, Core]] = []
    for core in cores():
        supported = [python for python in CORE_PYTHONS[core.name] if python in pythons()]
        untested = [python for python in supported if python not in dict(runs)]
        runs += [(python, core) for python in untested or supported[:1]]
    runs += [(python, cores()[0]) for python in SETTINGS["host-pythons"] if python in pythons()]
    return [
        Check(
            f"unit, Python {python}, core {core.name}",
            partial(ansible_test, core, ["units", "--venv", "--python", python], r"\d+ passed"),
        )
        for python, core in runs
    ]


def integration() -> list[Check]:
    """The modules on real devices, each target in namespaces of its own, so that two can run at a time."""
    return [run_target("integration", target) for target in targets()]


def kernel_build() -> list[Check]:
    """What `kernel` runs on, minutes before it is needed: built once, then found in .cache/."""
    if missing := kernel_lacks():
        print(f"note   the modules are not tested on a kernel's WireGuard: that needs {missing}", flush=True)
        return []
    return [Check("kernel, build", lambda shell: shell.run(ROOT / "tests/kernel/build"))]


def kernel_lacks() -> str:
    """What keeps User-Mode Linux from being built here; empty if nothing does."""
    if platform.machine() != "x86_64":
        return "x86_64"
    return "" if shutil.which("apt-get") and shutil.which("dpkg-deb") else "apt-get, which has the kernel's source"


def kernel() -> list[Check]:
    """What needs a host once more, on the WireGuard of a kernel that runs as a process: see tests/kernel."""
    if kernel_lacks():
        return []
    on_host = [target for target in targets() if "needs/root" in (target / "aliases").read_text()]
    return [
        run_target("kernel", target, "device under test: kernel WireGuard.*", ROOT / "tests/kernel/run")
        for target in on_host
    ]


def targets() -> list[Path]:
    return sorted(ROOT.glob("tests/integration/targets/wg_*"))


def run_target(part: str, target: Path, evidence: str = "", *under: Path) -> Check:
    words = ["integration", "--local", "--allow-root", "--allow-destructive", target.name]
    evidence = f"(?s){evidence}Running {target.name} integration test"
    return Check(f"{part} {target.name}", partial(ansible_test, cores()[0], words, evidence, under=under))


# --- the artefact ---------------------------------------------------------------------------------------------------


def build(shell: Shell, destination: Path) -> Path:
    """Build the collection from what git would commit; the path of the tarball."""
    with copy_of_checkout() as tree:
        shell.run("ansible-galaxy", "collection", "build", "--force", "--output-path", destination, cwd=tree)
    return next(destination.glob(f"{NAMESPACE}-{NAME}-*.tar.gz"))


def artefact() -> list[Check]:
    return [Check(f"artefact, core {core.name}", partial(check_artefact, core)) for core in cores()]


def check_artefact(core: Core, shell: Shell) -> None:
    """Install the tarball where nothing of the checkout is; read every doc, check every playbook, run `plan`."""
    with tempfile.TemporaryDirectory(prefix="wirefleet-") as top:
        place = Path(top)
        collection = place / "collections/ansible_collections" / NAMESPACE / NAME
        # The other collections come from the main environment: older cores have none of their own.
        community = next((CACHE / "venv").glob("lib/python*/site-packages"))
        environment = core.environment() | {
            "ANSIBLE_COLLECTIONS_PATH": f"{place / 'collections'}:{community}",
            "ANSIBLE_HOME": str(place / "home"),
        }
        run = partial(shell.run, cwd=place, **environment)

        tarball = build(shell, place)
        install = ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "-p", place / "collections"]
        run(*install, tarball)
        surplus = {path.name for path in collection.iterdir()} & {"tests", "molecule", "Makefile", "pyproject.toml"}
        if surplus or list(collection.glob(".*")):
            raise CheckFailed(f"the artefact contains {sorted(surplus)} or hidden files")

        modules = sorted(path.stem for path in collection.glob("plugins/modules/[!_]*.py"))
        if yaml.safe_load((collection / "meta/runtime.yml").read_text())["action_groups"][NAME] != modules:
            raise CheckFailed(f"the action group of meta/runtime.yml is not {modules}")
        check_docs(run, collection, modules)

        network = yaml.safe_load((collection / "examples/smallest.yml").read_text())
        for number, (host, variables) in enumerate(network["wireguard"]["hosts"].items(), start=1):
            key = base64.b64encode(bytes([number] * 32)).decode()
            network["wireguard"]["hosts"][host] = (variables or {}) | {"wireguard_public_key": key}
        inventory = place / "inventory.yml"
        inventory.write_text(yaml.safe_dump(network))
        for playbook in sorted(collection.glob("playbooks/*.yml")):
            run("ansible-playbook", "-i", inventory, "--syntax-check", f"{NAMESPACE}.{NAME}.{playbook.stem}")
        run("ansible-playbook", "-i", inventory, f"{NAMESPACE}.{NAME}.plan")
        laptop = (place / "wireguard-plan/laptop/wg0.conf").read_text()
        if "PrivateKey = (on the host)" not in laptop or "Endpoint = relay1.example.net:51820" not in laptop:
            raise CheckFailed(f"the plan playbook wrote for laptop:\n{laptop}")


def check_docs(run: partial, collection: Path, modules: list[str]) -> None:
    """ansible-doc knows every module, filter and role: it exits 0 as well when it finds none."""
    for kind, names in {
        "module": modules,
        "filter": [path.stem for path in collection.glob("plugins/filter/[!_]*.yml")],
        "role": [path.name for path in collection.glob("roles/*")],
    }.items():
        full_names = sorted(f"{NAMESPACE}.{NAME}.{name}" for name in names)
        if not full_names:
            continue
        printed = run("ansible-doc", "--json", "--type", kind, *full_names)
        known = json.loads(printed[printed.index("{") :])
        if sorted(name for name, doc in known.items() if doc) != full_names:
            raise CheckFailed(f"ansible-doc knows {sorted(known)}, and not all of {full_names}")


# --- molecule -------------------------------------------------------------------------------------------------------


def molecule() -> list[Check]:
    """Each scenario builds hosts of its own, so that two can run at a time."""
    names = [path.parent.name for path in sorted(ROOT.glob("molecule/*/molecule.yml"))]
    return [Check(f"molecule {name}", partial(run_scenario, name)) for name in names]


def run_scenario(name: str, shell: Shell) -> None:
    printed = shell.run("molecule", "test", "--scenario-name", name, NO_COLOR="1")
    if "Molecule executed 1 scenario (1 successful)" not in printed:
        raise CheckFailed("molecule tested nothing")


# The kernel is built while others that need little of the machine run, and long before it is needed. What takes longest
# begins first, so that nothing long is left alone at the end.
TESTS = {part.__name__: part for part in (kernel_build, lint, molecule, kernel, sanity, unit, integration, artefact)}
PARTS = TESTS | {"build": lambda: [Check("build", partial(build, destination=ROOT))]}

if __name__ == "__main__":
    sys.exit(not run_all([check for part in sys.argv[1:] or TESTS for check in PARTS[part]()]))
