# The README's two commands. Both make what they need in .venv and touch nothing outside this folder.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# A file of versions and hashes, of which the tests' packages are installed first; .ci/run gives its own.
LOCK ?=
RUN := runs/digits-$(shell date +%Y%m%d-%H%M%S)

# Each module is compiled once, not again by each of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint clean
.DEFAULT_GOAL := demo

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "srnn needs Python 3.11 or newer; name one with PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml $(LOCK)
	$(if $(LOCK),$(BIN)/python -m pip install --quiet --no-deps --only-binary :all: --require-hashes --requirement $(LOCK))
	$(BIN)/python -m pip install --quiet $(if $(LOCK),--no-build-isolation) --editable ".[test]"
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## train a spiking network on real handwritten digits, measure it, and make a page about it
	$(BIN)/srnn train digits --out $(RUN)
	$(BIN)/srnn report $(RUN) --split test

test: $(VENV)/.test  ## run the default tests on up to four cores, of which one that is done takes over from the others
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(PYTEST)

lint: $(VENV)/.test  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
