# Copyright: (c) 2026, wirefleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible's own variable manager believes of hosts, and what this collection does."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.believed import Believed, facts_of
from ansible_collections.wirefleet.wireguard.plugins.plugin_utils.variables import inventory_of

INVENTORY = {
    "wireguard": {
        "vars": {
            "wireguard_cidr": "10.44.0.0/24",
            "wireguard_endpoint": "{{ ansible_default_ipv4.address }}",
            "wireguard_lan_endpoint": "{{ ansible_facts.eth1.ipv4.address | default('192.168.61.1') }}",
            "wireguard_relay": "{{ is_relay | default(false) }}",
            "wireguard_site": "{{ site }}",
            "site": "office",
        },
        "hosts": {"crook": {}, "honest": {}},
    }
}
FACTS = {
    "ansible_default_ipv4": {"address": "198.51.100.7"},
    "ansible_eth1": {"ipv4": {"address": "192.168.61.7"}},
    "ansible_host": "honest",
    "wireguard_cidr": "0.0.0.0/1",
    "wireguard_post_up": "touch /x",
    "is_relay": True,
    "site": "elsewhere",
    "own": "{{ lookup('pipe', 'touch /x') }}",
}


class Controller:
    """A controller with this inventory, and facts of ``crook``."""

    def __init__(self, folder, inventory, facts):
        path = folder / "inventory.json"
        path.write_text(json.dumps(inventory))
        self.loader = DataLoader()
        self.inventory = InventoryManager(loader=self.loader, sources=[str(path)])
        self.manager = VariableManager(loader=self.loader, inventory=self.inventory)
        self.hostvars = HostVars(self.inventory, self.manager, self.loader)
        self.manager.set_host_facts("crook", dict(facts))

    @property
    def believed(self):
        return Believed(self.hostvars)

    def read(self):
        return inventory_of(self.believed, self.inventory.get_groups_dict(), AnsibleError).plain.variables


@pytest.fixture
def controller(tmp_path):
    return lambda inventory=INVENTORY, facts=FACTS: Controller(tmp_path, inventory, facts)


def inventory_with(**variables):
    return {"wireguard": {"vars": variables, "hosts": INVENTORY["wireguard"]["hosts"]}}


def test_ansible_itself_lets_facts_beat_the_inventory(controller):
    """If this fails one day, much of `believed` is no longer needed."""
    assert controller().hostvars.raw_get("crook")["wireguard_cidr"] == "0.0.0.0/1"


def test_facts_are_no_variables(controller):
    found = controller().believed.of_host("crook")
    assert found["wireguard_cidr"] == "10.44.0.0/24"
    assert not {"wireguard_post_up", "is_relay", "own", "ansible_default_ipv4"} & found.keys()


def test_reading_without_facts_leaves_ansible_its_own(controller):
    story = controller()
    story.believed.of_host("crook")
    assert story.hostvars.raw_get("crook")["wireguard_cidr"] == "0.0.0.0/1"
    assert story.manager._hostvars is story.hostvars


def test_what_the_controller_sets_is_believed(controller):
    story = controller()
    story.manager.set_nonpersistent_facts("crook", {"wireguard_mtu": 1400})  # set_fact, and registered results
    story.manager.set_host_variable("crook", "wireguard_port", 51821)  # include_vars
    story.inventory.add_host("new", "wireguard")  # add_host
    found = story.read()
    assert (found["crook"]["wireguard_mtu"], found["crook"]["wireguard_port"]) == (1400, 51821)
    assert found["new"]["wireguard_cidr"] == "10.44.0.0/24"


def test_templates_see_own_facts_below_the_inventory(controller):
    found = controller().read()
    assert found["crook"]["wireguard_endpoint"] == "198.51.100.7"
    assert found["crook"]["wireguard_lan_endpoint"] == "192.168.61.7"
    # Neither in place of a variable that the inventory has, nor of one that it might have had.
    assert found["crook"]["wireguard_site"] == "office"
    assert str(found["crook"]["wireguard_relay"]) == "False"
    assert "wireguard_post_up" not in found["crook"]


def test_templates_do_not_see_the_facts_of_others(controller):
    found = controller().read()
    assert repr(found["honest"]["wireguard_endpoint"]).startswith("a template that fails (")
    assert found["honest"]["wireguard_lan_endpoint"] == "192.168.61.1"
    for variable in ("hostvars['crook'].ansible_default_ipv4.address", "hostvars.crook.wireguard_post_up"):
        story = controller(inventory_with(wireguard_endpoint=f"{{{{ {variable} }}}}"))
        assert repr(story.read()["honest"]["wireguard_endpoint"]).startswith("a template that fails (")


@pytest.mark.parametrize(
    "variables",
    [
        {"wireguard_cidr": "{{ ansible_default_ipv4.address }}/24"},
        {"wireguard_networks": {"office": {"post_up": "echo {{ ansible_default_ipv4.address }}"}}},
        {"wireguard_networks": {"office": {"post_up": "{{ own }}"}}},
        {"wireguard_networks": {"office": {"post_up": "{{ ansible_facts.own }}"}}},
    ],
)
def test_what_holds_for_a_network_is_read_without_facts(controller, variables):
    found = controller(inventory_with(**variables)).read()["crook"]
    assert "facts of hosts do not count here" in repr(found)
    assert "198.51.100.7" not in repr(found)


def test_jinja_in_facts_is_not_evaluated(controller):
    inventory = inventory_with(wireguard_endpoint="{{ ansible_own }}", wireguard_site="{{ ansible_facts.own }}")
    found = controller(inventory, {"ansible_own": FACTS["own"], "own": FACTS["own"]}).read()["crook"]
    assert found == {"wireguard_endpoint": FACTS["own"], "wireguard_site": FACTS["own"]}


@pytest.mark.parametrize("folder", ["folder", "hostvars.crook.folder"])
def test_settings_of_a_run_are_read_without_facts(controller, folder):
    setting = f"{{{{ {folder} | default('/srv') }}}}/registry.yml"
    story = controller(inventory_with(wireguard_registry_file=setting), {"folder": "/tmp", "of_play": "fact"})
    source = {"hosts": "all", "gather_facts": False, "vars": {"of_play": "play"}}
    play = Play.load(source, variable_manager=story.manager, loader=story.loader)
    believed = story.believed
    variables = believed.of_task(Task(block=Block(play=play)), "crook")
    assert believed.template(variables["wireguard_registry_file"], variables) == "/srv/registry.yml"
    assert variables["of_play"] == "play"


def test_names_of_facts_are_found_in_the_cache(controller):
    story = controller()
    assert set(facts_of(story.hostvars, "crook")) == set(FACTS)
    assert list(facts_of(story.hostvars, "honest")) == []
    assert set(story.believed.facts("crook")) == set(FACTS)


def test_patterns_mean_hosts_of_the_whole_inventory(controller):
    story = controller()
    story.inventory.subset("honest")
    assert story.believed.matching("all") == ["crook", "honest"]
    assert story.believed.matching("wireguard:!crook") == ["honest"]
