# boxfleet: `make` alone prints this list.

GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# The product is built without cgo; the race detector alone needs a C compiler.
CC_FOUND := $(shell command -v $${CC:-cc} 2>/dev/null || command -v gcc 2>/dev/null || command -v clang 2>/dev/null)
ifneq ($(CC_FOUND),)
RACE := -race
TEST_ENV := CGO_ENABLED=1
else
TEST_ENV := CGO_ENABLED=0
endif

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help
.PHONY: help build toolbox toolbox-large toolbox-large-test demo test browser-test test-race-note lint bench chaos soak backlog scale nomad-e2e docs docs-test clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/worker, bin/submit, bin/loadtest and bin/devs3
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/worker ./cmd/worker
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/submit ./cmd/submit
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/loadtest ./loadtest
	cd internal/devs3 && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../../$(BIN)/devs3 .

toolbox: ## build the guest tools into toolbox/dist
	@$(MAKE) --no-print-directory -C toolbox dist

toolbox-large: ## add Python, JavaScript, yq and esbuild to toolbox/dist (Python by npm)
	@cd toolbox/large && $(GO) run ./build

toolbox-large-test: build toolbox-large ## run the large tools as jobs of a fleet, on real input and hostile
	cd toolbox/large && CGO_ENABLED=0 $(GO) vet ./... && CGO_ENABLED=0 $(GO) test -timeout 20m ./...

demo: build toolbox ## start a fleet, run real tools on real input, show results and a trace
	@GO=$(GO) ./scripts/demo.sh

test: build toolbox test-race-note ## run every test against real servers, with the race detector where a C compiler is
	$(TEST_ENV) $(GO) test $(RACE) -timeout 12m ./...
	cd internal/devs3 && CGO_ENABLED=0 $(GO) test ./...
	cd toolbox && CGO_ENABLED=0 $(GO) test ./...
	cd deploy/nomad/e2e && CGO_ENABLED=0 $(GO) test ./...

browser-test: build toolbox ## open the dashboard and the load test's report in Chromium (Debian's package chromium)
	cd internal/browsertest && CGO_ENABLED=0 $(GO) vet ./... && CGO_ENABLED=0 $(GO) test -count 1 -timeout 5m ./...

test-race-note:
ifeq ($(RACE),)
	@echo "no C compiler found: testing without the race detector"
endif

lint: ## go vet, staticcheck and the layer guard
	$(GO) vet ./...
	cd toolbox && $(GO) vet ./...
	cd internal/devs3 && $(GO) vet ./...
	cd deploy/nomad/e2e && $(GO) vet ./... && $(GO) vet -tags rehearsal ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -run 'TestLayers' ./internal/layers

bench: ## benchmarks of the sandbox, the metering and the main path
	$(GO) test -run '^$$' -bench . -benchtime 1s ./limits/... ./executor/...

SEED     ?= 0
JOBS     ?= 20000
DURATION ?= 4m

chaos: build ## break a fleet of real processes for minutes, account for every job (SEED=, JOBS=, DURATION=)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BIN)/nats-server github.com/nats-io/nats-server/v2
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BIN)/chaos ./internal/chaos
	$(BIN)/chaos --seed $(SEED) --jobs $(JOBS) --duration $(DURATION)

soak: build ## 200,000 jobs through one worker; fails when anything grows
	$(BIN)/loadtest soak --jobs 200000

backlog: build ## 1,000,000 queued jobs of 1,000 tenants; fails when a job's cost grows with the queue
	$(BIN)/loadtest backlog --jobs 1000000 --tenants 1000

scale: build ## throughput of 1 to 4 workers with 1 to 8 slots each
	$(BIN)/loadtest scale

nomad-e2e: build ## run the job files on real Nomad agents: 500 jobs, a rolling update, a drain (builds Nomad: ten minutes)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BIN)/nats-server github.com/nats-io/nats-server/v2
	cd deploy/nomad/e2e && $(GO) build -o ../../../$(BIN)/nomad github.com/hashicorp/nomad
	cd deploy/nomad/e2e && $(GO) vet -tags rehearsal . && $(GO) test -tags rehearsal -count 1 -timeout 20m -v -run TestRehearsal .

docs: build ## write what is generated: settings, manual pages, schemas
	$(BIN)/worker settings > docs/configuration.md
	$(BIN)/submit manual --man docs/man
	$(BIN)/worker manual --man docs/man
	rm -f docs/man/*.1
	$(BIN)/submit manual --man docs/man
	$(BIN)/worker manual --man docs/man
	$(GO) generate ./...

docs-test: build toolbox ## run the documents' commands, also those for clang with wasi-libc and rustc with wasm32-wasip1
	DOCTEST_TOOLCHAINS=1 $(GO) test -count 1 -v -run TestDocuments ./internal/doctest

clean: ## remove what was built
	rm -rf $(BIN) toolbox/dist
