# The front page: `make` lists. Everything a target needs, it installs.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

.DEFAULT_GOAL := help
# The clients get environments of their own in .clients/; the first time they are installed.
.PHONY: test-clients test-outage
.PHONY: test-moving test-hostile test-mermaid
.PHONY: test-moving test-hostile test-mermaid conformance test-clients test-outage test-durability bench-tracking bench-tracking-postgres bench-growth bench-growth-postgres bench-clients bench-clients-postgres
.PHONY: help setup setup-dev setup-system setup-browser demo conformance test test-again test-postgres test-chaos test-chaos-short check format lint types imports docs golden lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/uv.txt

# Headway alone, as `make demo` needs it.
$(VENV)/.core: requirements/core.txt pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/core.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

# Headway and everything that its tests use.
$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@ $(VENV)/.core

setup-system: ## install what no Python package brings: bubblewrap (isolation), where we are root on Debian
	@command -v bwrap >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq bubblewrap >/dev/null; \
	  else echo "bubblewrap is not installed: training runs with isolation L0 (see docs/how-to/isolation.md)"; fi; }

setup-browser: ## install Debian's Chromium for the browser tests, where we are root on Debian
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else echo "chromium is not installed: the browser tests are skipped"; fi; }

setup: setup-system $(VENV)/.core ## make Headway runnable: .venv/bin/headway

setup-dev: setup-system $(VENV)/.dev ## make the tests runnable

demo: setup ## the whole story on real flights, from a comment to a served model
	$(BIN)/python examples/demo.py

# Two workers more than cores: half of a slow test's time is waiting for processes. tests/conftest.py puts those first.
SPREAD := -n $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 2))) --dist loadfile --no-loadscope-reorder

# What .ci/run adds when it makes a target a second time: only what failed.
AGAIN =

# What is killed, cut off or left alone for a while: these wait more than they work.
CRASHES := tests/chaos tests/cli/test_outside.py tests/flows/test_github_outage.py tests/unit/engines/test_kubernetes_outages.py

# These have targets of their own below: they start MLflow's server, a hostile world around Headway, or Kubernetes.
APART := tests/moving tests/conformance tests/flows/test_own_tracker.py tests/hostile tests/kubernetes $(CRASHES)

test: setup-dev setup-browser ## every test but those with crashes, a cluster or another server
	$(BIN)/python -m pytest -q $(SPREAD) $(AGAIN) $(APART:%=--ignore=%)

test-again: setup-dev ## only what failed the last time
	$(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none

test-postgres: setup-dev ## the store tests on PostgreSQL, installed and started here
	tools/with-postgres $(BIN)/python -m pytest -q $(AGAIN) -m postgres

.PHONY: test-crashes
test-crashes: setup-dev ## kills, outages, storms and full disks: nothing acknowledged is lost, nothing is done twice
	$(BIN)/python -m pytest -q -n auto --dist loadfile $(AGAIN) $(CRASHES)

test-moving: setup-dev ## a real MLflow server moves in, and out again as Parquet
	$(BIN)/python -m pytest -q $(AGAIN) tests/moving

.PHONY: test-tracker
test-tracker: setup-dev ## a project with a real MLflow server of its own, which goes away and comes back
	$(BIN)/python -m pytest -q $(AGAIN) tests/flows/test_own_tracker.py

.PHONY: attacks
attacks: setup-dev ## every published attack on MLflow's server against a running Headway, with the table: N of N refused
	HEADWAY_ATTACKS_TABLE=1 $(BIN)/python -m pytest -q -p no:randomly tests/attacks

.PHONY: fuzz
FUZZ_SECONDS ?= 30
fuzz: $(UV) ## every reader of what strangers send under atheris, FUZZ_SECONDS each (Linux, CPython 3.11)
	@test -x .fuzz/bin/python || $(UV) venv --quiet --python 3.11 .fuzz
	$(UV) pip install --quiet --python .fuzz/bin/python --require-hashes -r requirements/core.txt -r tests/fuzz/requirements.txt
	$(UV) pip install --quiet --python .fuzz/bin/python --no-deps -e .
	.fuzz/bin/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

test-hostile: setup-dev ## probes of a fork's code in a real Headway, and the same outside: nothing planted may come out
	$(BIN)/python -m pytest -q $(AGAIN) tests/hostile

test-mermaid: setup-dev ## every chart of the reports in the real Mermaid, 10.9 and 11 (installs 200 MB of Node packages)
	cd tests/mermaid && npm ci --silent
	$(BIN)/python -m pytest -q -s tests/mermaid

conformance: setup-dev ## the conformance suite against a real MLflow server and Headway, with every difference
	$(BIN)/python tests/conformance/compare.py

test-clients: setup-dev ## MLflow clients of three generations, scikit-learn, Lightning and Optuna against a live server
	$(BIN)/python tests/clients/environments.py
	HEADWAY_TEST_CLIENTS=1 $(BIN)/python -m pytest -q tests/clients

test-outage: setup-dev ## real MLflow scripts while their server is away for more than a minute (about four minutes)
	HEADWAY_TEST_OUTAGE=65 $(BIN)/python -m pytest -q --timeout 900 tests/chaos/test_outage.py

.PHONY: test-faults
test-faults: setup-dev ## GitHub fails, and somebody pushes, at every single request: one check, one comment, the commit that was meant
	HEADWAY_ALL_FAULTS=1 $(BIN)/python -m pytest -q --timeout 900 $(AGAIN) tests/properties/test_github_faults.py tests/flows/test_moved_heads.py

.PHONY: test-webhook-storm
test-webhook-storm: setup-dev ## 10,000 webhooks, doubled, late and garbled, on a real server while a training runs
	$(BIN)/python tests/chaos/webhook_storm.py --events 10000 --seed 1

test-chaos-short: setup-dev ## one seed of 200 trainings under 40 kills of server and worker
	$(BIN)/python tests/chaos/kill_server.py --runs 200 --kills 40 --seed 1

test-chaos: setup-dev ## three seeds of 200 trainings under 40 kills of server and worker, and one training of three minutes
	for seed in 1 2 3; do $(BIN)/python tests/chaos/kill_server.py --runs 200 --kills 40 --seed $$seed || exit 1; done
	$(BIN)/python tests/chaos/kill_server.py --long 180

check: format lint types imports docs test ## everything that must be green before a commit lands

format: setup-dev ## is everything formatted?
	$(BIN)/ruff format --check .

lint: setup-dev ## ruff, every rule but the ones with a reason
	$(BIN)/ruff check .

types: setup-dev ## mypy, strict
	$(BIN)/mypy

imports: setup-dev ## the architecture
	$(BIN)/lint-imports

docs: setup-dev ## the README and the docs, executed and complete
	$(BIN)/python -m pytest -q $(AGAIN) tests/docs

golden: setup-dev ## rewrite the golden files; read the diff
	HEADWAY_GOLDEN=1 $(BIN)/python -m pytest -q tests/golden

# Headway as its users install it, without what only its tests need.
.bench/.ready: requirements/dev.txt pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .bench
	$(UV) pip install --quiet --python .bench/bin/python --require-hashes -r requirements/core.txt
	$(UV) pip install --quiet --python .bench/bin/python --no-deps -e .
	$(UV) pip install --quiet --python .bench/bin/python --constraint requirements/dev.txt 'psycopg[binary]'
	@touch $@

# The newest MLflow as a wheel over the dependencies of the one that the tests use: it does not install whole.
.bench/mlflow-3.18/.ready: $(VENV)/.dev
	$(UV) venv --quiet --clear --python $(BIN)/python .bench/mlflow-3.18
	$(UV) pip install --quiet --python .bench/mlflow-3.18/bin/python --no-deps mlflow==3.18.0
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >.bench/mlflow-3.18/lib/python3.11/site-packages/dependencies.pth
	@touch $@

.PHONY: bench-tracking bench-tracking-newest bench-tracking-postgres
bench-tracking-newest: setup-dev .bench/.ready .bench/mlflow-3.18/.ready ## the same beside MLflow 3.18.0
	$(BIN)/python bench/tracking/run.py --headway .bench/bin/headway --mlflow .bench/mlflow-3.18/bin/python --table mlflow-3.18

bench-tracking: setup-dev .bench/.ready ## Headway beside a real MLflow server on SQLite, about 12 minutes
	$(BIN)/python bench/tracking/run.py --headway .bench/bin/headway

bench-tracking-postgres: setup-dev .bench/.ready ## the same on PostgreSQL, about 8 minutes
	tools/with-postgres $(BIN)/python bench/tracking/run.py --headway .bench/bin/headway --database postgresql --scenarios create_run,log_metric,log_batch,populate,search,history

lock: $(UV) ## resolve the locked requirements again
	$(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 -o requirements/core.txt pyproject.toml
	$(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 --all-extras -c requirements/core.txt -o requirements/dev.txt pyproject.toml requirements/dev.in
	$(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 --extra kubernetes --extra postgres -c requirements/dev.txt -o requirements/image.txt pyproject.toml

clean: ## remove environments and caches
	rm -rf $(VENV) .fuzz .bench .demo .demo-kubernetes .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: bench-growth bench-growth-postgres bench-clients bench-clients-postgres test-durability
bench-growth: setup-dev ## searches and memory among 5,000, 100,000 and 1,000,000 runs on SQLite, with the chart; about 10 minutes
	$(BIN)/python bench/tracking/growth.py --runs 5000,100000,1000000

bench-growth-postgres: setup-dev ## the same among 5,000 and 100,000 on PostgreSQL
	tools/with-postgres $(BIN)/python bench/tracking/growth.py --database postgresql

bench-clients: setup-dev ## 64 clients log at once on SQLite; every acknowledged point is read back
	$(BIN)/python bench/tracking/clients64.py

bench-clients-postgres: setup-dev ## the same on PostgreSQL
	tools/with-postgres $(BIN)/python bench/tracking/clients64.py --database postgresql

test-durability: setup-dev ## 64 clients under twenty kills, full disks and restarts, on SQLite and PostgreSQL
	HEADWAY_TEST_BLOWS=20 tools/with-postgres $(BIN)/python -m pytest -q tests/chaos/test_many_clients.py

.PHONY: kubernetes-node test-kubernetes demo-kubernetes
kubernetes-node: $(UV) ## build the programs and images of the tests' Kubernetes, where they are not in the cache (root on Debian 12; ten minutes)
	tests/infra/kubernetes/build
	tests/infra/kubernetes/images

test-kubernetes: setup-dev ## the engine, the target and their outages on a real Kubernetes of one node, installed and started here
	tools/with-kubernetes $(BIN)/python -m pytest -q $(AGAIN) tests/kubernetes

demo-kubernetes: setup-dev ## the whole story of `make demo` with every step and endpoint a pod on that Kubernetes
	tools/with-kubernetes $(BIN)/python examples/demo_kubernetes.py

.PHONY: bench-kubernetes
bench-kubernetes: setup-dev ## what a step costs as a pod: Headway beside bare Jobs on the same node
	tools/with-kubernetes $(BIN)/python bench/kubernetes/overhead.py
