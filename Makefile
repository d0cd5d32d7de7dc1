# A thin front for the tools that do the work. Every target does its own set-up: a virtual environment in .venv and
# build folders under build/, nothing outside the checkout. A second call finds all that done.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 20
PYTEST ?= pytest
# Exactly one torch: a range would let pip take a build for another accelerator, gigabytes large.
TORCH ?= torch==2.13.0
EXTRAS := dev lab p4 pruning demo spark ray

VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
export PYTHON
export CMAKE_CXX_COMPILER_LAUNCHER := $(shell command -v ccache)
export CMAKE_GENERATOR := Ninja

PACKAGES := weft transport collectives emulation p4
NATIVE := $(shell find native tests/native tests/fuzz -type f -not -name '*.md' 2>/dev/null)
CXX_FILES := $(filter %.cc %.h,$(NATIVE) $(wildcard benchmarks/native/*))
# One at a time where two calls of make in one checkout would tread on each other.
LOCK = mkdir -p build && exec 9>build/.lock && flock 9

.PHONY: help install test test-rdma demo bench lint ruff mypy clang-format clang-tidy format sanitize fuzz system-deps clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: build/.installed ## set up .venv and an editable install of Weft with its native core

test: build/.installed build/p4runtime-shell/.installed ## native and Python tests
	.ci/system-deps spark ssh || echo "The tests of Spark or ssh will be skipped."
	ctest --test-dir build/native --no-tests=error --output-on-failure --timeout 300 -j $(JOBS)
	$(PYTEST) -n $(JOBS) --dist loadgroup --ignore tests/vm

test-rdma: build/.installed ## RDMA between virtual machines on an emulated fabric
	.ci/system-deps vm || [ -z "$${CI:-}$${WEFT_LAB_REQUIRED:-}" ]
	$(PYTEST) tests/vm --timeout 600 --junitxml build/junit/rdma.xml

demo: build/.installed ## train a model over weft, beside gloo
	weft demo

bench: build/.installed ## the benchmark tables
	weft bench

lint: ruff mypy clang-format clang-tidy ## ruff, mypy --strict, clang-format, clang-tidy (also each by itself)

ruff: build/.tools
	ruff check --output-format concise .
	ruff format --check .

mypy: build/.tools build/src
	mypy -p weft

clang-format: build/.tools
	@echo clang-format; for file in $(CXX_FILES); do clang-format $$file | cmp -s - $$file || echo $$file; done \
	  >build/unformatted; [ ! -s build/unformatted ] || { cat build/unformatted; echo "To mend: make format"; exit 1; }

clang-tidy: build/.tools build/tidy
	nice cmake --build build/tidy -j $(JOBS) -- -k 0

format: build/.tools ## put all sources in the house's format
	ruff check --fix-only --quiet . && ruff format .
	clang-format -i $(CXX_FILES)

sanitize: build/asan build/tsan ## native tests under ASan+UBSan and TSan
	export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	for kind in asan tsan; do \
	  cmake --build build/$$kind -j $(JOBS); \
	  setarch -R ctest --test-dir build/$$kind --output-on-failure --timeout 600 -j $(JOBS); \
	done

fuzz: build/.tools ## every fuzz target for FUZZ_SECONDS
	.ci/system-deps fuzz
	CC=clang CXX=clang++ cmake -S native -B build/fuzz -DWEFT_FUZZ=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/fuzz --target fuzz_targets -j $(JOBS)
	for target in build/fuzz/fuzz/fuzz_*; do \
	  [ ! -x $$target ] || $$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1; \
	done

system-deps: ## install what the system must provide (as root; Debian and Ubuntu)
	.ci/system-deps build fuzz browser vm spark ssh

clean: ## remove all that make has made
	rm -rf build .venv

# ---- what the targets stand on ----

build/.tools: pyproject.toml .ci/system-deps
	@$(LOCK); .ci/system-deps; \
	[ -x $(VENV)/bin/python ] || $(PYTHON) -m venv $(VENV); \
	echo "Installing Python packages into .venv"; \
	python -m pip install -qq "$(TORCH)"; \
	python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*p["dependencies"], *(r for e in sys.argv[1:] for r in p["optional-dependencies"][e]), sep="\n")' \
	  $(EXTRAS) >build/requirements.txt; \
	python -m pip install -qq -r build/requirements.txt "$(TORCH)"; \
	touch $@

# A controller whose pins fit no other extra; tests run it with its own interpreter.
build/p4runtime-shell/.installed: pyproject.toml
	@mkdir -p $(@D); $(PYTHON) -m venv $(@D); \
	$(@D)/bin/python -m pip install -qq "$$($(PYTHON) -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["p4-shell"])')"; \
	touch $@

# The build folder persists, so that a change compiles what it touches and no more. (Debian 12's pip has no -C yet.)
SETTINGS := build-dir=build/native build.tool-args=-j$(JOBS) cmake.define.WEFT_TESTS=ON cmake.define.WEFT_WERROR=ON
build/.installed: build/.tools $(NATIVE) $(shell find $(PACKAGES) -name __init__.py 2>/dev/null)
	@$(LOCK); echo "Building Weft"; \
	python -m pip install -qq --no-build-isolation --no-deps $(SETTINGS:%=--config-settings=%) -e .; \
	touch $@

# Source folders under their import names, for tools that follow files and not import hooks (mypy).
build/src: $(wildcard $(PACKAGES:%=%/)) Makefile
	@rm -rf $@ && mkdir -p $@/weft && ln -s $(addprefix $(CURDIR)/,$(wildcard weft/*)) $@/weft/
	@for p in $(wordlist 2,9,$(PACKAGES)); do [ ! -d $$p ] || ln -s $(CURDIR)/$$p $@/weft/$$p; done

# clang-tidy runs as part of a compilation of its own, because ninja then knows which files a change concerns.
build/tidy: .clang-tidy native/CMakeLists.txt build/.tools
	@rm -rf $@; cmake -S native -B $@ -DCMAKE_BUILD_TYPE=Debug \
	  -DCMAKE_CXX_CLANG_TIDY="clang-tidy;--quiet;--warnings-as-errors=*" >/dev/null

# No comma in a folder's name: linkers take it for a separator.
build/asan: SANITIZERS := address,undefined
build/tsan: SANITIZERS := thread
build/asan build/tsan: native/CMakeLists.txt build/.tools
	cmake -S native -B $@ -DWEFT_TESTS=ON -DWEFT_SANITIZE=$(SANITIZERS) -DCMAKE_BUILD_TYPE=RelWithDebInfo
	@touch $@
