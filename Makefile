# Everything a person does with this repository. Each target does its own set-up: the system's
# packages where apt-get is there, a virtual environment in .venv, the build of the extension.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := /usr/share/datasets/fashion-mnist
NATIVE_SOURCES := $(shell find Sources python/native -type f) Package.swift setup.py pyproject.toml
BUILT := $(VENV)/built
TOOLS := $(VENV)/tools

.PHONY: help build demo figure notebooks test bench lint format package clean system data toolchain

help:
	@echo "make demo     find masks on a network for Fashion-MNIST, train it sparse, compare"
	@echo "make figure   methods, sparsities and seeds compared on a deep network; hours, goes on"
	@echo "make notebooks  run the notebooks of examples/ and write what they show"
	@echo "make test     every Swift test and every pytest"
	@echo "make bench    masks, networks, searches on torch: what they cost; half an hour, 12 GB"
	@echo "make build    the extension in .venv, and nothing else"
	@echo "make lint     formatters, linters and type checker, in checking mode"
	@echo "make format   rewrite the sources as the formatters want them"
	@echo "make package  sdist, wheel from it, and a short demo from the wheel in a new environment"
	@echo "make clean    remove what was built"

build: $(BUILT)

demo: $(BUILT) | data
	$(BIN)/python -m swiftforce demo

# OPTIONS="--hours 8 --network resnet": those of the command. What is in docs/figure.csv stays done.
figure: $(BUILT) | data
	$(BIN)/python -m swiftforce figure --results docs/figure.csv $(OPTIONS)

notebooks: $(TOOLS) | data
	$(BIN)/python examples/execute.py

test: $(TOOLS) | data
	swift test
	$(BIN)/python -m pytest

# QUICK=1: seconds, small sizes, no page and no picture.
ifdef QUICK
bench: $(TOOLS)
	$(BIN)/python -m benchmarks.selection --quick --again
	$(BIN)/python -m benchmarks.engine --quick --again
	$(BIN)/python -m benchmarks.torch_force --quick --again
else
bench: $(TOOLS)
	$(BIN)/python -m benchmarks.selection \
	  --document docs/PERFORMANCE.md --picture docs/performance.png
	$(BIN)/python -m benchmarks.engine --document docs/PERFORMANCE.md
	$(BIN)/python -m benchmarks.torch_force --document docs/PERFORMANCE.md
endif

lint: $(TOOLS)
	swift format lint --strict --recursive Package.swift Sources Tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest swiftforce._core --mypy-config-file pyproject.toml

format: $(TOOLS)
	swift format --in-place --recursive Package.swift Sources Tests
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

package: $(TOOLS) | data
	rm -rf dist $(VENV)-package
	$(BIN)/python -m build
	$(PYTHON) -m venv $(VENV)-package
	$(VENV)-package/bin/python -m pip install --quiet dist/*.whl
	cd dist && ../$(VENV)-package/bin/python -m swiftforce demo \
	  --samples 2000 --epochs 1 --steps 5 --sparsity 0.9 0.99

clean:
	rm -rf .build $(VENV) $(VENV)-package dist build python/*.egg-info python/swiftforce/*.so

$(BUILT): $(NATIVE_SOURCES) | toolchain system
	$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@

# What tests, benchmarks and linters need besides, torch among it.
$(TOOLS): pyproject.toml constraints.txt | $(BUILT)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group test --group lint
	touch $@

toolchain:
	@command -v swift >/dev/null || { \
	  echo "swiftforce: install Swift 6.2 or later from https://swift.org/install"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "swiftforce: needs Python 3.11 or later; name one with make PYTHON=..."; exit 1; }

# What a build needs of the system, by what is found and not by which package it came from.
system:
	@missing=; \
	echo '#include <cblas.h>' | cc -E -x c - >/dev/null 2>&1 || missing="$$missing libopenblas-dev"; \
	$(PYTHON) -c 'import os, sysconfig as s, sys; \
	  sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' \
	  || missing="$$missing python3-dev"; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	$(call install,$$missing)

data:
	@missing=; \
	[ -n "$$SWIFTFORCE_DATA" ] || [ -d $(DATA) ] || missing=dataset-fashion-mnist; \
	$(call install,$$missing)

# Installs Debian packages where it can, and says in one line what to do where it cannot.
define install
[ -z "$(1)" ] && exit 0; \
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
if ! command -v apt-get >/dev/null || { [ -n "$$sudo" ] && ! command -v sudo >/dev/null; }; then \
  echo "swiftforce: please install (by these names on Debian): $(1)"; exit 0; \
fi; \
$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $(1)
endef
