# Everything a developer does. Each target sets up what it needs in .cache/ (and, on Debian and Ubuntu, by apt).

SHELL := /bin/bash
.DEFAULT_GOAL := help
PARTS := lint sanity unit integration artefact molecule

export PATH := $(CURDIR)/.cache/venv/bin:$(PATH):/usr/sbin:/sbin
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.cache/collections

.PHONY: help setup demo demo-shell demo-clean test $(PARTS) quick format build clean

help:  ## this list
	@sed -nE 's/^([^#:]+):.*  ## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name text; do \
		printf '  make %-18s %s\n' "$${name//\$$(PARTS)/PART}" "$$text"; done

setup:  ## Ansible and the test tools in .cache/venv, the collection in .cache/collections
	@tests/ci/setup

demo: setup  ## a relayed network of five hosts on this machine, from an inventory to the ping matrix
	@tests/lab/lab demo

demo-shell: setup  ## look around on a host of the demo, HOST=laptop for instance
	@tests/lab/lab shell "$(HOST)"

demo-clean: setup  ## remove the demo's hosts and networks
	@tests/lab/lab down

test: setup  ## everything below, two checks at a time
	@python tests/ci/checks.py

$(PARTS): setup  ## one part: lint, sanity, unit, integration, artefact or molecule
	@python tests/ci/checks.py $@

quick: setup  ## the unit tests on one Python, as one writes
	@python -m pytest -q -n 2 $(TESTS)

format: setup  ## let ruff mend what it can
	@ruff check --quiet --fix; ruff format --quiet

build: setup  ## the artefact for ansible-galaxy
	@python tests/ci/checks.py build

clean:  ## remove .cache/ with all that was set up
	rm -rf .cache
