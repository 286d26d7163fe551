# Everything here sets itself up: a virtual environment in .venv, with the locked, hash-checked packages.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= results/reproduce
IMPORTED := jax jaxlib numpy scipy pydantic typer rich equinox optax
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help install reproduce reproduce-full test bench torture docs results lint types lock clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

install: .venv/.installed  ## make the virtual environment

.venv/.installed: requirements.lock requirements-uv.lock pyproject.toml setup.py $(wildcard src/scattermec/optimisation/kernel/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scattermec needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (choose another with make PYTHON=...)")'
	$(PYTHON) -m venv .venv
	@# uv takes a fraction of pip's time; pip does the same where uv cannot be had or reaches no index.
	{ $(PIP_INSTALL) --require-hashes -r requirements-uv.lock && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; } || \
		$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@# uv compiles nothing. Where Python may not write bytecode, each command would compile all this anew, for seconds.
	$(BIN)/python -m compileall -q -j 0 src $(addprefix .venv/lib/python3*/site-packages/,$(IMPORTED))
	@touch $@

reproduce: install  ## the main job, quick setting: every figure, and the verdict on each claim, on one page: results/reproduce/index.html
	$(BIN)/scattermec reproduce --quick --out $(OUT)

reproduce-full: install  ## the same with every point, seed and frame
	$(BIN)/scattermec reproduce --out $(OUT)

test: install    ## the test suite
	$(BIN)/python -m pytest

bench: install   ## speed and agreement with other solvers and learners, on one core: docs/benchmarks.md, docs/benchmarks.json
	@$(PIP_INSTALL) --no-deps --require-hashes \
		-r benchmarks/requirements.txt || echo "moreau cannot be installed here; the tables will say so"
	$(BIN)/python -m benchmarks --docs docs/benchmarks.md

torture: install ## frames, files, kills, full disks and a soak, 20 minutes on two cores: results/torture.json, docs/torture.md
	$(BIN)/python -m torture --json results/torture.json --docs docs/torture.md

docs: install    ## the documentation's site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

results: install ## the tables of results in the pages, by the commands that they name: over an hour
	$(BIN)/python docs/results.py

lint: install    ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install   ## static types
	$(BIN)/mypy

lock: install    ## renew requirements.lock from pyproject.toml
	$(PIP_INSTALL) 'uv>=0.9'
	echo uv | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate - -o requirements-uv.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-package scattermec --extra dev pyproject.toml -o requirements.lock

clean:           ## remove the virtual environment and what was computed
	rm -rf .venv results site .pytest_cache .ruff_cache .mypy_cache .hypothesis
