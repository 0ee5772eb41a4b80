# Everything here sets itself up. A fresh machine needs Python 3.11 or newer with its venv module,
# make and git.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Thousands of interpreters are started: none is to compile what another one has compiled.
unexport PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
# What is installed: the product alone, and what tests, linters, other S3 servers and benchmarks
# need on top.
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
LINT := $(VENV)/.ready-lint
SERVERS := $(VENV)/.ready-s3-servers
BENCH := $(VENV)/.ready-bench
# Most tests wait for processes more than they compute.
WORKERS ?= $(shell echo $$(( $$(nproc) * 3 )))
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
CEPH := ceph-mon ceph-osd radosgw

.DEFAULT_GOAL := help
.PHONY: help demo test test-s3 check docs bench soak clean

help: ## Show what there is to make
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 16

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; PYTHON=... names one" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		v=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$(PYTHON) cannot make a virtual environment: its venv module is missing" >&2; \
		echo "On Debian and Ubuntu: apt-get install python$$v-venv" >&2; exit 1; }
	@echo "Setting up $(VENV), once" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(call install,.)
	@touch $@

$(VENV)/.ready-%: $(READY)
	@echo "Installing what is needed for: $*" >&2
	@$(call install,.[$*],--no-compile)
	@touch $@

# A line that tells how far it is on a terminal, a line for each package elsewhere.
define install
$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off $(2) --editable '$(1)' | \
	awk -v tty=$$(test -t 2 && echo 1) 'function say(t) { \
	printf(tty ? "\r\033[K  %s" : "  %s\n", t) > "/dev/stderr"; fflush("/dev/stderr") } \
	/^(Collecting|Processing)/ { sub(".*/", "", $$2); say(++n ": " $$2) } \
	/^Installing/ { say("installing " NF - 3 " packages") } \
	END { if (tty) print "" > "/dev/stderr" }'
endef

demo: $(READY) ## Watch a real pipeline run to its end, and see where its results are
	@examples/pipeline/demo $(BIN)/spawn

test: $(DEV) $(if $(ALL),$(SERVERS)) ## Run the tests, ALL=1 those of the gate, too; as root, first install what they use
	@tests/tools jq tmux sqlite3 faketime chromium sshd ssh git \
		cloud-init debootstrap shellcheck systemd-analyze $(if $(ALL),$(CEPH))
	@$(PYTEST) $(if $(ALL),,-m "not s3server and not gate")

test-s3: $(DEV) $(SERVERS) ## Run those against other S3 servers: Ceph's radosgw and rclone
	@tests/tools $(CEPH)
	@SPAWN_REQUIRE_S3_SERVERS=1 $(PYTEST) -m s3server tests/contract tests/integration

check: $(LINT) ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 4

docs: $(DEV) ## Write what is generated: the table of moves, docs/states.md, docs/commands/queue.md
	@$(BIN)/python -m tests.support.generate

soak: $(DEV) ## Play COUNT simulated schedules from seed SEED on (10000 from 0)
	@$(BIN)/python -m tests.sim $(or $(COUNT),10000) $(or $(SEED),0)

bench: $(DEV) $(BENCH) ## Measure what the project claims, as ratios in one run; writes docs/benchmarks.md
	@$(BIN)/python -m tests.bench

clean: ## Remove what was set up
	rm -rf $(VENV) .demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
