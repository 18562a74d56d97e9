# Needs make, Python 3.11 or newer with venv, and a package index that pip can reach. `make help` lists the targets.
# pip's own settings are honoured through the environment: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
USED   := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
# Options for the command of chat, app, serve and eval, e.g. make chat ARGS="--tier none"
ARGS   ?=
# make test BROWSER=no leaves out the tests that drive the web page
BROWSER ?= yes

.DEFAULT_GOAL := help
.PHONY: help install chat app serve doctor test lint eval wheel clean distclean python chromium

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(USED) ## make .venv and install the program in it, at pinned versions

chat: $(USED) ## talk in the terminal (first run fetches 1.3 GB of models)
	@$(BIN)/convrec setup
	@$(BIN)/convrec chat $(ARGS)

app: $(USED) ## web page on http://127.0.0.1:7860 and HTTP API
	@$(BIN)/convrec setup
	@$(BIN)/convrec app $(ARGS)

serve: $(USED) ## HTTP API on http://127.0.0.1:8000
	@$(BIN)/convrec setup
	@$(BIN)/convrec serve $(ARGS)

doctor: $(USED) ## what is there, what is missing
	@$(BIN)/convrec doctor

test: $(DEV) chromium lint ## lint, types, tests (fetches 190 MB of models once)
	@$(BIN)/convrec models pull all-minilm-l6-v2 smollm2-135m-instruct >/dev/null
	$(BIN)/python -m pytest $(if $(filter no,$(BROWSER)),-m "not browser")

lint: $(DEV) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

eval: $(USED) ## fetch ReDial and measure the recommenders on it
	@$(BIN)/convrec data fetch redial
	@$(BIN)/convrec eval items $(ARGS)

wheel: $(USED) ## build a wheel in dist/
	$(PIP) wheel . --no-deps --wheel-dir dist

clean: ## remove what builds and tests leave behind
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	rm -rf $(VENV)

# A stamp is written last: after an interruption the install is taken up again, and pip skips what is there.
$(USED): pyproject.toml constraints.txt | python
	$(PIP) install -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(PIP) install -c constraints.txt -e ".[app,demo,eval,local-llm,mcp,postgres,served-llm,train]"
	@touch $@

$(DEV): $(USED)
	$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@

# A virtual environment whose pip does not run was left half-made, or its Python is gone: it is made anew. make has looked
# for the stamp before this runs, hence the second make.
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "convrec needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1 | head -n 1)" >&2; \
	  echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || { \
	  echo "making $(VENV)"; had="$$(ls $(USED) 2>/dev/null)"; rm -rf $(VENV); \
	  $(PYTHON) -m venv $(VENV) && $(PIP) --version >/dev/null || { \
	  echo "python -m venv failed. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }; \
	  test -z "$$had" || $(MAKE) --no-print-directory $(USED); }

chromium:
	@test "$(BROWSER)" = no || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  command -v google-chrome >/dev/null || { \
	  echo "The tests of the web page need Chromium: apt-get install chromium (or your system's package)." >&2; \
	  echo "Without them: make test BROWSER=no" >&2; exit 1; }
