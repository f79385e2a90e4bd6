# Every target sets up .venv by itself; it is renewed when requirements.txt, pyproject.toml or the interpreter change.
PYTHON ?= python3
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
KEY := $(shell { cat requirements.txt pyproject.toml; $(PYTHON) -V; } 2>&1 | cksum | tr ' ' '-')
STAMP := $(VENV)/installed-$(KEY)
PEOPLE := $(VENV)/people-fetched

# The tests import PyTorch before the package, which would set this.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test lint docs bench install clean

demo: $(PEOPLE)
	$(BIN)/crowd3d demo

# Two processes share the files of tests; training has one of its own: after everything else in one, PyTorch has crashed there.
APART := tests/training tests/tuning tests/view
test: $(PEOPLE) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile $(addprefix --ignore=,$(APART))
	$(BIN)/python -m pytest $(APART)

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Its packages are in no other target's way: whoever tests or runs the program does not wait for them.
docs: $(STAMP)
	$(BIN)/python -m pip install $(PIP_ARGS) -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

bench: $(STAMP)
	$(BIN)/python benchmarks

install: $(PEOPLE)

# Networks trained on photographs, into the user's cache folder; without a network connection everything else works on.
$(PEOPLE): $(STAMP)
	@if $(BIN)/python -m crowd3d.cli.main fetch people; then touch $@; fi

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; say which: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --without-pip $(VENV)
	@$(BIN)/python -m pip --version || $(PYTHON) -m pip install pip --target "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(BIN)/python -m pip install $(PIP_ARGS) -r requirements.txt
	@rm -f $(VENV)/installed-*
	@touch $@

clean:
	rm -rf $(VENV) demo build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache Crowd3DNet/crowd3d.egg-info
	find Crowd3DNet single_image test tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
