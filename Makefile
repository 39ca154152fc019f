# The two commands of the README, and nothing clever. Each does all the set-up that it needs.
#   make demo                  the whole pipeline on 2,624 solar-cell images (params.yaml says what and how)
#   make demo PRESET=balanced  more backbones, a larger input, more time
#   make test                  unit, integration and end-to-end tests
#   make test-all              these for every network and server that is supported
#   make lint                  ruff, mypy, import contracts, stripped notebooks
#   make ui                    MLflow's page on 127.0.0.1:5000

PYTHON ?= python3
BIN := .venv/bin
PRESET ?=
install = $(BIN)/python tools/install.py

.PHONY: demo test test-all browser postgresql lint ui clean

demo: .venv/demo.stamp
	$(BIN)/automl-cnn sample elpv data/elpv
	$(if $(PRESET),$(BIN)/automl-cnn set search.preset=$(PRESET))
	$(BIN)/automl-cnn run

# test leaves out what only repeats a kind of case with another network or server; test-all has everything.
test: KINDS = -m "not exhaustive"
test test-all: .venv/dev.stamp .venv/mediapipe.stamp browser postgresql
	$(BIN)/python -m pytest -n auto $(KINDS) tests/unit
	$(BIN)/python -m pytest -n auto $(KINDS) --dist loadfile --no-loadscope-reorder tests/e2e tests/integration

# The review page is tested in a real browser. On Debian as root it is installed; elsewhere those tests say what they lack.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing chromium for the tests of the review page"; \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium; } \
	      >/dev/null || echo "chromium could not be installed: the tests of the review page are skipped"; \
	  fi

# The record is tested on a server of PostgreSQL too, which the tests start and stop themselves: no cluster is made here.
postgresql:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
	    echo "installing PostgreSQL for the tests of the record"; export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get -qq update && apt-get -qq install -y --no-install-recommends postgresql-common && \
	      sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf && \
	      apt-get -qq install -y --no-install-recommends postgresql; } \
	      >/dev/null || echo "PostgreSQL could not be installed: its tests are skipped"; }; } || true

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify notebooks/*.ipynb

ui: .venv/demo.stamp
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

clean:
	rm -rf artifacts .automl-cnn

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python: expected 3.11 to 3.13; received $$($(PYTHON) --version). Run make PYTHON=python3.12 …"; exit 2; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv .venv; } || \
	  { rm -rf .venv; echo "no virtual environment could be made: install python3-venv (Debian, Ubuntu), then again"; exit 2; }

.venv/demo.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(install) --editable '.[samples]'
	touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(install) --editable '.[samples,export,dev]'
	touch $@ .venv/demo.stamp

# MediaPipe Tasks loads the shipped file in a test. It asks for another absl-py than quantization-aware training does, works
# with either, and stands on a path of its own so that nothing else meets it.
.venv/mediapipe.stamp: .venv/dev.stamp
	$(install) --no-deps --target .venv/mediapipe mediapipe opencv-python-headless
	touch $@
