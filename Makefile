# Each target is one line. `make lab` is the main job; `make test` is what CI runs.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
INVENTORY ?= inventory/example

.PHONY: help lab down site verify pictures check lint unit test molecule docs build lock

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
lab: ## make a lab on this machine: build a host, converge it, prove it, print where to log in
	@scripts/bootstrap --containers && python scripts/lab.py up
down: ## remove the lab that `make lab` made
	@scripts/bootstrap --containers && python scripts/lab.py down
site: ## converge the hosts of INVENTORY
	@scripts/bootstrap && ansible-playbook --inventory $(INVENTORY) site.yml
verify: ## prove that the hosts of INVENTORY are as wished
	@scripts/bootstrap && scripts/verify $(INVENTORY)
pictures: ## a real browser uses the lab of `make lab`; its screenshots are the README's pictures
	@scripts/bootstrap --browser && scripts/pictures
check: lint unit ## lint, unit and interface tests: under two minutes, no container
lint: ## ansible-lint, yamllint, ruff, mypy
	@scripts/bootstrap && scripts/lint
unit: ## unit and interface tests
	@scripts/bootstrap && pytest tests/unit
test: ## everything that CI runs
	@scripts/test
molecule: ## the scenario default alone
	@scripts/bootstrap --containers && molecule test
docs: ## write the generated parts of the documentation anew
	@scripts/bootstrap && python scripts/docs.py
build: ## build the collection's artefact into build/
	@scripts/bootstrap && ansible-galaxy collection build --force --output-path build
lock: ## resolve every lock file anew
	@scripts/bootstrap && scripts/lock
