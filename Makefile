# Everything a person does with this repository. Each target does its own set-up: the system's
# packages where apt-get is there, a virtual environment in .venv, the build of the extension.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEBIAN_PACKAGES := libopenblas-dev python3-dev dataset-fashion-mnist
NATIVE_SOURCES := $(shell find Sources python/native -type f) Package.swift setup.py pyproject.toml
BUILT := $(VENV)/built

.PHONY: help demo test lint format package clean system toolchain

help:
	@echo "make demo     find masks on a network for Fashion-MNIST, train it sparse, compare"
	@echo "make test     every Swift test and every pytest"
	@echo "make lint     formatters, linters and type checker, in checking mode"
	@echo "make format   rewrite the sources as the formatters want them"
	@echo "make package  sdist, wheel from it, and a short demo from the wheel in a new environment"
	@echo "make clean    remove what was built"

demo: $(BUILT)
	$(BIN)/python -m swiftforce demo

test: $(BUILT)
	swift test
	$(BIN)/python -m pytest

lint: $(BUILT)
	swift format lint --strict --recursive Package.swift Sources Tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest swiftforce._core --mypy-config-file pyproject.toml

format: $(BUILT)
	swift format --in-place --recursive Package.swift Sources Tests
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

package: $(BUILT)
	rm -rf dist $(VENV)-package
	$(BIN)/python -m build
	$(PYTHON) -m venv $(VENV)-package
	$(VENV)-package/bin/python -m pip install --quiet dist/*.whl
	cd dist && ../$(VENV)-package/bin/python -m swiftforce demo \
	  --samples 2000 --epochs 1 --steps 5 --sparsity 0.9 0.99

clean:
	rm -rf .build $(VENV) $(VENV)-package dist build python/*.egg-info python/swiftforce/*.so

$(BUILT): $(NATIVE_SOURCES) | system toolchain
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group test --group lint
	touch $@

system:
	@command -v apt-get >/dev/null || exit 0; \
	missing=; \
	for package in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
	    || missing="$$missing $$package"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	[ "$$(id -u)" = 0 ] && sudo= || sudo=sudo; \
	if [ -n "$$sudo" ] && ! command -v sudo >/dev/null; then \
	  echo "swiftforce: as root, run: apt-get install$$missing"; exit 1; \
	fi; \
	$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing

toolchain:
	@command -v swift >/dev/null || { \
	  echo "swiftforce: install Swift 6.2 or later from https://swift.org/install"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "swiftforce: needs Python 3.11 or later; name one with make PYTHON=..."; exit 1; }
