PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRITON := $(VENV)/.triton
NATIVE := $(wildcard aesmamba_sdk/model/selective_scan/native/*.cpp aesmamba_sdk/model/selective_scan/native/*.h)

.PHONY: demo test lint install bench clean

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

# Triton is large and needed by no one without a GPU, but its interpreter tests the kernels here.
$(TRITON): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[triton]"
	touch $@

test: lint $(TRITON)
	$(BIN)/python -m pytest

# Ten minutes; BENCH="models floor --quick" chooses.
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) build dist
