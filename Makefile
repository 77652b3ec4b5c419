# Each target makes .venv and installs what it needs by itself, once; PYTHON chooses the interpreter (3.11 or later).
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/quickstart/$(shell date +%Y%m%d-%H%M%S)

.PHONY: quickstart test faults lint docs clean

quickstart: .venv/installed
	$(BIN)/python -m lit_mlm fit --config quickstart.yaml --run_dir $(RUN)
	$(BIN)/python -m lit_mlm fill --model $(RUN)/hf --top_k 3 \
	    "New in [MASK] 3.8." \
	    "This method should return the [MASK] of the object." \
	    "The for statement is used to iterate over the elements of a <mask>."

test: .venv/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

faults: .venv/installed-dev
	$(BIN)/python -m tests.faults

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist site .mypy_cache .pytest_cache .ruff_cache

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	touch $@
