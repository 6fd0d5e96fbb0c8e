# Every target makes the environment itself when it is missing.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PACKAGES := .venv/.packages
PIPELINE := .venv/.pipeline
DEV := .venv/.dev
PIP := .venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check
# uv installs faster than pip. It does not read pip's settings: where it reaches no index, pip goes on.
UV := .venv/bin/uv pip install --quiet --python .venv/bin/python --system-certs
# All files at once by two cores, but for tests of packages; one that does not compile is no error, as for pip.
COMPILE := .venv/bin/python -m compileall -q -j 0 -x /tests/ .venv/lib > /dev/null || true
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" --quiet
# A file at a time, the long ones first (tests/support/file_order.py). Four workers keep two cores busy: tests wait for servers
# and disks. None needs threads of its own, which wait by spinning. What tests write stays in memory where that has room.
# Compiled tests are kept, whatever the shell says: without them each worker rewrites all. A worker that crashes ends the run, and
# its test is named: xdist would give the file to another worker, and may wait for ever.
MEMORY := $(shell df -Pk /dev/shm 2> /dev/null | awk 'NR == 2 && $$4 > 8000000 { print "/dev/shm" }')
PYTEST := $(if $(MEMORY),PYTEST_DEBUG_TEMPROOT=$(MEMORY)) OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= \
	python -m pytest -n 4 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder
FAST := -m "not slow and not realdata"

.PHONY: help repro test test-fast coverage engines ui plots tune serve lint docs wheel lock clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(PACKAGES): locks/pipeline.txt
	$(PYTHON) -m venv .venv
	awk '/^[a-z]/ { of_uv = /^uv==/ } of_uv' $< > .venv/uv.txt
	$(PIP) --require-hashes -r .venv/uv.txt && $(UV) --require-hashes -r $< || $(PIP) --require-hashes -r $<
	$(COMPILE)
	@touch $@

# The project itself: its command and its metadata. Python finds the modules of the current folder before these.
$(PIPELINE): pyproject.toml $(PACKAGES)
	$(PIP) --no-deps --no-build-isolation --editable .
	rm -rf croquis.egg-info
	@touch $@

$(DEV): locks/dev.txt $(PACKAGES) | $(PIPELINE)
	$(UV) --require-hashes -r $< || $(PIP) --require-hashes -r $<
	$(COMPILE)
	@touch $@

repro: $(PIPELINE) ## run the pipeline (dvc repro, two stages at a time), from the catalogue to a champion in the registry
	python -m croquis repro

test: $(DEV) ## run every test, a whole small pipeline included
	$(PYTEST)

test-fast: $(DEV) ## run the tests but for the slow ones
	$(PYTEST) $(FAST)

coverage: $(DEV) ## run those of test-fast, and print which lines and branches they leave out
	$(PYTEST) $(FAST) --cov --cov-report=term:skip-covered

engines: ## install what some tests drive, PostgreSQL, NATS and a Chromium (Debian's packages; root or sudo)
	$(PYTHON) -m tests.support.engines

ui: $(PIPELINE) ## open the MLflow UI on mlruns/ (http://127.0.0.1:5000)
	python -m croquis ui

plots: $(PIPELINE) ## write reports/results.html: charts, galleries and an error browser in one page
	python -m croquis plots

tune: $(PIPELINE) ## search the triplet margin and the re-rank weights with Optuna
	python -m croquis tune

serve: $(PIPELINE) ## serve the champion (http://127.0.0.1:8000)
	python -m croquis serve

lint: $(DEV) ## check style, types and declared dependencies
	ruff check .
	ruff format --check .
	mypy
	deptry .

docs: $(DEV) ## build the docs site in site/, links checked
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet

wheel: ## build the wheel in dist/
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .
	rm -rf build croquis.egg-info

lock: $(PACKAGES) ## write locks/ anew from pyproject.toml; the pins that still fit stay
	$(LOCK) --extra dev --group build --output-file locks/dev.txt
	$(LOCK) --extra pipeline --extra serving --extra weights --group build --constraint locks/dev.txt --output-file locks/pipeline.txt
	$(LOCK) --extra registry --extra scale --extra serving --constraint locks/dev.txt --output-file locks/platform.txt
	$(LOCK) --extra serving --constraint locks/dev.txt --output-file locks/runtime.txt

clean: ## remove the environment, scratch folders and caches; data, models and runs stay
	rm -rf .venv .scratch .pytest_cache .mypy_cache .ruff_cache .hypothesis site dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
