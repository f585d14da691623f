# Two commands on a fresh machine (Python 3.11+, make): `make demo` and `make test`. Each sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
CODE := watcher tests
LINTS := lint-style lint-format lint-types lint-imports lint-sizes

.PHONY: help demo test servers bench lint $(LINTS) venv venv-runtime lock clean

help: ## say what there is
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

demo: venv-runtime ## a good release and a bad one, from the first metric to the verified rollback (KUBECONFIG: on that cluster)
	@$(PYTHON) -m watcher.sandbox.demo

test: lint servers ## the lint checks, then every test
	@$(PYTHON) -m pytest tests --ignore=tests/bench --numprocesses=3 --maxschedchunk=1

# Fetched before the tests, whose time limits a slow mirror would break; what is missing the tests say themselves.
servers: venv
	@$(PYTHON) -c "from watcher.sandbox import prometheus as p; p.find_programs()" || echo "servers: no Prometheus" >&2
	@$(PYTHON) -c "from watcher.sandbox import postgres_programs as p; p.find_programs()" || echo "servers: no PostgreSQL" >&2

bench: venv ## the figures of README
	@$(PYTHON) -m pytest tests/bench --capture=no --timeout=600

# All at once, each one's output in one piece under its name; one failing check does not hide the others.
lint: venv ## ruff, mypy --strict, the import contracts, the sizes
	@$(MAKE) --jobs --output-sync=target --keep-going $(LINTS)

lint-style:
	@echo "lint: ruff check"; $(PYTHON) -m ruff check --quiet $(CODE)

lint-format:
	@echo "lint: ruff format --check"; $(PYTHON) -m ruff format --check --quiet $(CODE)

lint-types:
	@echo "lint: mypy --strict"; $(PYTHON) -m mypy $(CODE)

lint-imports:
	@echo "lint: import contracts"; .venv/bin/lint-imports --no-logo

lint-sizes:
	@echo "lint: sizes"; $(PYTHON) tests/lint/sizes.py $(CODE)

venv:
	@.ci/venv dev

venv-runtime:
	@.ci/venv runtime

lock: venv ## resolve the dependencies anew and write the lock files (network)
	@.ci/lock

clean: ## remove everything that make made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
