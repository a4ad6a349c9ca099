PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRITON := $(VENV)/.triton
NATIVE := $(wildcard aesmamba_sdk/model/native/*.cpp aesmamba_sdk/model/native/*.h)
# Said before there is an environment of an older one, which would be kept.
NEW_ENOUGH := import sys; sys.exit(None if sys.version_info >= (3, 11) \
  else "Python 3.11 or later is needed: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.11")

.PHONY: demo test lint install bench results clean

demo: $(STAMP)
	$(BIN)/aesmamba demo

install: $(STAMP)

# Installing compiles the native library.
$(STAMP): pyproject.toml constraints.txt hatch_build.py $(NATIVE)
	@test -x $(BIN)/pip || { $(PYTHON) -c '$(NEW_ENOUGH)' && $(PYTHON) -m venv $(VENV); }
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

# Two processes, each with one thread: threads of several would wait for one another.
test: lint $(TRITON)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# Ten minutes; BENCH="models floor --quick" chooses.
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

# The figures of docs/results.md, with the data that AESMAMBA_DATA names; ONLY=giaa chooses.
results: $(STAMP)
	$(BIN)/python docs/refresh.py docs/results.md --only "$(ONLY)"

clean:
	rm -rf $(VENV) build dist
