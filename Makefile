# `make demo` and `make test` need nothing but python3 (3.10 or newer) with pip and venv.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
TORCH := $(shell grep '^torch==' constraints.txt)
SOURCES := tabimg tests examples docs

# Test workers share the cores: one thread each keeps them from fighting over them.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# The interpreters that `make test-versions` looks for as python3.10 and so on.
VERSIONS := 3.10 3.11 3.12 3.13
VERSION_VENVS := .venv-versions

.PHONY: venv demo test test-avx2 test-slow doctest nightly test-versions lint format docs clean

venv: $(STAMP)

# torch goes first and by itself: pip then takes the build that the configured index or wheel
# folder offers for this machine, and the second command finds the requirement already met.
# The stamp is the last line: an installation that breaks half way is repeated.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "tabimg needs Python 3.10 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	rm -f $@
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check '$(TORCH)'
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# Many processors have AVX2 and no AVX-512. Their kernels are others, and so are these kernels' faults.
test-avx2: $(STAMP)
	$(ONE_THREAD) ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -n $(WORKERS) tests/nn $(ARGS)

test-slow: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -m slow $(ARGS)

# The examples of the docstrings, and the code of README and guides.
doctest: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) -m "not nightly" --doctest-modules tabimg tests/test_documentation.py $(ARGS)

# Killed runs, mutated photos, random frames and models by the thousand; -s shows the counts.
nightly: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -s -m nightly tests/nightly $(ARGS)

# The newest releases on every Python, and the lowest that pyproject.toml declares on the oldest.
# Each in an environment of its own, without constraints.txt; uv shares what they have in common.
test-versions: $(VERSIONS:%=test-newest-%) test-lowest-3.10

test-newest-%: $(BIN)/uv
	$(BIN)/uv venv --clear --python python$* $(VERSION_VENVS)/newest-$*
	$(BIN)/uv pip install --python $(VERSION_VENVS)/newest-$* --upgrade -e '.[plot,test]'
	$(ONE_THREAD) $(VERSION_VENVS)/newest-$*/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-lowest-%: $(BIN)/uv
	$(BIN)/uv venv --clear --python python$* $(VERSION_VENVS)/lowest-$*
	$(BIN)/uv pip install --python $(VERSION_VENVS)/lowest-$* --resolution lowest-direct -e '.[plot,test]'
	$(ONE_THREAD) $(VERSION_VENVS)/lowest-$*/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

$(BIN)/uv: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt uv

lint: $(STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy tabimg

format: $(STAMP)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: $(STAMP)
	$(BIN)/python -m sphinx -W -n --keep-going -b html docs docs/_build/html

# The virtual environment stays: it is the one thing here that takes minutes to make again.
clean:
	rm -rf build dist docs/_build docs/generated .mypy_cache .pytest_cache .ruff_cache
	find tabimg tests examples docs -name __pycache__ -type d -exec rm -rf {} +
