# make setup | demo | test | lint | clean. The first call of any makes .venv and installs into it; nothing is compiled.
#   make setup PYTHON=python3.12
#   make clean setup TORCH_INDEX_URL=<index of another torch build: CPU, or a CUDA version>

PYTHON ?= python3
TORCH_INDEX_URL ?=
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup demo test lint clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "graphrec needs Python 3.11 or newer: make setup PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifneq ($(TORCH_INDEX_URL),)
	$(BIN)/python -m pip install --index-url $(TORCH_INDEX_URL) $$(grep '^torch==' constraints.txt)
endif
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/graphrec demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy graphrec
	$(BIN)/lint-imports --no-logo

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .benchmarks build dist
	find graphrec tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
