# The front door. CMake builds (CMakePresets.json), tools/deps.sh installs what is missing, and
# everything made lies in build/ or in the cache folder that `tools/deps.sh cache` names.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 30
# The preset to build: release, dev, asan, tsan, coverage, analyze or fuzz.
PRESET ?= release
# What `make run` starts; RUN_ARGS adds to it.
RUN_COMMAND ?= serve --repository-path=models/repository
RUN_ARGS ?=
# More for pytest, for example PYTEST_ARGS="-k binary -x".
PYTEST_ARGS ?=
BENCH_ARGS ?=
SOAK_ARGS ?=
RETRAIN_ARGS ?=
export JOBS FUZZ_SECONDS PYTEST_ARGS

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

.PHONY: run
run: ## Install what is missing, build, serve the demonstration model (RUN_ARGS=--http-port=8090)
	@tools/deps.sh run
	@tools/build.sh release
	@echo "make: starting build/release/inferd $(RUN_COMMAND) $(RUN_ARGS)"
	@echo "make: a prediction, from another terminal in this folder:"
	@echo "curl -s http://127.0.0.1:8080/v2/models/breast-cancer/infer -d @models/breast-cancer/request.json"
	@exec build/release/inferd $(RUN_COMMAND) $(RUN_ARGS)

.PHONY: build
build: ## Build build/release/inferd (another kind: make build PRESET=dev)
	@tools/deps.sh build $(if $(filter fuzz,$(PRESET)),fuzz)
	@tools/build.sh $(PRESET)

PREFIX ?= /usr/local

.PHONY: install
install: build ## Install inferd and the libraries it brings under DESTDIR/PREFIX (/usr/local)
	@install -Dm755 build/release/inferd $(DESTDIR)$(PREFIX)/bin/inferd
	@install -d $(DESTDIR)$(PREFIX)/lib
	@for library in build/release/lib/lib{onnxruntime,yyjson}.so.*; do \
		[ ! -e "$$library" ] || cp -P "$$library" $(DESTDIR)$(PREFIX)/lib/; \
	done
	@echo "make: installed $(DESTDIR)$(PREFIX)/bin/inferd"

.PHONY: test
test: ## Build and pass every test: plain, AddressSanitizer, ThreadSanitizer, and the checks
	@tools/test.sh all

.PHONY: test-unit
test-unit: ## Unit tests and fuzz corpora of the release build
	@tools/test.sh unit

.PHONY: test-api
test-api: ## Black-box tests of the release program (PYTEST_ARGS="-k name" picks some)
	@tools/test.sh api

.PHONY: test-asan
test-asan: ## Unit and black-box tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/test.sh asan

.PHONY: test-tsan
test-tsan: ## Unit tests and the concurrent black-box tests with ThreadSanitizer
	@tools/test.sh tsan

.PHONY: check
check: build ## Repository checks: layers, sizes, banned functions, stale documents, ...
	@tools/check.sh

.PHONY: fuzz
fuzz: ## Fuzz every parser for FUZZ_SECONDS each (30), from the committed corpus
	@tools/deps.sh fuzz
	@tools/fuzz.sh

.PHONY: bench
bench: ## Measure three models beside bare ONNX Runtime and nginx (BENCH_ARGS=--peers: and others)
	@tools/deps.sh bench $(if $(findstring --peers,$(BENCH_ARGS)),peers)
	@tools/build.sh release
	@bench/run $(BENCH_ARGS)

.PHONY: soak
soak: ## Ten minutes at saturation with all protocols (SOAK_ARGS=--seconds=60)
	@tools/deps.sh bench
	@tools/build.sh release
	@python3 bench/soak.py $(SOAK_ARGS)

.PHONY: lint
lint: ## clang-tidy, cppcheck, gcc -fanalyzer, clang-format, shellcheck, yamllint, codespell
	@tools/deps.sh lint
	@tools/lint.sh

.PHONY: format
format: ## Format the C sources in place
	@tools/deps.sh lint
	@tools/lint.sh --format

.PHONY: coverage
coverage: ## Lines that the unit tests execute, per layer
	@tools/deps.sh test
	@tools/coverage.sh

.PHONY: retrain
retrain: ## Train the demonstration model again (RETRAIN_ARGS=--check only compares)
	@tools/deps.sh train
	@echo "make: running models/train.py $(RETRAIN_ARGS)"
	@"$$(tools/deps.sh venv-train)/bin/python" models/train.py $(RETRAIN_ARGS)

.PHONY: docs
docs: build ## Write the generated reference pages again (docs/reference)
	@tools/docs.sh

.PHONY: clean
clean: ## Remove build/ (what was installed or fetched stays)
	rm -rf build
