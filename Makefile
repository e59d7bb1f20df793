# The only door for a person: demo, test, lint, bench, docs. Each prepares what it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint format bench docs setup clean locks

demo: $(READY)            ## six layers on a real API, request by request
	$(BIN)/sixfold demo $(ARGS)

test: $(READY)            ## everything that can fail
	$(BIN)/pytest -n 2 $(ARGS)

lint: $(READY)            ## style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)           ## cost per request beside the opponents that are installed
	$(BIN)/python -m bench $(ARGS)

docs: $(READY)            ## print the reference pages from the code
	$(BIN)/python -m docs.printed

setup: $(READY)

$(READY): requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	touch $(READY)

locks:                    ## pin anew; needs pip-tools, which the environment holds
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --strip-extras \
	  --allow-unsafe pyproject.toml -o requirements/runtime.lock
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --strip-extras \
	  --allow-unsafe -c requirements/runtime.lock pyproject.toml requirements/dev.in -o requirements/dev.lock

clean:
	rm -rf $(VENV) dist build
