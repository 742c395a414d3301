# A fresh machine needs python3, pip and make:  make demo   and   make test
# CUDA: `make setup CONSTRAINTS=/dev/null` takes the newest torch instead of the CPU build that CI uses.
export OMP_WAIT_POLICY := passive

PYTHON      ?= python3
CONSTRAINTS ?= constraints/lock-py311-cpu.txt
EXTRAS      ?= all
# Of a benchmark: some sections (ONLY=operators,steps), more of its options (BENCH="--rounds 25"), CIFAR-10's folder.
ONLY        ?=
BENCH       ?=
DATA        ?=
VENV        := .venv
BIN         := $(VENV)/bin

.PHONY: setup browser docs dist demo test test-core test-slow test-cpus unit fuzz soak lint bench bench-rmse lock clean

setup: $(VENV)/ready
$(VENV)/ready: pyproject.toml $(CONSTRAINTS) constraints/beside.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -U "pip>=25.1"
	$(BIN)/pip install -q -c $(CONSTRAINTS) -e ".[$(EXTRAS)]" --group dev
ifneq ($(EXTRAS),core)
	$(BIN)/pip install -q --no-deps --target $(VENV)/beside -r constraints/beside.txt
endif
	touch $@

demo: setup
	$(BIN)/colddiff demo --out demo

# The pages, in docs/_build/html; a warning is an error. What they show is written by docs/_tools/tutorial.py and docs/_tools/operators.py.
docs: setup
	$(BIN)/sphinx-build -W --keep-going -q -n -b html docs docs/_build/html
	@echo docs/_build/html/index.html

test: lint browser unit

# Chromium for the tests of the app: what is there, what the system packages (as root), or what playwright downloads.
# Without one those tests are skipped, and say so.
browser: setup
	@for name in chromium chromium-browser google-chrome; do command -v $$name > /dev/null && exit 0; done; \
	echo "Chromium, for the tests of the app, by apt-get if this is root, else by playwright ..."; \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get && apt-get update -qq \
	  && apt-get install -y -qq --no-install-recommends chromium; } > /dev/null 2>&1 \
	|| timeout 300 $(BIN)/playwright install chromium > /dev/null 2>&1 \
	|| echo "no Chromium: the tests of the app in a browser are skipped"

unit: setup
	$(BIN)/pytest -q -n 2 -m "not slow"

# The same tests where none of the extras is installed.
test-core:
	$(MAKE) unit VENV=.venv-core EXTRAS=core

test-slow: setup
	$(BIN)/pytest -q -m slow

# The same tests as on other CPUs, with one thread and with two: an hour.
test-cpus: setup
	for cpu in CPU=this ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2; do \
	  for threads in 1 2; do \
	    echo "$$cpu OMP_NUM_THREADS=$$threads"; \
	    env $$cpu OMP_NUM_THREADS=$$threads $(BIN)/pytest -q -n 2 -m "not slow" || exit 1; \
	  done; \
	done

# Ten minutes of files of a run spoiled at random; what is found says with which seed.
fuzz: setup
	PYTHONPATH=tests $(BIN)/python -m robustness.fuzz_readers --minutes 10

# Half an hour: a training killed 200 times, then 100,000 streamed pictures.
soak: setup
	COLDDIFF_KILLS=200 $(BIN)/pytest -q tests/robustness/test_sigkill.py
	$(BIN)/python tests/robustness/soak_stream.py

# Wheel and source, installed as users do in environments of their own: core alone, and each extra. Some ten minutes.
dist: setup
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python tests/repo/check_install.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One of the peers asks for torchvision, which has no build for some CPU versions of torch: it comes without.
$(VENV)/peers: $(VENV)/ready
	$(BIN)/pip install -q -c $(CONSTRAINTS) -e ".[bench]"
	$(BIN)/pip install -q --no-deps "denoising-diffusion-pytorch>=2.3"
	touch $@

# Writes bench.json and docs/results/performance.md, on whatever this machine has; leave it alone meanwhile, for about an hour.
bench: $(VENV)/peers
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(BENCH)

# Two peers and ours to the same test error, an hour and a half: make bench-rmse DATA=folder
RMSE := $(BIN)/python -m benchmarks.studies.time_to_rmse
bench-rmse: $(VENV)/peers
	$(if $(DATA),,$(error DATA=folder of CIFAR-10 is needed, nothing is downloaded))
	for task in deblurring inpainting; do \
	  for net in lucidrains diffusers; do $(RMSE) train $$net $$task $(DATA) --minutes 15 || exit 1; done; \
	  for minutes in 3 5 7.5; do $(RMSE) train ours $$task $(DATA) --minutes $$minutes || exit 1; done; \
	done
	$(RMSE) table --page docs/results/performance.md

# Refresh the lock on purpose, after the tests passed on an unlocked install:
#   make clean && make test CONSTRAINTS=constraints/cpu.txt && make lock
lock:
	$(BIN)/pip freeze --exclude-editable | sed 's/^torch==\([0-9.]*\)+cpu/torch==\1/' > constraints/lock-py311-cpu.txt

clean:
	rm -rf $(VENV) .venv-core demo
