# Everything a developer or CI runs. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
BUILD := build

.PHONY: help venv host demo test test-vm check lint unit bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: ## the Python environment .venv
	@scripts/setup venv

host: ## the host tools that demo and tests need
	@scripts/setup host

check: venv ## lint, types, import contracts, unit tests (< 60 s, no root)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit

lint: venv
	.venv/bin/ruff check --quiet --no-cache .
	.venv/bin/ruff format --check --quiet --no-cache .
	.venv/bin/lint-imports
	.venv/bin/mypy

unit: venv
	$(PYTHON) -m pytest -q --numprocesses=2 --dist=worksteal tests/unit

demo: host venv ## PXE-boot a virtual machine, install it, boot its disk, show its report
	$(PYTHON) -m lab demo --report $(BUILD)/demo/report.json $(if $(KEEP),--keep)

test: host check ## check, tests with real tools, network tests, smoke set of VM scenarios
	REQUIRE_TOOLS=1 $(PYTHON) -m pytest -q tests/tools tests/net
	$(PYTHON) -m lab suite --smoke --results $(BUILD)/vm-smoke.md

test-vm: host venv ## every VM scenario and the toolbox tests; resumable
	$(PYTHON) -m lab suite --results docs/results/vm.md

bench: host venv ## benchmarks, as ratios of interleaved pairs; writes build/bench.json
	$(PYTHON) -m tests.bench --output $(BUILD)/bench.json

lock: venv ## write the locked requirements anew
	.venv/bin/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --strip-extras --extra dev -o requirements/dev.txt pyproject.toml
	.venv/bin/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe --strip-extras -c requirements/dev.txt -o requirements/target.txt requirements/target.in

clean: ## remove build outputs (the cache in ~/.cache/trident-appliance stays)
	rm -rf $(BUILD)
