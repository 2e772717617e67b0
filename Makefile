# Everything a fresh clone needs is set up by these targets: git, make and Python 3.11 or newer are enough.

SHELL = /bin/sh
export VENV ?= .venv
BIN = $(VENV)/bin
# For pytest, e.g. make test ARGS='-k reap'
ARGS =
# Most tests wait more than they work.
TESTS = $(BIN)/python -m pytest -n logical --maxprocesses 4 $(ARGS)

.DEFAULT_GOAL = help
.PHONY: help demo test check format bench chaos clean ready-to-run ready-to-work

help:  ## show this
	@echo 'make TARGET, where TARGET is'
	@sed -n 's/^\([a-z]*\):[^#]*## /  \1 /p' Makefile | while read -r name what; do printf '  %-8s %s\n' "$$name" "$$what"; done

demo: ready-to-run  ## set up, run the example sweep, end with a table and a picture
	@$(BIN)/python examples/cache_sweep/demo.py

test: ready-to-work  ## set up, run all tests; what had to be left out is named at the end
	@$(TESTS)

check: ready-to-work  ## all of CI: format, lint, types, import contracts, tests
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(TESTS)

format: ready-to-work  ## mend what ruff can mend, and write docs/settings.md anew
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	$(BIN)/python tools/settings_page.py

bench: ready-to-work  ## measure, each figure beside its peer or floor, and print the table
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: ready-to-work  ## ten minutes of faults at random on four hosts (as root); CHAOS_SEED=N for those of an earlier run
	@CHAOS_SEED="$${CHAOS_SEED:-$$(date +%s)}" CHAOS_S="$${CHAOS_S:-600}" $(BIN)/python -m pytest -s tests/chaos $(ARGS)

clean:  ## remove what these targets made
	rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready-to-run:
	@tools/set-up examples

ready-to-work:
	@tools/set-up dev
