# A fresh machine needs python3, pip and make:  make demo   and   make test
# CUDA: `make setup CONSTRAINTS=/dev/null` takes the newest torch instead of the CPU build that CI uses.
export OMP_WAIT_POLICY := passive

PYTHON      ?= python3
CONSTRAINTS ?= constraints/lock-py311-cpu.txt
EXTRAS      ?= all
VENV        := .venv
BIN         := $(VENV)/bin

.PHONY: setup demo test test-core test-slow unit lint bench lock clean

setup: $(VENV)/ready
$(VENV)/ready: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -U "pip>=25.1"
	$(BIN)/pip install -q -c $(CONSTRAINTS) -e ".[$(EXTRAS)]" --group dev
	touch $@

demo: setup
	$(BIN)/colddiff demo --out demo

test: lint unit

unit: setup
	$(BIN)/pytest -q -n 2 -m "not slow"

# The same tests where none of the extras is installed.
test-core:
	$(MAKE) unit VENV=.venv-core EXTRAS=core

test-slow: setup
	$(BIN)/pytest -q -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/pytest benchmarks -q -p no:xdist --benchmark-json=bench.json

# Refresh the lock on purpose, after the tests passed on an unlocked install:
#   make clean && make test CONSTRAINTS=constraints/cpu.txt && make lock
lock:
	$(BIN)/pip freeze --exclude-editable | sed 's/^torch==\([0-9.]*\)+cpu/torch==\1/' > constraints/lock-py311-cpu.txt

clean:
	rm -rf $(VENV) .venv-core demo
