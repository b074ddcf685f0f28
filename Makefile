# `make demo` and `make test` need Python 3.11 or newer, pip and make; they install the rest into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHONE := phone/web
INSTALLED := $(VENV)/.installed
LITERT := .venv-litert
# Two files at a time: much of a test waits, for a server or for another process. More would want more than 8 GB.
SHARED := -n 2 --dist loadfile

# make image BUNDLE=bundles/photos [TAG=convoy:dev] [ENGINE=podman] [SOURCE=https://...] [GPU=1]
# [PIP_CONFIG=pip.conf] [CA=ca.crt]; without BUNDLE the image takes one from CONVOY_MODELS.
TAG ?= convoy:dev
IMAGE = --tag $(TAG) $(if $(BUNDLE),--bundle $(BUNDLE)) $(if $(ENGINE),--engine $(ENGINE)) \
    $(if $(SOURCE),--source $(SOURCE)) $(if $(GPU),--gpu) $(if $(PIP_CONFIG),--pip-config $(PIP_CONFIG)) \
    $(if $(CA),--ca $(CA))

.PHONY: help install litert-env demo phone image deploy-test test test-all check format clean

help:
	@echo "make install   .venv with everything, from the exact versions in constraints.txt"
	@echo "make litert-env  $(LITERT) for LiteRT's converter, whose pins do not fit into .venv"
	@echo "make demo      train, export, verify and serve on handwritten digits; Ctrl-C stops"
	@echo "make phone     build the page for phones (phone/web/dist); needs Node.js 20.19 or newer with npm"
	@echo "make image BUNDLE=...  the container's image, with docker, podman or buildah"
	@echo "make deploy-test BUNDLE=...  that image, run the way Kubernetes would, with docker or podman"
	@echo "make test      lint, types and every test but the slow ones"
	@echo "make test-all  the slow tests too"
	@echo "make check     lint and types only"
	@echo "make format    put the code into shape"
	@echo "make clean     remove .venv and what demo and tests left"

install: $(INSTALLED)

# Made again when the pins change, reused otherwise.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Convoy needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (5.5 GB with torch's GPU libraries; a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $@

litert-env: install
	@$(BIN)/python scripts/make_litert_env.py $(LITERT)

demo: install
	@$(BIN)/convoy demo

# From the exact versions in package-lock.json, again when they change.
$(PHONE)/node_modules/.package-lock.json: $(PHONE)/package-lock.json
	@cd $(PHONE) && npm ci --no-fund --no-audit

phone: $(PHONE)/node_modules/.package-lock.json
	@cd $(PHONE) && npm run build

image: install
	@$(BIN)/python -m scripts.image $(IMAGE)

# MEMORY_TEST=120 adds two minutes of hostile pictures in 512 MiB.
deploy-test: install
	@$(BIN)/python -m scripts.deploy_test $(IMAGE) $(if $(MEMORY_TEST),--memory-test $(MEMORY_TEST))

test: check
	@$(BIN)/python -m pytest $(SHARED)

test-all: check
	@$(BIN)/python -m pytest $(SHARED) -m ''

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo $(PHONE)/node_modules $(PHONE)/dist $(PHONE)/.packed .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
