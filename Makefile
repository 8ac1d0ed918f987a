# Everything a developer does. Each target sets up what it needs in .cache/, and system packages by apt.

SHELL := /bin/bash
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.cache/venv/bin:$(PATH):/usr/sbin:/sbin
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.cache/collections
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
# Else every start of Ansible would compile all of it again: twice the time.
unexport PYTHONDONTWRITEBYTECODE

# The lab's hosts need root. So that .cache/ has one owner, root does all the rest too.
KEPT := HOME PATH ANSIBLE_HOME ANSIBLE_COLLECTIONS_PATH PYTHONPYCACHEPREFIX
ROOT := $(if $(filter-out 0,$(shell id -u)),sudo env $(foreach name,$(KEPT),"$(name)=$$$(name)"))
PARTS := lint sanity unit integration artefact molecule

.PHONY: help setup demo demo-shell demo-clean test test-kernel $(PARTS) quick benchmark benchmark-fleet format build clean

help:  ## this list
	@sed -nE 's/^([^#:]+):.*  ## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name text; do \
		printf '  make %-22s %s\n' "$${name//\$$(PARTS)/PART}" "$$text"; done

demo: setup  ## a relayed network of five hosts on this machine, from an inventory to the ping matrix
	@$(ROOT) python tests/lab/demo.py

demo-shell:  ## a shell on a host of the demo: make demo-shell HOST=laptop
	@$(ROOT) python tests/lab/lab.py shell demo "$(or $(HOST),$(error which host? for instance HOST=laptop))"

demo-clean:  ## remove the demo's hosts and networks
	@$(ROOT) python tests/lab/lab.py down demo

test: setup  ## every PART, two checks at a time
	@$(ROOT) python tests/ci/checks.py

$(PARTS): setup  ## one PART: lint, sanity, unit, integration, artefact or molecule
	@$(ROOT) python tests/ci/checks.py $@

test-kernel: setup  ## the integration tests on a kernel's own WireGuard; the first run builds it (5 minutes)
	@$(ROOT) python tests/ci/checks.py kernel_build kernel

quick: setup  ## the unit tests on one Python, as one writes; some of them: make quick TESTS="-k relay"
	@$(ROOT) python -m pytest -q -n 2 $(TESTS)

benchmark: setup  ## how planner and modules grow with the network, as ratios of one run
	@PYTHONPATH=$(CURDIR)/.cache/collections python tests/benchmark/planner.py
	@$(ROOT) tests/benchmark/wg_interface.sh

benchmark-fleet: setup  ## what site costs on 20 real SSH hosts, and the controller alone on 400 (10 minutes)
	@$(ROOT) python tests/benchmark/ssh_fleet.py

format: setup  ## let ruff mend what it can
	@$(ROOT) ruff check --fix --quiet; $(ROOT) ruff format

build: setup  ## the artefact for ansible-galaxy, in this folder
	@$(ROOT) python tests/ci/checks.py build && ls $(CURDIR)/*.tar.gz

setup:  ## Ansible and the test tools in .cache/venv, the collection in .cache/collections
	@$(ROOT) tests/ci/setup

clean:  ## remove .cache/ with all that was set up
	$(ROOT) rm -rf .cache
