# Every target makes the environment itself when it is missing.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
READY := .venv/.ready
# A file at a time, the long ones first (tests/conftest.py). Four workers keep two cores busy: tests wait for servers and disks.
PYTEST := python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: help repro test test-fast engines ui plots tune serve lint lock clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): requirements.lock
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements.lock
	.venv/bin/python -m compileall -q -j 0 .venv/lib > /dev/null || true # a file that does not compile is no error, as for pip
	@touch $@

repro: $(READY) ## run the pipeline (dvc repro, two stages at a time), from the catalogue to a champion in the registry
	python -m croquis repro

test: $(READY) ## run every test, a whole small pipeline included
	$(PYTEST)

test-fast: $(READY) ## run the tests but for the slow ones, some three minutes
	$(PYTEST) -m "not slow and not realdata"

engines: ## install what some tests drive, a PostgreSQL server and a Chromium (Debian's packages; root or sudo)
	$(PYTHON) -m tests.engines

ui: $(READY) ## open the MLflow UI on mlruns/ (http://127.0.0.1:5000)
	python -m croquis ui

plots: $(READY) ## write the page of `dvc plots show` with its charts, for a browser without a network
	python -m croquis plots

tune: $(READY) ## search the triplet margin and the re-rank weights with Optuna
	python -m croquis tune

serve: $(READY) ## serve the champion (http://127.0.0.1:8000)
	python -m croquis serve

lint: $(READY) ## check style and types
	ruff check .
	ruff format --check .
	mypy

lock: $(READY) ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock

clean: ## remove the environment, scratch folders and caches; data, models and runs stay
	rm -rf .venv .scratch .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
