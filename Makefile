# SPDX-License-Identifier: GPL-3.0-or-later
# Each target is one line. `make lab` is the main job; `make test` is what CI runs.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Ansible does not start in a locale that is not UTF-8, as cron and CI have it.
export LC_ALL := C.UTF-8
# A container may have no home, or one that it cannot write.
export HOME := $(shell [ -w "$$HOME" ] && echo "$$HOME" || echo "$(CURDIR)/build/home")
INVENTORY ?= inventory/example
# Further options of `make site` (Ansible's) and `make verify`, such as ARGS=--ask-become-pass.
ARGS ?=

.PHONY: help lab down site verify prove pictures check lint unit test test-hosts test-code inventory sanity reuse closed-network nightly bench molecule docs build lock wheels core

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26
lab: ## make a lab on this machine: build a host, converge it, check that users can work, print where to log in
	@scripts/bootstrap --containers && python -m scripts.lab up
down: ## remove the lab that `make lab` made
	@scripts/bootstrap --containers && python -m scripts.lab down
site: ## converge the hosts of INVENTORY; ARGS are options of ansible-playbook
	@scripts/bootstrap && scripts/site $(INVENTORY) $(ARGS)
verify: ## run the acceptance suite on the hosts of INVENTORY; ARGS as for site
	@scripts/bootstrap && scripts/verify $(INVENTORY) $(ARGS)
prove: ## prove the GPUs of the hosts of INVENTORY, and write reports to build/proof; ARGS as for site
	@scripts/bootstrap && scripts/prove $(INVENTORY) $(ARGS)
pictures: ## let a real browser use the lab of `make lab`; its screenshots are the README's pictures
	@scripts/bootstrap --browser && scripts/pictures
check: ## lint, unit and interface tests, both at once: under two minutes, no container
	@scripts/bootstrap --test && $(MAKE) --no-print-directory --jobs 2 --output-sync=target lint unit
lint: ## ansible-lint, yamllint, ruff, mypy
	@scripts/bootstrap --test && scripts/lint
unit: ## unit and interface tests
	@scripts/bootstrap --test && pytest tests/unit
test: ## everything that CI runs
	@scripts/test
test-hosts: # a lane of `make test`
	@scripts/test hosts
test-code: # the other lane; its output is printed when it ends
	@scripts/test code >build/reports/code.log 2>&1; code=$$?; cat build/reports/code.log; exit $$code
closed-network: ## converge an old server in a closed network: its files stay, all packages come from a mirror
	@scripts/bootstrap --containers && pytest tests/integration/closed_network -p no:cacheprovider
nightly: ## tests that are too long for CI: faults, users who join and leave, hostile users, drivers, CUDA toolkits, distributions, scanners
	@scripts/bootstrap --containers --test --scanners && scripts/nightly
inventory: ## test the Google Cloud inventory with a fake service, the official plugin and Google's own clients
	@scripts/bootstrap --test && pytest tests/integration/gcp
bench: ## measure converges and write bench/RESULTS.md
	@scripts/bootstrap --containers && python -m bench.converge
molecule: ## run molecule's scenario default
	@scripts/bootstrap --containers && molecule test
sanity: ## build the collection's artefact, check its contents, and run ansible-test's sanity tests on it
	@scripts/bootstrap --test && pytest tests/integration/artefact/test_contents.py -p no:cacheprovider && scripts/sanity
reuse: ## run single roles, from a foreign playbook and from the installed artefact, on their own host
	@scripts/bootstrap --containers && scripts/reuse
core: ## unit tests and the Google Cloud inventory's suite on another ansible-core: make core CORE=2.20
	@scripts/bootstrap --test && scripts/core $(CORE)
docs: ## write the generated parts of the documentation again
	@scripts/bootstrap && python -m scripts.docs
build: ## build the collection's artefact into build/
	@scripts/bootstrap && scripts/build build
lock: ## resolve every lock file again
	@scripts/bootstrap && scripts/lock
wheels: ## check that wheels of the framework locks do not overwrite each other's files, without downloads
	@scripts/bootstrap --test && pytest tests/integration/wheels -p no:cacheprovider
