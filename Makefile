# Everything a person does with this repository. Each target does its own set-up: the system's
# packages where apt-get is there, a virtual environment in .venv, the build of the extension.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := /usr/share/datasets/fashion-mnist
NATIVE_SOURCES := $(shell find Sources python/native -type f) Package.swift setup.py pyproject.toml
BUILT := $(VENV)/built
TOOLS := $(VENV)/tools
PYTHON_SOURCES := $(shell find python/swiftforce -name '*.py' -o -name '*.pyi')
WHEEL := wheelhouse/.made
PAGES := $(VENV)/pages
ZOO := $(VENV)/zoo

.PHONY: help build demo figure notebooks test test-fast test-zoo fuzz bench pictures docs lint format wheel wheel-test clean
.PHONY: system data toolchain

help:
	@echo "make demo        find masks on a network for Fashion-MNIST, train it sparse, compare"
	@echo "make figure      methods, sparsities and seeds compared on a deep network; hours, goes on"
	@echo "make notebooks   run the notebooks of examples/ and write what they show"
	@echo "make test        every Swift test and every pytest"
	@echo "make test-fast   the tests to run after each edit: pytest in a minute, see CONTRIBUTING.md"
	@echo "make test-zoo    60 architectures of timm, torchvision, transformers: 15 minutes, each week"
	@echo "make fuzz        random searches, damaged files, killed writers, short memory: an hour; see CONTRIBUTING.md"
	@echo "make bench       masks, networks, searches on torch: what they cost; half an hour, 12 GB"
	@echo "make pictures    what results look like in a notebook and on a terminal, for the docs"
	@echo "make build       the extension in .venv, and nothing else"
	@echo "make docs        the documentation as a site, in site/; broken links fail"
	@echo "make lint        formatters, linters and type checker, in checking mode"
	@echo "make format      rewrite the sources as the formatters want them"
	@echo "make wheel       sdist, and from it one wheel with OpenBLAS inside, in wheelhouse/"
	@echo "make wheel-test  the wheel in new environments, one for each Python, without a compiler"
	@echo "make clean       remove what was built"

build: $(BUILT)

demo: $(BUILT) | data
	$(BIN)/python -m swiftforce demo

# OPTIONS="--hours 8 --network resnet": those of the command. What is in docs/figure.csv stays done.
figure: $(BUILT) | data
	$(BIN)/python -m swiftforce figure --results docs/figure.csv $(OPTIONS)

notebooks: $(TOOLS) | data
	$(BIN)/python -m tools.run_notebooks

# Optimised as the extension is, but with assertions: the build takes minutes, and the tests seconds. A plain `swift test`
# builds faster and runs longer.
OPTIMISED := -c release -Xswiftc -enable-testing -Xswiftc -assert-config -Xswiftc Debug
test: $(TOOLS) | data
	swift test $(OPTIMISED) --scratch-path .build/optimised
	$(BIN)/python -m pytest --numprocesses auto

test-fast: $(TOOLS) | data
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto

# Models from their configurations, with random weights; OPTIONS="-k resnet" runs some.
test-zoo: $(ZOO)
	$(BIN)/python -m pytest Tests/zoo Tests/python/torch/test_shira.py $(OPTIONS)

# SEED=1: other cases. docs/RELIABILITY.md says what was run.
CASES ?= 1000000
FILES ?= 350000
KILLS ?= 500
SEED ?= 0
fuzz: $(TOOLS)
	$(BIN)/python Tests/fuzz/masks.py --cases $(CASES) --seed $(SEED)
	$(BIN)/python Tests/fuzz/files.py --cases $(FILES) --seed $(SEED)
	$(BIN)/python Tests/fuzz/kills.py --kills $(KILLS) --seed $(SEED)
	$(BIN)/python -m pytest -m long --numprocesses auto

# QUICK=1: seconds, small sizes, no page and no picture. PEERS="--sparseprop PYTHON": libraries that
# have an environment of their own, see docs/PERFORMANCE.md.
ifdef QUICK
bench: $(TOOLS)
	$(BIN)/python -m benchmarks.selection --quick --again
	$(BIN)/python -m benchmarks.engine --quick --again
	$(BIN)/python -m benchmarks.sparse --quick --again
	$(BIN)/python -m benchmarks.torch_force --quick --again
	$(BIN)/python -m benchmarks.axes --quick --again
	$(BIN)/python -m benchmarks.compact --quick --again
	$(BIN)/python -m benchmarks.deploy --quick --again
else
bench: $(TOOLS) | data
	$(BIN)/python -m benchmarks.selection --overview docs/PERFORMANCE.md \
	  --document docs/performance_tables.md --picture docs/performance.png
	$(BIN)/python -m benchmarks.engine --document docs/PERFORMANCE.md
	$(BIN)/python -m benchmarks.sparse --document docs/performance_tables.md $(PEERS)
	$(BIN)/python -m benchmarks.torch_force --document docs/PERFORMANCE.md
	$(BIN)/python -m benchmarks.axes --document docs/PERFORMANCE.md
	$(BIN)/python -m benchmarks.compact --document docs/PERFORMANCE.md
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group deploy
	$(BIN)/python -m benchmarks.deploy --document docs/guides/deploy.md
endif

# Of what results look like, for README and docs; needs a browser.
pictures: $(TOOLS) | data
	@missing=; command -v chromium >/dev/null || missing=chromium; $(call install,$$missing)
	$(BIN)/python -m tools.draw_pictures

lint: $(TOOLS)
	swift format lint --strict --recursive Package.swift Sources Tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest swiftforce._core --mypy-config-file pyproject.toml

# Reads the sources and needs no build of them.
docs: $(PAGES)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(TOOLS)
	swift format --in-place --recursive Package.swift Sources Tests
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

wheel: $(WHEEL)

# Those that the machine lacks are named and skipped. PYTHONS="python3.13": only those. OPTIONS='-m "not slow"': those of pytest.
PYTHONS ?= python3.11 python3.12 python3.13 python3.14
wheel-test: $(WHEEL) | data
	$(BIN)/python -m tools.try_wheel wheelhouse/*.whl --pythons $(PYTHONS) --options='$(OPTIONS)'

clean:
	rm -rf .build $(VENV) dist wheelhouse build site python/*.egg-info python/swiftforce/*.so

$(BUILT): $(NATIVE_SOURCES) | toolchain system
	$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@

# What tests, benchmarks and linters need besides, torch among it.
$(TOOLS): pyproject.toml constraints.txt | $(BUILT)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group test --group lint --group wheel
	touch $@

# Architectures, beside the torch that is there.
$(ZOO): pyproject.toml constraints.txt | $(TOOLS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group zoo
	touch $@

# What the site is made with.
$(PAGES): pyproject.toml
	$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

# From the sdist, so that what it lacks shows. The glibc of this machine is the oldest that it runs on.
$(WHEEL): $(NATIVE_SOURCES) $(PYTHON_SOURCES) MANIFEST.in README.md LICENSE $(wildcard tools/*.py tools/licences/*) | $(TOOLS)
	rm -rf dist wheelhouse
	$(BIN)/python -m build
	$(BIN)/python -m tools.repair_wheel dist/*.whl wheelhouse
	$(BIN)/python -m tools.check_wheel wheelhouse/*.whl
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
