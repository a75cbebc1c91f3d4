# `make` alone lists the targets. Every target sets up what it needs.
# Python is the only requirement: PYTHON names the interpreter, 3.11 or newer.
PYTHON ?= python3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

# The command `ingest` does the work; see `.venv/bin/ingest --help`.
INGEST := .venv/bin/ingest
ROOT_READY := .venv/.synced
# Every folder with a pyproject.toml is a project with an environment of its own.
FOLDERS := $(patsubst %/pyproject.toml,%,$(wildcard locations/*/pyproject.toml))
PROJECTS := $(patsubst %/pyproject.toml,%,$(wildcard */pyproject.toml)) $(FOLDERS)
ready = $(addsuffix /.venv/.synced,$(1))
# What the named suites need: their own environments, and those of the projects that they start.
started_by = $(if $(filter tests% locations/%,$(1)),sandbox) $(if $(filter tests%,$(1)),host $(FOLDERS))
ready_to_test = $(ROOT_READY) $(call ready,$(sort $(filter $(PROJECTS),$(1) $(call started_by,$(1)))))

# `make rollback TO=...` is `ingest rollback --to=...`: the shell takes the value from the environment, where make
# puts the values from its command line, so nothing in them runs as a command.
option = $${$(1):+--$(2)="$$$(1)"}
# What is deployed: the platform's own services, or a location.
what = $(if $(filter 1,$(HOST)),host,$$LOCATION)
live := $(if $(filter 0 no false,$(SANDBOX)),--live)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {gsub(/\$$\$$/, "$$", $$2); printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run

.PHONY: ingest
ingest: $(call ready,sandbox $(filter $(or $(ONLY:%=locations/%),$(FOLDERS)),$(FOLDERS))) ## Run every location's job (or ONLY="github"), or with AUDIT=1 its audit, against the sandbox; SANDBOX=0 for the real APIs
	@$(INGEST) run $(if $(filter 1,$(AUDIT)),--audit) $(live) $$ONLY

.PHONY: dev
dev: $(call ready,sandbox host $(FOLDERS)) ## Serve Dagster's UI with every location, on PORT=3000
	@$(INGEST) dev $(live) $(call option,PORT,port)

.PHONY: sandbox
sandbox: $(call ready,sandbox) ## Serve the sandbox APIs, with the world of `make ingest`, until Ctrl-C
	@$(INGEST) sandbox $(call option,PORT,port)

.PHONY: change-sandbox
change-sandbox: $(call ready,sandbox) ## Make COUNT=50 random changes in the sandbox, to see an incremental run
	@$(INGEST) change-sandbox $(call option,COUNT,count)

##@ The platform, on a Docker engine; status, secret, deploy and rollback take ON=kubernetes, too

.PHONY: up
up: $(ROOT_READY) ## Build the host and start the platform (SANDBOX=1: on the sandbox APIs); `deploy` builds locations
	@$(INGEST) up $(if $(filter 1,$(SANDBOX)),--sandbox)

.PHONY: down
down: $(ROOT_READY) ## Stop the platform and its runs; keep data, history and secrets
	@$(INGEST) down

.PHONY: logs
logs: $(ROOT_READY) ## Follow the logs of all services, or only of SERVICE="github daemon"
	@$(INGEST) logs $$SERVICE

.PHONY: status
status: $(ROOT_READY) ## Show services, locations, schedules, last runs, rows and problems; fails if there are any
	@$(INGEST) status $(call option,ON,on)

.PHONY: secret
secret: $(ROOT_READY) ## Store a secret: echo "$$TOKEN" | make secret LOCATION=github NAME=sources.github.access_token
	@$(INGEST) secret "$$LOCATION" "$$NAME" $(call option,ON,on)

.PHONY: analyst
analyst: $(ROOT_READY) ## Give a person or a BI tool read access to the warehouse: NAME=ana prints a password; or REVOKE=ana
	@$(INGEST) analyst "$${REVOKE:-$$NAME}" $${REVOKE:+--revoke}

.PHONY: access
access: $(ROOT_READY) ## Activate access.yaml: who may do what in the UI
	@$(INGEST) access

.PHONY: token
token: $(ROOT_READY) ## Create a token for a machine: NAME=ci ROLE=editor LOCATIONS="github" DAYS=90; or REVOKE=ci
	@$(INGEST) token "$${REVOKE:-$$NAME}" $${REVOKE:+--revoke} $(call option,ROLE,role) $(call option,DAYS,days) $(LOCATIONS:%=--location='%')

.PHONY: client-secret
client-secret: $(ROOT_READY) ## Store the login's client secret: echo "$$SECRET" | make client-secret
	@$(INGEST) client-secret

.PHONY: audit
audit: $(ROOT_READY) ## Show who did what: the LAST=50 rows, or only those of WHO=name or LOCATION=github
	@$(INGEST) audit $(call option,LAST,last) $(call option,WHO,who) $(call option,LOCATION,location)

.PHONY: deploy
deploy: $(ROOT_READY) ## Build, test and activate LOCATION=github or HOST=1 alone; TESTS=0 skips the tests, WATCH=0 the minute of watching
	@$(INGEST) deploy "$(what)" $(call option,ON,on) $(if $(filter 0,$(TESTS)),--no-tests) $(if $(filter 0,$(WATCH)),--no-watch)

.PHONY: rollback
rollback: $(ROOT_READY) ## Activate the previous version of LOCATION=github or HOST=1, or TO=<tag>
	@$(INGEST) rollback "$(what)" $(call option,ON,on) $(call option,TO,to)

##@ Work on it

.PHONY: test
test: $(call ready_to_test,$(or $(ONLY),$(PROJECTS))) ## Run every test suite, or only ONLY="shared tests"
	@$(INGEST) test $$ONLY

.PHONY: check
check: $(call ready,$(PROJECTS)) ## Check lint, types, lock files and repository consistency
	@$(INGEST) check

.PHONY: contract
contract: $(call ready,$(FOLDERS)) ## Compare the tables of each location with the schema that its vendor publishes
	@$(INGEST) contract $$ONLY

.PHONY: table-docs
table-docs: $(call ready,$(FOLDERS)) ## Write docs/tables/ from the declarations, of every location or of ONLY="github"
	@$(INGEST) table-docs $$ONLY

.PHONY: format
format: $(ROOT_READY) ## Format the code, apply lint fixes, render generated files
	@$(INGEST) format

.PHONY: lock
lock: $(ROOT_READY) ## Renew the lock files; UPGRADE=1 takes the newest versions
	@$(INGEST) lock $(if $(UPGRADE),--upgrade)

.PHONY: new-location
new-location: $(call ready,sandbox) ## Create a location NAME=zendesk, tested and registered; STYLE=rest, sql, files or component
	@$(INGEST) new-location "$$NAME" $(call option,STYLE,style)

.PHONY: reflect
reflect: $(ROOT_READY) ## Declare the tables of a database: NAME=crm TABLES="public.orders public.customers"; `ingest reflect` has options
	@$(INGEST) reflect "$$NAME" $$TABLES

.PHONY: remove-location
remove-location: $(ROOT_READY) ## Remove the location NAME=zendesk, and list what remains of it
	@$(INGEST) remove-location "$$NAME"

.PHONY: affected
affected: $(ROOT_READY) ## List the locations that changes since BASE=origin/main affect; JSON=1 for machines
	@$(INGEST) affected $(call option,BASE,base) $(if $(JSON),--json)

.PHONY: bench-load
bench-load: $(call ready,benchmarks) ## Measure the load path against its floor
	@benchmarks/.venv/bin/python -m ingest_benchmarks

.PHONY: bench-github
bench-github: $(call ready,benchmarks) ## Measure what GitHub costs: calls, quota, time and memory for REPOSITORIES="1 100 1000"
	@benchmarks/.venv/bin/python -m ingest_benchmarks.quota $(REPOSITORIES)

.PHONY: bench-stripe
bench-stripe: $(call ready,benchmarks) ## Measure what Stripe costs: calls, pace, time and memory for OBJECTS="20000 200000"
	@benchmarks/.venv/bin/python -m ingest_benchmarks.pace $(OBJECTS)

.PHONY: bench-shards
bench-shards: $(call ready,benchmarks) ## Measure a first load of 1,000 repositories in SHARDS="1 2 4 8"
	@benchmarks/.venv/bin/python -m ingest_benchmarks.shards $(SHARDS)

.PHONY: bench-files
bench-files: $(call ready,benchmarks) ## Measure files against DuckDB's own reader: FILES="1000 10000", files and rows in each
	@benchmarks/.venv/bin/python -m ingest_benchmarks.files $(FILES)

.PHONY: bench-sql
bench-sql: $(call ready,benchmarks) ## Measure tables of PostgreSQL against COPY and one insert: ROWS="100000 1000000 10000000"
	@benchmarks/.venv/bin/python -W ignore -m ingest_benchmarks.databases $(ROWS)

.PHONY: bench-platform
bench-platform: $(ROOT_READY) ## Measure the platform against Dagster's own example deployment
	@$(INGEST) bench-platform

.PHONY: bench-locations
bench-locations: $(ROOT_READY) ## Measure what LOCATIONS=30 locations and PAGES=50 open pages cost
	@$(INGEST) bench-locations $(call option,LOCATIONS,locations) $(call option,PAGES,pages)

.PHONY: setup
setup: $(call ready_to_test,$(or $(ONLY),$(PROJECTS))) ## Set up every environment, or what the suites ONLY="shared tests" need

.PHONY: clean
clean: ## Remove environments and caches; keep data/ and the run history
	@rm -rf .venv $(addsuffix /.venv,$(PROJECTS)) .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: clean-data
clean-data: ## Remove the local warehouse, the sandbox's world and the run history
	@rm -rf data
	@git clean -fdXq .dagster

# The environments. The root's holds the tools, including uv, which creates the others.

.venv/.synced: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(PYTHON) is not Python 3.11 or newer: name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot create virtual environments: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up the tools" >&2
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@# Its build backend is in the lock, so nothing without a hash is fetched.
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

SYNC = @$(INGEST) sync $* && touch $@

%/.venv/.synced: %/requirements-dev.lock %/pyproject.toml shared/pyproject.toml $(ROOT_READY)
	$(SYNC)

%/.venv/.synced: %/requirements.lock %/pyproject.toml $(ROOT_READY)
	$(SYNC)
