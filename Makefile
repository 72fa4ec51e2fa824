# Everything from a fresh clone: `make demo` and `make test` set up what they need, and skip what is done.
# No root, no network but the Python package registry, no HOME. Recipes use relative paths only, so that the
# clone may live anywhere (spaces included).

PYTHON ?= python3
EXTRAS = text,cf,image,track,tune,dev
PY = .venv/bin/python
# The lock constrains what is installed and, in the second form for newer pips, what builds it.
PIP = PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=requirements.lock PIP_BUILD_CONSTRAINT=requirements.lock \
	$(PY) -m pip
CODE = $(wildcard $(foreach deep,* */* */*/*,genrec/$(deep).py genrec/$(deep).html configs/$(deep).gin)) \
	train_rqvae.py train_decoder.py
OUT = out/ml100k
CORES = $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
THREADS = $(shell echo $$(( $(CORES) > 3 ? $(CORES) / 2 : 1 )))

.PHONY: help install data demo test lint format lock clean distclean
.DELETE_ON_ERROR:

help:  ## list the targets (default)
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 12

install: .venv/.installed  ## make .venv with the pinned packages

data: .venv/.installed dataset/ml-100k/.done  ## fetch MovieLens-100K into dataset/ml-100k

demo: .venv/.installed  ## train on MovieLens-100K and compare generative recall with the classics
	@OMP_NUM_THREADS=$(THREADS) $(MAKE) --no-print-directory -j2 $(OUT)/comparison.txt
	@cat $(OUT)/comparison.txt

test: lint data  ## every check: ruff, mypy, pytest
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2

lint: .venv/.installed  ## ruff and mypy
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: .venv/.installed  ## let ruff rewrite the code
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

lock: .venv/.installed  ## write requirements.lock anew (edit or delete a line first to move that package)
	$(PIP) install -e ".[text,cf,image,track,tune,bench,dev]"
	$(PY) -m pip freeze --all --exclude pip --exclude-editable > .venv/freeze.txt
	( echo "# Exact versions, used as constraints (pip -c): lines for other platforms are simply unused."; \
	  echo "# Made by 'make lock' with every extra; to move one package, edit or delete its line and run that."; \
	  LC_ALL=C sort -f .venv/freeze.txt ) > requirements.lock
	@touch .venv/.installed

clean:  ## remove results and caches; keep dataset/ and .venv
	rm -rf out build genrec.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find genrec experiments tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove .venv
	rm -rf .venv

# A half-made environment (no pip in it) is made anew; the stamp comes last.
.venv/.installed: pyproject.toml requirements.lock
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "genrec needs Python 3.11 or newer, but '$(PYTHON)' is not; name one: make PYTHON=python3.11" >&2; \
	    exit 1; }; \
	  $(PYTHON) -m venv --clear .venv; }
	$(PIP) install -e ".[$(EXTRAS)]"
	@mkdir -p $(@D) && touch $@

# Stages of the demo. Where code or settings have changed, the decoders start anew instead of refusing to resume.
# Stamps, because a trainer that finds its work done leaves its artifact untouched.
# The two chains are independent: the model and its random-id control train side by side, each on half the
# cores, because two jobs of one thread get more done than one job of two.
dataset/ml-100k/.done: .venv/.installed
	$(PY) -c 'from genrec.data.load import load_dataset; load_dataset("ml100k")'
	@mkdir -p $(@D) && touch $@

$(OUT)/.tokenizer: dataset/ml-100k/.done $(CODE)
	$(PY) train_rqvae.py configs/rqvae_ml100k.gin
	@rm -rf $(OUT)/decoder/checkpoints
	@mkdir -p $(@D) && touch $@

$(OUT)/.decoder: $(OUT)/.tokenizer
	$(PY) train_decoder.py configs/decoder_ml100k.gin
	@mkdir -p $(@D) && touch $@

$(OUT)/.random: dataset/ml-100k/.done $(CODE)
	$(PY) train_rqvae.py configs/random_ml100k.gin
	@rm -rf $(OUT)/decoder-random/checkpoints
	@mkdir -p $(@D) && touch $@

$(OUT)/.decoder-random: $(OUT)/.random
	$(PY) train_decoder.py configs/decoder_random_ml100k.gin
	@mkdir -p $(@D) && touch $@

$(OUT)/comparison.txt: $(OUT)/.decoder $(OUT)/.decoder-random experiments/evaluate_recall.py
	$(PY) experiments/evaluate_recall.py configs/recall_ml100k.gin > $@.part
	@mv $@.part $@
