# AgeLab: `make demo` and `make test` work on a bare machine with Python 3.10 or newer.
#
#   make demo                      personalise the bundled model to the demo person; prints where the picture is
#   make test                      the test suite
#   make lint                      ruff and mypy
#   make web                       a page in the browser with an age slider
#   make install                   only the virtual environment .venv with what the programs need
#   make demo-weights DATA=folder  train every bundled network again from a folder of {age}_{idx} faces
#                                  (PROCESSES=2: with two processes a training)
#
#   TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu make demo     the smaller CPU wheels of PyTorch
#   TORCH='torch==2.4.1 torchvision==0.19.1' make demo                 a PyTorch version of your choice
#   PYTHON=/path/to/python3.12 make demo                               a Python of your choice
#   VENV=/somewhere/else make demo                                     another place for the environment

.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?=
TORCH ?= torch torchvision
TORCH_INDEX_URL ?=
PROCESSES ?= 1
# On Windows: Git's bash, and the other place that a virtual environment has for its programs.
ifeq ($(OS),Windows_NT)
SHELL := bash.exe
RUN := $(VENV)/Scripts/python
else
SHELL := /bin/bash
RUN := $(VENV)/bin/python
endif
PIP := $(RUN) -m pip --disable-pip-version-check
export PIP_NO_INPUT := 1
# The programs find their packages through scripts/_bootstrap.py; a PYTHONPATH from outside could bring others first.
unexport PYTHONPATH

.PHONY: help install demo web test test-slow lint demo-weights named-data clean

help:
	@sed -n 's/^#   //p' Makefile

install: $(VENV)/.installed

# One stamp a step: a second call does nothing, and a changed pyproject.toml brings what it newly asks for.
$(VENV)/.created:
	@bash scripts/make_venv.sh "$(VENV)" "$(PYTHON)"
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.torch: $(VENV)/.created
	$(PIP) install $(if $(TORCH_INDEX_URL),--index-url "$(TORCH_INDEX_URL)") $(TORCH)
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(PIP) install .
	@$(RUN) -c "import torch, torchvision, lpips, dlib, cv2" || { echo "error: the packages in $(VENV) do" \
	  "not fit each other (see above); rm -rf $(VENV) and choose versions with TORCH=... or TORCH_INDEX_URL=..." >&2; exit 2; }
	@touch $@

$(VENV)/.web: $(VENV)/.installed
	$(PIP) install ".[web]"
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) install --group test
	@touch $@

$(VENV)/.linted: $(VENV)/.installed
	$(PIP) install --group lint
	@touch $@

web: $(VENV)/.web
	@$(RUN) scripts/web.py --open_browser

demo: $(VENV)/.installed
	@$(RUN) scripts/demo.py

test: $(VENV)/.tested
	$(RUN) -m pytest -n auto --maxprocesses 8 --dist worksteal $(TESTS)

test-slow: $(VENV)/.tested
	$(RUN) -m pytest --slow $(TESTS)

lint: $(VENV)/.linted
	$(RUN) -m ruff check .
	$(RUN) -m mypy

demo-weights: named-data $(VENV)/.installed
	@$(RUN) scripts/make_demo_weights.py --data "$(DATA)" --processes "$(PROCESSES)"

named-data:
	@if [ -z "$(DATA)" ]; then \
	  echo "error: name the folder of faces, e.g. make demo-weights DATA=/path/to/faces" >&2; exit 2; fi

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
