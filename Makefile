# The two commands are `make run` and `make test`. Both need Python 3.11 or newer and nothing else; what they install goes into .venv.
# PYTHON=python3.13 chooses a Python. WEBAPP_… variables are settings of the server (README.md).

ARGS =
BIN = .venv/bin
PYTEST = $(BIN)/python -m pytest
BATTERY = kills failpoints disk rotations root_keys sealed_values audit_edits backups restore_drill store_model canary abuse two_processes guesses failover mutants

# The lock names the public index, whatever this machine's settings are.
UV = env -u UV_DEFAULT_INDEX -u UV_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS uv --quiet
EXPORT = $(UV) export --frozen --no-header --no-annotate --no-emit-project

.PHONY: help run test battery bench lint format screenshot lock clean venv-run venv-dev
.DEFAULT_GOAL = help

help: ## show these lines
	@echo "Usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

run: venv-run ## set up and serve on http://127.0.0.1:8000; Ctrl-C ends it
	@$(BIN)/registry-credentials serve

test: venv-dev ## lint, types and every test; ARGS="-k name" is for pytest
	@$(BIN)/python tools/system_packages.py
	@$(MAKE) --no-print-directory lint
	@$(PYTEST) $(ARGS)

battery: venv-dev ## the long forms of what docs/reliability.md lists: an hour; BATTERY="kills disk" for some of it
	@status=0; for part in $(BATTERY); do $(BIN)/python -m tests.battery.$$part $(ARGS) || status=1; done; exit $$status

lint: venv-dev ## ruff and mypy, changing nothing
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: venv-dev ## let ruff order the imports, mend what is safe to mend, and lay out the code
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

screenshot: venv-dev ## take the README's picture anew, in a browser
	@$(BIN)/python tools/screenshot.py

bench: venv-dev ## measure the hand-over against its peers, 15 minutes; ARGS="--rounds 1 --million 0" for a look
	@command -v wrk >/dev/null || apt-get install -y --no-install-recommends wrk >/dev/null || { echo "install wrk first (Debian: wrk)"; exit 1; }
	@$(BIN)/python -m bench $(ARGS)

lock: ## lock the dependencies anew after editing pyproject.toml; UPGRADE=--upgrade takes newer ones (needs uv)
	@$(UV) lock $(UPGRADE)
	@$(EXPORT) --no-default-groups --all-extras --group build --output-file requirements.txt >/dev/null
	@$(EXPORT) --all-groups --all-extras --output-file requirements-dev.txt >/dev/null

clean: ## remove what these commands made, but never the data
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist test-results
	@find webapp tests e2e tools -name __pycache__ -type d -prune -exec rm -rf {} +

venv-run:
	@tools/venv run

venv-dev:
	@tools/venv dev
