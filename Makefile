# Everything here sets itself up: a fresh machine needs Python 3.11 or newer, make and git.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Most tests wait for processes more than they compute.
WORKERS ?= $(shell echo $$(( $$(nproc) * 2 )))
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
CEPH := ceph-mon ceph-osd radosgw

.DEFAULT_GOAL := help
.PHONY: help demo test test-s3 check docs bench soak clean

help: ## Show what there is to make
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 16

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; PYTHON=... names one" >&2; exit 1; }
	@echo "Setting up $(VENV), once" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY) ## Watch a real pipeline run to its end, and see where its results are
	@examples/pipeline/demo $(BIN)/spawn

test: $(READY) ## Run the tests; as root, first install the programs that they use
	@tests/tools jq tmux sqlite3 faketime chromium sshd ssh git \
		cloud-init debootstrap shellcheck systemd-analyze $(if $(S3_SERVERS),$(CEPH))
	@$(PYTEST) $(if $(S3_SERVERS),,-m "not s3server")

test-s3: $(READY) ## Run those against other S3 servers: Ceph's radosgw and rclone
	@tests/tools $(CEPH)
	@SPAWN_REQUIRE_S3_SERVERS=1 $(PYTEST) -m s3server tests/contract tests/integration

check: $(READY) ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 4

docs: $(READY) ## Write what is generated: the table of moves, docs/states.md, docs/commands/queue.md
	@$(BIN)/python -m tests.support.generate

soak: $(READY) ## Play COUNT simulated schedules from seed SEED on (10000 from 0)
	@$(BIN)/python -m tests.sim $(or $(COUNT),10000) $(or $(SEED),0)

bench: $(READY) ## Measure what the project claims, as ratios in one run; writes docs/benchmarks.md
	@$(BIN)/python -m tests.bench

clean: ## Remove what was set up
	rm -rf $(VENV) .demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
