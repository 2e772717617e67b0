"""A second kernel for tests: run.sh."""
