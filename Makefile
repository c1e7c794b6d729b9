# MLOps Control Tower. `make help` lists what there is.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := app bench config.py wsgi.py gunicorn.conf.py demo tests

# Compiled modules are kept, whatever the environment says: tests start the service a hundred times, and each start
# would compile it again, for most of a second.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install run demo test coverage test-long kinds screenshots bench lint format lock sbom clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

install: .venv/.installed ## Make .venv with what the service needs

run: .venv/.installed ## Serve; without MLFLOW_TRACKING_URI on an embedded MLflow with real demo models
	@$(BIN)/python -m demo --if-embedded
	@exec $(BIN)/gunicorn wsgi:app

demo: .venv/.installed ## Build the demo registry, or score the days that are missing
	@$(BIN)/python -m demo

# Tests write some hundred thousand small files. In memory, where there is room for them, that takes half the time.
MEMORY := $(shell [ -w /dev/shm ] && [ "$$(df -Pm /dev/shm | awk 'NR == 2 { print $$4 }')" -ge 4000 ] && echo /dev/shm)
test: export TMPDIR := $(or $(TMPDIR),$(MEMORY),/tmp)
test: .venv/.installed-dev ## Run every test but the long ones
	@-scripts/need.sh promtool prometheus
	@-scripts/need.sh chromium-headless-shell
	@-scripts/need.sh redis-server
	@-scripts/need.sh mariadbd mariadb-server-core
	@-scripts/need.sh my_print_defaults mariadb-client-core
	$(BIN)/python -m pytest tests/unit tests/api -n 4 $(FIRST)
	$(BIN)/python -m pytest tests/contract tests/demo tests/integration tests/browser -n 4 --dist loadscope $(THEN)
	@echo "The storms, the races and the soak are not among these: make test-long"

# Coverage doubles the time of the tests that need no server.
coverage: ## Run every test but the long ones, and show the lines that none of them reaches
	@$(MAKE) test FIRST="--cov --cov-report= --cov-fail-under 0" THEN="--cov --cov-append --cov-report=term"

test-long: .venv/.installed-dev ## Storms of kill -9, races, a soak (10 minutes; ARGS="--minutes 10" for longer ones)
	$(BIN)/python -m pytest tests/long -s $(ARGS)

# It takes 15 minutes, and 3 GB in var/kinds.
kinds: .venv/.installed-dev ## Run the service on other versions, databases and doors of MLflow (ARGS="-k MariaDB")
	@-scripts/need.sh nginx
	@-scripts/need.sh mariadbd mariadb-server-core
	@-scripts/need.sh my_print_defaults mariadb-client-core
	$(BIN)/python -m pytest tests/kinds -v -rs $(ARGS)

screenshots: .venv/.installed-dev ## Render every page of the demo fleet into docs/images
	@-scripts/need.sh chromium-headless-shell
	$(BIN)/python -m tests.browser.screenshots

bench: .venv/.installed-dev ## Measure what the documentation claims (half an hour; ARGS="rates --rounds 3" for less)
	@scripts/need.sh wrk
	@-scripts/need.sh chromium-headless-shell
	$(BIN)/python -m bench $(ARGS)

lint: .venv/.installed-dev ## Check style, types and the walls between the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/.installed-dev ## Pin the newest versions within the ranges, with hashes
	$(BIN)/uv pip compile --upgrade $(LOCK) --output-file requirements.lock requirements.txt
	$(BIN)/uv pip compile --upgrade $(LOCK) --output-file requirements-dev.lock requirements-dev.txt
	$(BIN)/uv pip compile --upgrade $(LOCK) --output-file requirements-sbom.lock requirements-sbom.txt

sbom: .venv/.installed-dev ## Write sbom.cdx.json: what requirements.lock pins, in CycloneDX' format
	scripts/sbom.sh requirements.lock sbom.cdx.json

# One file for every system and every Python from 3.11 on; it names no index.
# Extras are named: an older pip takes the newest coverage for coverage[toml] whatever coverage is pinned to, and
# refuses it for want of a hash.
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-strip-extras

clean: ## Remove .venv, the cache, the embedded MLflow and what tests leave
	rm -rf .venv cache var .coverage .coverage.* sbom.cdx.json
	rm -rf .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without a working Python in it (the system's was replaced or removed), .venv is made anew.
.venv/bin/python: ;

.venv/.installed: requirements.lock scripts/setup.sh .venv/bin/python
	@PYTHON="$(PYTHON)" scripts/setup.sh requirements.lock $@

.venv/.installed-dev: requirements-dev.lock scripts/setup.sh .venv/bin/python
	@PYTHON="$(PYTHON)" scripts/setup.sh requirements-dev.lock $@
	@touch .venv/.installed
