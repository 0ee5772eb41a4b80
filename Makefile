# Each target installs what it needs. A fresh machine needs make, git, and Python 3.11 or newer with
# its venv module.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# The tests start thousands of interpreters, which must share compiled bytecode.
unexport PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
# Stamps of what is installed: the product, and the extras for tests, linters, other S3 servers and
# benchmarks.
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
LINT := $(VENV)/.ready-lint
SERVERS := $(VENV)/.ready-s3-servers
BENCH := $(VENV)/.ready-bench
# More workers than cores, because most tests wait for processes.
WORKERS ?= $(shell echo $$(( $$(nproc) * 3 )))
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
CEPH := ceph-mon ceph-osd radosgw

.DEFAULT_GOAL := help
.PHONY: help demo test test-s3 check docs bench soak clean

help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 16

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		v=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$(PYTHON) cannot create a virtual environment: its venv module is missing" >&2; \
		echo "On Debian and Ubuntu: apt-get install python$$v-venv" >&2; exit 1; }
	@echo "Setting up $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(call install,.)
	@touch $@

$(VENV)/.ready-%: $(READY)
	@echo "Installing packages for: $*" >&2
	@$(call install,.[$*],--no-compile)
	@touch $@

# Shows progress: one updated line on a terminal, one line per package otherwise.
define install
$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off $(2) --editable '$(1)' | \
	awk -v tty=$$(test -t 2 && echo 1) 'function say(t) { \
	printf(tty ? "\r\033[K  %s" : "  %s\n", t) > "/dev/stderr"; fflush("/dev/stderr") } \
	/^(Collecting|Processing)/ { sub(".*/", "", $$2); say(++n ": " $$2) } \
	/^Installing/ { say("installing " NF - 3 " packages") } \
	END { if (tty) print "" > "/dev/stderr" }'
endef

demo: $(READY) ## Run an example pipeline and show its results
	@examples/pipeline/demo $(BIN)/spawn

test: $(DEV) $(if $(ALL),$(SERVERS)) ## Run the tests; ALL=1 adds the gate's. As root, first installs missing tools
	@tests/tools jq tmux sqlite3 faketime chromium sshd ssh git \
		cloud-init debootstrap shellcheck systemd-analyze $(if $(ALL),$(CEPH))
	@$(PYTEST) $(if $(ALL),,-m "not s3server and not gate")

test-s3: $(DEV) $(SERVERS) ## Run the tests against other S3 servers: Ceph's radosgw and rclone
	@tests/tools $(CEPH)
	@SPAWN_REQUIRE_S3_SERVERS=1 $(PYTEST) -m s3server tests/contract tests/integration

check: $(LINT) ## Check format, lint rules, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 4

docs: $(DEV) ## Write the generated files: transition tables, events, states, crashes, commands
	@$(BIN)/python -m tests.support.generate

soak: $(DEV) ## Run COUNT simulated schedules, starting with seed SEED (default: 10000 from 0)
	@$(BIN)/python -m tests.sim $(or $(COUNT),10000) $(or $(SEED),0)

bench: $(DEV) $(BENCH) ## Run the benchmarks and write docs/benchmarks.md
	@tests/tools sshd ssh
	@$(BIN)/python -m tests.bench

clean: ## Remove the virtual environment, caches and build output
	rm -rf $(VENV) .demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
