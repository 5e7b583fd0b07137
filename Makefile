# What a newcomer types. `make` says what there is; each target is plain commands you can run too.
.DEFAULT_GOAL := help
.PHONY: help run nightly dagster reports tick test test-slow test-emulator check-bigquery doctor lint bench licences clean

# uv, on PATH or put into .tools, makes .venv from uv.lock.
UV := $(shell command -v uv || echo .tools/bin/uv)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PRE_COMMIT_HOME := $(CURDIR)/output/pre-commit
# Dagster's settings, where it keeps what it remembers, and where it finds orchestrate/.
export PYTHONPATH := $(CURDIR)
export DAGSTER_HOME ?= $(CURDIR)/orchestrate
export HEADWATER_DAGSTER_DIR ?= $(CURDIR)/output/dagster
# Compiled once, Meltano, dbt and the plugins start in half the time.
unexport PYTHONDONTWRITEBYTECODE

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: .venv/.synced ## Postgres and Shopify to a modelled warehouse, and what arrived
	@sandbox up
	@python orchestrate/run.py

nightly: .venv/.synced ## The same through Dagster: the job that the schedule runs at 2 AM, now
	@sandbox up
	@python orchestrate/run.py --dagster

dagster: .venv/.synced ## Dagster's UI and its daemon, at http://127.0.0.1:3000
	@sandbox up
	@mkdir -p $(HEADWATER_DAGSTER_DIR)
	@dagster dev --module-name orchestrate.definitions --host 127.0.0.1 --port $(or $(DAGSTER_PORT),3000)

reports: .venv/.synced ## Open the reports that the newest run made
	@meltano --log-level warning invoke reports open

tick: .venv/.synced ## Let a day of business pass in the sandbox
	@sandbox tick

test: .venv/.synced ## Run the tests, but for the slow ones
	@pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-slow: .venv/.synced ## Run the slow ones: many whole nights, the emulator, Dagster's daemon
	@pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -m slow

test-emulator: .venv/.synced ## Run BigQuery's wire path at the emulator, and compare with DuckDB
	@pytest -m slow tests/test_emulator.py

check-bigquery: .venv/.synced ## Check all SQL with Google's own analyzer, offline
	@pytest tests/test_bigquery_sql.py

doctor: .venv/.synced ## Say what is missing before the first run, and how to get it
	@meltano --log-level warning invoke doctor

lint: .venv/.synced ## Check style: SQL, Python, YAML, secrets
	@pre-commit run --all-files

bench: .venv/.synced ## Measure, side by side in one run; writes output/bench.json
	@$(UV) sync --quiet --frozen --group bench
	@python tests/bench.py

licences: .venv/.synced ## Write docs/licences.md: what is installed, and under which terms
	@$(UV) sync --quiet --frozen --group bench
	@meltano --log-level warning install extractor tap-shopify
	@python docs/licences.py > docs/licences.md

clean: ## Stop the sandbox and remove what runs have made
	@if [ -d output/sandbox ]; then sandbox down; fi
	rm -rf output .meltano

# Meltano makes the Shopify tap's environment when it runs, but sees no change in its lock.
.venv/.synced: pyproject.toml uv.lock $(wildcard plugins/*/*/pyproject.toml plugins/requirements/*.txt) | $(UV)
	$(UV) sync --frozen
	@rm -rf .meltano/extractors/tap-shopify
	@touch $@

.tools/bin/uv:
	python3 -m pip install --quiet --disable-pip-version-check --target .tools uv==0.13.8
