# Everything a fresh clone needs is set up by these targets: git, make and Python 3.11 or newer are enough.

SHELL = /bin/sh
PYTHON_IN_VENV = .venv/bin/python
# For pytest, e.g. make test ARGS='-k reap'
ARGS =

.DEFAULT_GOAL = help
.PHONY: help demo test check format bench clean ready-to-run ready-to-work

help:  ## show this
	@echo 'make TARGET, where TARGET is'
	@sed -n 's/^\([a-z]*\):[^#]*## /  \1 /p' Makefile | while read -r name what; do printf '  %-8s %s\n' "$$name" "$$what"; done

demo: ready-to-run  ## set up, run the example sweep, end with a table and a picture
	@$(PYTHON_IN_VENV) examples/cache_sweep/demo.py

test: ready-to-work  ## set up, run all tests; what had to be left out is named at the end
	@$(PYTHON_IN_VENV) -m pytest $(ARGS)

check: ready-to-work  ## all of CI: format, lint, types, import contracts, tests
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m mypy
	.venv/bin/lint-imports
	$(PYTHON_IN_VENV) -m pytest $(ARGS)

format: ready-to-work  ## mend what ruff can mend, and write docs/settings.md anew
	$(PYTHON_IN_VENV) -m ruff check --fix .
	$(PYTHON_IN_VENV) -m ruff format .
	$(PYTHON_IN_VENV) tools/settings_page.py

bench: ready-to-work  ## measure, each figure beside its peer or floor, and print the table
	@$(PYTHON_IN_VENV) -m benchmarks $(ARGS)

clean:  ## remove what these targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready-to-run:
	@tools/set-up examples

ready-to-work:
	@tools/set-up dev
