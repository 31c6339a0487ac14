# What people and CI both run.  Each target sets up what it needs by itself.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: run demo test check bench format clean
.DEFAULT_GOAL := run

run: $(VENV)/.runtime  ## start the server, making certificates and demo accounts at first start
	$(BIN)/sottovoce serve

demo: $(VENV)/.runtime  ## the three acts: what an eavesdropper gets, on real sockets
	$(BIN)/sottovoce demo

test: $(VENV)/.develop  ## every test that can run here; a skipped one says what to install
	$(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

check: $(VENV)/.develop  ## lint, types, layers, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/arch
	$(BIN)/codespell

format: $(VENV)/.develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench  ## speed as ratios beside peers, in one run
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

# pyproject.toml is the one list of what is needed; a change to it installs anew.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.develop: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.runtime

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	touch $@ $(VENV)/.develop $(VENV)/.runtime
