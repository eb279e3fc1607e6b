PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
CLIP := samples/tour_of_troubles

.PHONY: demo test check format clean

demo: $(VENV)/.demo
	$(BIN)/streamfilter run $(CLIP).mp4 --out out/tour_of_troubles.mp4 --records out/tour_of_troubles.jsonl
	$(BIN)/python samples/tally.py out/tour_of_troubles.jsonl $(CLIP).json

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_imports.py

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[cpu]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[cpu,train,dev,metrics,mqtt,report,webhook]'
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) out build dist *.egg-info
