# People and CI use the same targets. `make run` and `make test` need only git, make and python3 (3.11 or later).
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: run test test-all test-cluster test-web check format docs site bench bench-full publish clean

run: .venv/installed
	$(BIN)/python -m orchestrator.run all $(ARGS)

# All are done by two processes, a file by one of them; each has a Ray and a smoke run of its own.
TWO = -n 2 --dist loadfile --no-loadscope-reorder

test: .venv/developing
	$(BIN)/python -m pytest $(or $(ARGS),$(TWO))

# What takes long too: whole runs that are killed, at 20 moments, or whose disk is full; 200 damaged files, not 6.
test-all: .venv/developing
	FAULTS_KILLS=20 FAULTS_MUTATIONS=200 FAULTS_TRIALS=1000 $(BIN)/python -m pytest -m "" $(ARGS)

# Ray on several hosts; those that need root, namespaces or sshd are skipped, with the reason, where these are missing.
test-cluster: .venv/developing
	$(BIN)/python -m pytest tests/cluster $(ARGS)

# The report's page in Chromium; skipped, with the reason, where there is none (apt-get install chromium).
test-web: .venv/developing
	$(BIN)/python -m pytest tests/web $(ARGS)

check: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/developing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The page of all tables and their columns, from the schemas.
docs: .venv/installed
	$(BIN)/python -m orchestrator.dictionary > docs/tables.md

# The pages of docs/ as a site, build/site/index.html; whatever Sphinx warns of fails.
site: .venv/developing
	$(BIN)/sphinx-build -W --keep-going -q docs build/site

# Measured beside what people would use instead; benchmarks/RESULTS.md. Some ten minutes, with -full some hours.
bench: .venv/developing
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: .venv/developing
	$(BIN)/python -m benchmarks --full $(ARGS)

# Puts a finished run into docs/results, and its numbers into README: make publish RUN=runs/paper
publish: .venv/installed
	$(BIN)/python -m orchestrator.report.publish $(RUN)

# uv installs everything in under a minute; plain pip takes several. Where PyTorch's own index answers, a machine
# without a GPU gets torch without CUDA; PyPI has it with CUDA only.
# Compiled at once: of the seconds from a command to its first training, two thirds would go into that, in every process
# where PYTHONDONTWRITEBYTECODE is set, as in many containers.
INSTALL = $(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --compile-bytecode --editable
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "python 3.11 or later is needed: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	@echo "installing into .venv: up to 3.2 GB to be fetched, 6.5 GB on the disk, most of it torch's CUDA"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(INSTALL) . --torch-backend auto || \
	    { echo "PyTorch's own index does not answer: torch comes from PyPI, with CUDA"; $(INSTALL) .; }
	$(BIN)/python -m compileall -q orchestrator trainables
	$(BIN)/python -m trainables.fashion_mnist
	@touch $@

# And what tests and checks need beside that.
.venv/developing: .venv/installed
	$(INSTALL) ".[bench,dev,export,mlflow,rocrate,wandb]"
	@touch $@

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache
