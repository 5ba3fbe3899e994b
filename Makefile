# Every target that runs Python but test-gpu uses the virtual environment below; `make venv` builds it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo fidelity-table test test-slow test-browser test-chain test-cluster test-fuzz test-full-size test-gpu test-hf test-versions lint format package bench clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# A half-made environment would look finished to the next run: it is removed.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(INSTALLED): pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV): some minutes and several GB the first time"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

venv: $(INSTALLED) ## create or reuse .venv and install Auricle with everything for development

demo: venv ## train on generated sounds and answer sentences (recipes/demo.yaml)
	$(BIN)/python train.py recipes/demo.yaml

# One process a core, each with files of tests of its own; torch then needs but one thread in each.
test: venv ## run the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not full_size and not cluster and not browser and not versions and not fuzz and not chain"

# pytest leaves with 5 when it finds no test of the kind: no slow test is no failure.
test-slow: venv ## run the tests that train something or take long
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "slow and not chain" || test $$? -eq 5

test-browser: venv ## run the tests that look at pages in headless Chromium (chromium, chromedriver)
	$(BIN)/python -m pytest -m browser

test-chain: venv ## run the chain of `auricle reproduce` on a miniature, killed AURICLE_CHAIN_KILLS times (2)
	$(BIN)/python -m pytest -m chain --durations=0

# Ray is large and few want it: it is installed for this target alone.
$(VENV)/.installed-ray: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev,ray]'
	@touch $@

test-cluster: $(VENV)/.installed-ray ## run the tests that start a Ray cluster of two nodes on loopback
	$(BIN)/python -m pytest -m cluster

test-fuzz: venv ## read 10,000 mutated sound files (AURICLE_FUZZ_FILES, AURICLE_FUZZ_SEED); 500 of them are in test-slow
	$(BIN)/python -m pytest -m fuzz

test-full-size: venv ## run every recipe of recipes/clotho for two steps, networks at published size
	$(BIN)/python -m pytest -m full_size --durations=0

# The interpreter at hand with the torch that fits its driver: a virtual environment would bring another one.
test-gpu: ## check towers, training and speed on a GPU, with PYTHON's torch and transformers; no .venv, no network
	$(PYTHON) tests/gpu/check_gpu.py --output runs/gpu_checks.md

# Nothing of transformers' tests enters the repository: they are fetched into a cache for the installed version.
$(VENV)/.installed-mteb: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev,mteb]'
	@touch $@

test-hf: $(VENV)/.installed-mteb ## run transformers' own common tests of models, configs and processors on our classes
	source="$$($(BIN)/python tests/hf/fetch_common_tests.py)" && \
		AURICLE_TRANSFORMERS_TESTS="$$source" $(BIN)/python -m pytest tests/hf tests/hub/test_mteb_entry.py

test-versions: venv ## try the lowest and the newest supported transformers, datasets, sentence-transformers, peft
	$(BIN)/python -m pytest -m versions -s tests/versions

fidelity-table: venv ## write the tables of docs/fidelity.md from the paper's recipes
	$(BIN)/python tests/fidelity_table.py

lint: venv ## check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: venv ## put format and import order right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Beside the repository, so that nothing of it stays; what a build prints is shown where it fails.
package: venv ## build the source distribution and the wheel in a temporary directory and check both (build, twine)
	@folder="$$(mktemp -d)" && trap 'rm -rf "$$folder"' EXIT && \
		{ $(BIN)/python -m build --outdir "$$folder/dist" . > "$$folder/log" 2>&1 || { cat "$$folder/log"; exit 1; }; } && \
		$(BIN)/python -m twine check --strict "$$folder"/dist/*

bench: venv ## run every benchmarks/bench_*.py
	@set -e; for script in benchmarks/bench_*.py; do \
		if [ -e "$$script" ]; then echo "== $$script"; $(BIN)/python "$$script"; \
		else echo "no benchmarks/bench_*.py yet"; fi; \
	done

clean: ## remove the environment, caches and build leftovers; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
