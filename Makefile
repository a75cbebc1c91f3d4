# `make` alone lists what there is. Every target sets up what it needs.
# Python is the only requirement: PYTHON names the interpreter, 3.11 or newer.
PYTHON ?= python3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

RUN := .venv/bin/python
ROOT_READY := .venv/.synced
# Every folder with a pyproject.toml is a project with an environment of its own.
LOCATIONS := $(patsubst %/pyproject.toml,%,$(wildcard locations/*/pyproject.toml))
PROJECTS := $(patsubst %/pyproject.toml,%,$(wildcard */pyproject.toml)) $(LOCATIONS)
ready = $(addsuffix /.venv/.synced,$(1))
# What the named suites need: their own environments, and those of what they start.
started_by = $(if $(filter tests% locations/%,$(1)),sandbox) $(if $(filter tests%,$(1)),host $(LOCATIONS))
ready_to_test = $(ROOT_READY) $(call ready,$(sort $(filter $(PROJECTS),$(1) $(call started_by,$(1)))))

# What is given on the command line, as in `make ingest SANDBOX=0`, make puts into the environment,
# where tools/ read it.

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {gsub(/\$$\$$/, "$$", $$2); printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run

.PHONY: ingest
ingest: $(call ready,sandbox $(filter $(or $(ONLY:%=locations/%),$(LOCATIONS)),$(LOCATIONS))) ## Run every location's job (or ONLY="github"), with AUDIT=1 its audit: from the sandbox, with SANDBOX=0 from the real APIs
	@$(RUN) tools/ingest.py

.PHONY: dev
dev: $(call ready,sandbox host $(LOCATIONS)) ## Serve Dagster's UI with every location, on PORT=3000
	@$(RUN) tools/dev.py

.PHONY: sandbox
sandbox: $(call ready,sandbox) ## Serve the sandbox APIs until Ctrl-C, with the world of `make ingest`
	@$(RUN) tools/sandbox.py serve

.PHONY: change-sandbox
change-sandbox: $(call ready,sandbox) ## Let COUNT=50 things happen in the sandbox, to see an incremental run
	@$(RUN) tools/sandbox.py change

##@ The platform, on a Docker engine

COMPOSE := docker compose $(if $(filter 1,$(SANDBOX)),--profile sandbox)

.PHONY: up
up: ## Build the host and start the platform, with SANDBOX=1 on the sandbox APIs; `deploy` builds locations
	@$(PYTHON) tools/walls.py
	@$(COMPOSE) build --quiet webserver front $(if $(filter 1,$(SANDBOX)),sandbox)
	@$(COMPOSE) up --detach --wait

.PHONY: down
down: ## Stop the platform and its runs; data, history and secrets stay
	@docker compose stop webserver daemon  # which would start the runs again
	@docker ps --quiet --filter label=ingest.project=$$(docker compose config | sed -n 's/^name: //p') | xargs --no-run-if-empty docker stop --time 60
	@docker compose --profile "*" down

.PHONY: logs
logs: ## Follow the logs of all services, or of those named by SERVICE="github daemon"
	@docker compose logs --follow --tail 100 $(SERVICE)

.PHONY: status
status: $(ROOT_READY) ## Services, locations, schedules, last runs, rows; exit code 1 and a line for each thing that is ill
	@$(RUN) tools/status.py

.PHONY: secret
secret: $(ROOT_READY) ## Store a secret: echo "$$TOKEN" | make secret LOCATION=github NAME=sources.github.access_token
	@$(RUN) tools/secret.py

.PHONY: analyst
analyst: $(ROOT_READY) ## Let a person or a BI tool read the warehouse: NAME=ana, and its password; or REVOKE=ana
	@$(RUN) tools/analyst.py

.PHONY: access
access: $(ROOT_READY) ## Put access.yaml into force: who may do what in the UI
	@$(RUN) tools/access.py

.PHONY: token
token: $(ROOT_READY) ## Make a token for a machine: NAME=ci ROLE=editor LOCATIONS="github" DAYS=90; or REVOKE=ci
	@$(RUN) tools/access.py token

.PHONY: client-secret
client-secret: $(ROOT_READY) ## Store the client secret of the login: echo "$$SECRET" | make client-secret
	@$(RUN) tools/access.py client-secret

.PHONY: audit
audit: $(ROOT_READY) ## Show who did what: the LAST=50 rows, or those of WHO=name or LOCATION=github
	@$(RUN) tools/audit.py

.PHONY: deploy
deploy: $(ROOT_READY) ## Build, test and activate LOCATION=github, and nothing else; TESTS=0 leaves the tests out
	@$(RUN) tools/deploy.py

.PHONY: rollback
rollback: $(ROOT_READY) ## Activate the version before of LOCATION=github, or TO=<tag>
	@$(RUN) tools/deploy.py --rollback

##@ Work on it

.PHONY: test
test: $(call ready_to_test,$(or $(ONLY),$(PROJECTS))) ## Run every test suite, or only those named by ONLY="shared tests"
	@$(RUN) tools/run_tests.py

.PHONY: check
check: $(call ready,$(PROJECTS)) ## Lint, types, locks up to date, repository consistency
	@$(RUN) tools/check.py

.PHONY: contract
contract: $(call ready,$(LOCATIONS)) ## Compare the tables of each location with what its vendor publishes
	@$(RUN) tools/contract.py

.PHONY: table-docs
table-docs: $(call ready,$(LOCATIONS)) ## Write docs/tables/ from the declarations, of every location or of ONLY="github"
	@for name in $(or $(ONLY),$(basename $(notdir $(wildcard docs/tables/*.md)))); do locations/$$name/.venv/bin/python tools/table_docs.py $$name || exit; done

.PHONY: format
format: $(ROOT_READY) ## Format the code, mend what the linter can, render the locations' services
	@$(RUN) tools/registrations.py
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .

.PHONY: lock
lock: $(ROOT_READY) ## Renew the lock files; with UPGRADE=1 take the newest versions
	@$(RUN) tools/lock.py $(if $(UPGRADE),--upgrade)

.PHONY: new-location
new-location: $(call ready,sandbox) ## Make a location NAME=zendesk, tested and registered; STYLE=component for YAML
	@$(RUN) tools/new_location.py

.PHONY: remove-location
remove-location: $(ROOT_READY) ## Remove the location NAME=zendesk, and say what stays of it
	@$(RUN) tools/remove_location.py

.PHONY: affected
affected: $(ROOT_READY) ## Tell which locations a change touches since BASE=origin/main
	@$(RUN) tools/affected.py

.PHONY: bench-load
bench-load: $(call ready,benchmarks) ## Measure the load path against its floor
	@benchmarks/.venv/bin/python -m ingest_benchmarks

.PHONY: bench-github
bench-github: $(call ready,benchmarks) ## Count what GitHub costs: calls, quota, time and memory for REPOSITORIES="1 100 1000"
	@benchmarks/.venv/bin/python -m ingest_benchmarks.quota $(REPOSITORIES)

.PHONY: bench-stripe
bench-stripe: $(call ready,benchmarks) ## Count what Stripe costs: calls, pace, time and memory for OBJECTS="20000 200000"
	@benchmarks/.venv/bin/python -m ingest_benchmarks.pace $(OBJECTS)

.PHONY: bench-platform
bench-platform: $(ROOT_READY) ## Measure the platform against Dagster's own example of a deployment
	@$(RUN) tools/bench_platform.py

.PHONY: setup
setup: $(call ready,$(PROJECTS)) ## Set up every environment, without running anything

.PHONY: clean
clean: ## Remove environments and caches; data/ and the run history stay
	@rm -rf .venv $(addsuffix /.venv,$(PROJECTS)) .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: clean-data
clean-data: ## Remove the local warehouse, the sandbox's world and the run history
	@rm -rf data
	@git clean -fdXq .dagster

# The environments. The root's holds the tools, uv among them, which makes the others.

.venv/.synced: requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is not: name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make environments: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up the tools"
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

SYNC = @$(RUN) tools/sync.py $* && touch $@

%/.venv/.synced: %/requirements-dev.lock %/pyproject.toml shared/pyproject.toml $(ROOT_READY)
	$(SYNC)

%/.venv/.synced: %/requirements.lock %/pyproject.toml $(ROOT_READY)
	$(SYNC)
