# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan's folder, when what is in it leads out of it."""

from __future__ import annotations

import os

import pytest

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.plan_folder import (
    LISTING,
    PlanFolder,
    PlanFolderError,
)

FILES = {"a/wg0.conf": "A", "topology.json": "T"}


@pytest.fixture
def plan(tmp_path):
    """The folder of a plan that was written once, beside files of others."""
    folder = PlanFolder(str(tmp_path / "plan"))
    folder.apply(folder.changes(FILES, {"a"}))
    for name in ("x.conf", "elsewhere/wg0.conf", "plan/inventory.yml", "plan/a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    return tmp_path / "plan"


@pytest.mark.parametrize(
    "line",
    [
        "../x.conf",
        "../x",
        "a/../../x.conf",
        "{plan}/../x.conf",
        "inventory.yml",
        "a/notes.txt",
        "elsewhere/wg0.conf",  # through a symbolic link
        "link.hosts",
        "folder.hosts",
        LISTING,
        "",
        ".",
        "..",
    ],
)
def test_only_files_of_a_plan_are_removed(plan, line):
    (plan / "elsewhere").symlink_to("../elsewhere")
    (plan / "link.hosts").symlink_to("../x.conf")
    (plan / "folder.hosts").mkdir()
    with (plan / LISTING).open("a") as listing:
        listing.write(line.format(plan=plan) + "\n")
    folder = PlanFolder(str(plan))
    folder.apply(folder.changes({"topology.json": "T"}, {"a"}))
    precious = [plan / "../x.conf", plan / "../elsewhere/wg0.conf", plan / "inventory.yml", plan / "a/notes.txt"]
    assert all(path.read_text() == "precious" for path in precious)
    assert os.path.islink(plan / "link.hosts") and (plan / "folder.hosts").is_dir()
    assert not (plan / "a/wg0.conf").exists()
    assert (plan / LISTING).read_text() == "topology.json\n"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("b", "../elsewhere"),
        ("b", "../nowhere"),
        ("topology.json", "../x.conf"),
        ("topology.json", "../nowhere"),
        (LISTING, "../x.conf"),
    ],
)
def test_nothing_is_read_or_written_through_a_link(plan, link, target):
    if (plan / link).exists():
        (plan / link).unlink()
    (plan / link).symlink_to(target)
    with pytest.raises(PlanFolderError) as caught:
        PlanFolder(str(plan)).changes({**FILES, "b/wg0.conf": "B"}, {"a", "b"})
    assert str(caught.value).startswith(
        f"{plan / link} is a symbolic link to {target}, and files of the plan are neither"
    )
    assert (plan / "../x.conf").read_text() == "precious" and not (plan / "../nowhere").exists()


def test_the_folder_itself_may_be_a_link(plan, tmp_path):
    (tmp_path / "review").symlink_to(plan)
    folder = PlanFolder(str(tmp_path / "review"))
    assert folder.changes(FILES, {"a"}) == []
    folder.apply(folder.changes({"topology.json": "T2"}, {"a"}))
    assert (plan / "topology.json").read_text() == "T2" and not (plan / "a/wg0.conf").exists()
