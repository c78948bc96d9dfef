# A thin front for CMake and the tools. `make help` lists what it does.
.DEFAULT_GOAL := build
MINUTES ?= 15
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BUILD := build/release

.PHONY: help build setup run test cuda bench soak fmt fmt-check check clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## Install what is missing (compiler, libraries); does nothing when nothing is missing
	@tools/setup

build: ## Build the release binary build/pensieve
	@tools/setup --build
	@tools/configure release
	@cmake --build $(BUILD) --target pensieve -j $(JOBS)

run: build ## Set up, build, fetch the default model and serve it on 127.0.0.1:8000
	@tools/run

test: ## Everything: style, stairs, unit tests with sanitizers, golden logits, end to end
	@tools/setup
	@JOBS=$(JOBS) tools/test

cuda: build ## Build the module for NVIDIA GPUs beside the binary (needs nvcc, CUDA 12.3 or newer)
	@command -v nvcc >/dev/null || { echo "make cuda: there is no nvcc: install NVIDIA's CUDA toolkit, or add its bin folder to PATH" >&2; exit 1; }
	@cmake -S . -B build/cuda -DCMAKE_BUILD_TYPE=Release -DPENSIEVE_CUDA=ON -DPENSIEVE_TESTS=OFF -DPENSIEVE_BINARY_DIR=$(CURDIR)/build >/dev/null
	@cmake --build build/cuda --target pensieve_cuda -j $(JOBS)

bench: build ## Measure the default model, and other programs beside it (PEERS=1 sets them up first)
	@PEERS="$(PEERS)" tools/bench

soak: build ## Rough clients on a small server for MINUTES=15; every answer must equal the quiet one
	@python3 tools/soak --minutes $(MINUTES)

fmt: ## Format the C sources
	@tools/fmt

fmt-check: ## Check the format of the C sources
	@tools/fmt --check

check: ## Check the stairs: which room includes what
	@python3 tools/stairs.py --self-test
	@python3 tools/stairs.py

clean: ## Remove what was built
	rm -rf build compile_commands.json
