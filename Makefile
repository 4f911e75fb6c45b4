# People and CI use the same targets. `make run` and `make test` need only git, make and python3 (3.11 or later).
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: run test test-all test-cluster check format docs bench clean

run: .venv/installed
	$(BIN)/python -m orchestrator.run all $(ARGS)

test: .venv/installed
	$(BIN)/python -m pytest $(ARGS)

# What takes long too: whole runs that are killed, at 20 moments, or whose disk is full; 200 damaged files, not 6.
test-all: .venv/installed
	FAULTS_KILLS=20 FAULTS_MUTATIONS=200 FAULTS_TRIALS=1000 $(BIN)/python -m pytest -m "" $(ARGS)

# Ray on several hosts; those that need root, namespaces or sshd are skipped, with the reason, where these are missing.
test-cluster: .venv/installed
	$(BIN)/python -m pytest tests/cluster $(ARGS)

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The page of all tables and their columns, from the schemas.
docs: .venv/installed
	$(BIN)/python -m orchestrator.dictionary > docs/tables.md

bench: .venv/installed
	$(BIN)/python -m benchmarks.training_speed

# uv installs everything in under a minute; plain pip takes several.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "python 3.11 or later is needed: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m trainables.fashion_mnist
	@touch $@

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache
