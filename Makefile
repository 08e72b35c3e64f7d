# make demo             track a generated crowd: scores, an annotated video and a picture in demo/
# make test             the tests, but for the slow ones
# make test-slow        the slow ones
# make test-processors  what trains, or compares with measured figures, with other instructions
# make fuzz             random input under address and undefined-behaviour sanitizers: SECONDS, SEED
# make compare          identities beside those of another commit, on this machine: BASE
# make mutants          faults put into the CUDA kernels: the tests must see each
# make lint             ruff, mypy, clang-format, codespell
# make docs             the site, in build/site; a warning is an error
# make bench            benchmarks
#
# COVERAGE="--cov=sslmot", given to `make test`, measures coverage.
# All of them in one environment, .venv. CUDA=ON|OFF decides about the kernels (AUTO: where nvcc is).
PYTHON ?= python3
CUDA ?= AUTO
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SOURCES := CMakeLists.txt pyproject.toml constraints.txt $(wildcard cmake/* csrc/*)
INSTALL = $(PIP) install -c constraints.txt --no-build-isolation -C cmake.define.CUDA=$(CUDA)

# Small tensors are slower by several threads than by one.
PYTEST = OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
# What torch may use of the processor, and oneDNN under it. Only a processor with AVX-512 runs that.
PROCESSORS := default avx2 $(shell grep -qs avx512bw /proc/cpuinfo && echo avx512)

.PHONY: demo test test-slow test-processors fuzz compare mutants lint docs bench clean

demo: $(VENV)/demo.installed
	$(BIN)/sslmot demo --output demo

test: $(VENV)/test.installed
	$(PYTEST) -m "not slow" $(COVERAGE)

test-slow: $(VENV)/test.installed
	$(PYTEST) -m slow

test-processors: $(VENV)/test.installed
	for processor in $(PROCESSORS); do \
	  echo "== ATEN_CPU_CAPABILITY=$$processor ONEDNN_MAX_CPU_ISA=AVX2"; \
	  ATEN_CPU_CAPABILITY=$$processor ONEDNN_MAX_CPU_ISA=AVX2 $(PYTEST) -q -m processor || exit 1; \
	done

SECONDS ?= 300
fuzz: $(VENV)/test.installed
	OMP_NUM_THREADS=1 tests/fuzz/sanitized.sh -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))
	SANITIZE=thread OMP_NUM_THREADS=1 tests/fuzz/sanitized.sh -m tests.fuzz.threads

compare: $(VENV)/test.installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/golden/compare.py $(BASE)

mutants: $(VENV)/test.installed
	$(BIN)/python tests/cuda_on_cpu/mutate.py

lint: $(VENV)/lint.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror csrc/* $(wildcard tests/cuda_on_cpu/*.cpp \
	  tests/cuda_on_cpu/*.h tests/cuda_on_cpu/*.cu tests/cuda_on_cpu/include/*)
	$(BIN)/codespell *.md docs mkdocs.yml CITATION.cff Makefile CMakeLists.txt pyproject.toml \
	  .ci/run .github cmake csrc sslmot tests benchmarks examples

docs: $(VENV)/docs.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/benchmark.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest benchmarks \
	  --benchmark-columns=median,iqr,rounds --benchmark-sort=fullname

$(VENV)/tools.installed: pyproject.toml
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "make: expected a Python with venv; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PIP) install "pip>=23.1"
	$(PIP) install "scikit-build-core>=0.11" "pybind11>=2.13" "hatch-fancy-pypi-readme>=23.2" \
	  "cmake>=3.22" ninja
	@touch $@

$(VENV)/demo.installed: $(VENV)/tools.installed $(SOURCES)
	$(INSTALL) -e ".[evaluation]"
	@$(BIN)/python -c "import cv2" || { echo "make: expected the libraries that OpenCV" \
	  "needs; on Debian: apt install libgl1 libglib2.0-0" >&2; exit 1; }
	@touch $@

$(VENV)/test.installed: $(VENV)/demo.installed
	$(INSTALL) -e ".[test]"
	$(PIP) install --no-deps "ultralytics>=8.4" # its results alone, which need no torchvision
	@touch $@

$(VENV)/%.installed: $(VENV)/demo.installed
	$(INSTALL) -e ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build demo dist
