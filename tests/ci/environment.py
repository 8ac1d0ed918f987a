# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environments that the checks run in: packages, interpreters, virtual environments, the collection's place.

Standard library only, because it runs before anything is installed. Every version comes from pyproject.toml.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
PYPROJECT = ROOT / "pyproject.toml"
PROJECT = tomllib.loads(PYPROJECT.read_text())
SETTINGS = PROJECT["tool"]["wirefleet"]


def missing_packages() -> list[str]:
    """Debian's names of the packages whose command or file is not on this machine."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return sorted(
        package
        for need, package in SETTINGS["debian-packages"].items()
        if not (Path(need).exists() if need.startswith("/") else shutil.which(need, path=path))
    )


def find_pythons(versions: list[str]) -> dict[str, Path]:
    """Path of the interpreter of each version that is at hand, in the order of `versions`."""
    found = subprocess.run([ROOT / "tests/ci/pythons", *versions], check=True, capture_output=True, text=True).stdout
    return {version: Path(path) for version, path in (line.split(" ", 1) for line in found.splitlines())}


def virtualenv(name: str, python: Path, groups: list[str]) -> Path:
    """Create .cache/NAME with the dependency groups, or leave it if it still is what pyproject.toml says."""
    directory = CACHE / name
    made_from = directory / "made-from.json"
    wanted = json.dumps([str(directory), str(python), groups, PROJECT["dependency-groups"]])
    if made_from.exists() and made_from.read_text() == wanted:
        return directory
    print(f"Installing {', '.join(groups)} into {directory.relative_to(ROOT)} ...", flush=True)
    subprocess.run([python, "-m", "venv", "--clear", directory], check=True)
    pip = [directory / "bin/python", "-m", "pip", "install", "-qq", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*pip, *PROJECT["dependency-groups"]["pip"]], check=True)
    subprocess.run([*pip, *(f"--group={PYPROJECT}:{group}" for group in groups)], check=True)
    made_from.write_text(wanted)
    return directory


def create() -> None:
    """.cache/venv, and .cache/collections, in which the checkout is the collection whatever its folder is called."""
    link = CACHE / "collections/ansible_collections/wirefleet/wireguard"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != ROOT:
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT)
    virtualenv("venv", Path(sys.executable).resolve(), ["ansible", "lint", "unit", "test"])


if __name__ == "__main__":
    if sys.argv[1] == "missing-packages":
        print(*missing_packages())
    else:
        create()
