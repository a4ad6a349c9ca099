PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(wildcard aesmamba_sdk/model/selective_scan/native/*.cpp aesmamba_sdk/model/selective_scan/native/*.h)

.PHONY: demo test lint install clean

demo: $(STAMP)
	$(BIN)/aesmamba demo

install: $(STAMP)

# Installing compiles the native scan.
$(STAMP): pyproject.toml constraints.txt hatch_build.py $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) build dist
