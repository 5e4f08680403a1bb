# What a fresh machine needs: Python 3.11 or newer with venv and pip, and make; for the tests npm too.
# Everything else is installed here, in .venv, at the versions of requirements/*.lock.

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
UV_VERSION := 0.13.9
SDK_TESTS := tests/sdk/js
BENCHMARKS ?= fanout connect memory
# Most tests wait for servers of their own, so that two processes take half the time. Empty for one process.
TEST_PROCESSES ?= -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help run install test check lock docs bench clean

help:
	@echo "make run      install and start a hub for development on 127.0.0.1:8000"
	@echo "make install  install what the hub needs into $(VENV)"
	@echo "make test     install what the tests need and run all of them"
	@echo "make check    ruff and mypy"
	@echo "make docs     write the generated pages of docs/"
	@echo "make bench    run the benchmarks ($(BENCHMARKS))"
	@echo "make lock     pin the dependencies anew; UPGRADE=--upgrade for newer versions"
	@echo "make clean    remove what was installed and built"

run: $(VENV)/.run-installed
	$(VENV)/bin/hub serve --dev

install: $(VENV)/.run-installed

test: $(VENV)/.dev-installed .tools $(if $(wildcard $(SDK_TESTS)/package-lock.json),$(SDK_TESTS)/node_modules/.installed)
	$(PY) -m pytest $(TEST_PROCESSES) $(PYTEST_ARGS)

check: $(VENV)/.dev-installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.run-installed
	$(PY) -c 'from pathlib import Path; from config.reference import as_markdown; \
	Path("docs/settings.md").write_text(as_markdown(), encoding="utf-8")'

bench: $(VENV)/.dev-installed
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(PY) -m benchmarks.$$name; done

# A universal lock: one file for every platform and every Python that the hub supports.
COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(UPGRADE)

lock: $(PY)
	$(PIP) install --quiet uv==$(UV_VERSION)
	$(COMPILE) --output-file requirements/run.lock --extra tracing pyproject.toml requirements/build.in
	$(COMPILE) --output-file requirements/dev.lock --extra tracing --extra dev --constraint requirements/run.lock \
		pyproject.toml requirements/build.in

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf $(SDK_TESTS)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@python=$${PYTHON:-$$(scripts/find-python)} && echo "making $(VENV) with $$python" && $$python -m venv $(VENV)

# Stamps, so that a second call has nothing to do.
$(VENV)/.run-installed: requirements/run.lock pyproject.toml | $(PY)
	$(PIP) install --quiet --require-hashes -r requirements/run.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev-installed: requirements/dev.lock $(VENV)/.run-installed
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	@touch $@

.PHONY: .tools
.tools:
	@scripts/ensure-tools

$(SDK_TESTS)/node_modules/.installed: $(SDK_TESTS)/package-lock.json | .tools
	cd $(SDK_TESTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
