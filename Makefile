# Everything there is to do with this repository. `make help` lists it.
SHELL        := bash
.SHELLFLAGS  := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN          := $(CURDIR)/bin
TOOLS        := $(BIN)/tools
DEV          := deploy/dev
CHECKS       := deploy/checks
RULES        := deploy/dashboards
LINT_VERSION := v2.15.0
VULN_VERSION := v1.9.0
WFC_VERSION  := v0.6.0
# The newest nfpm whose modules every module proxy serves.
NFPM_VERSION := v2.45.1
MOCK_VERSION := v1.13.0
OAPI_VERSION := v2.8.2
SYFT_VERSION := v1.57.1

# What a release is called; the tag is v$(VERSION).
VERSION ?= 0.1.0

# The first number says to a control plane that it is this agent.
AGENT_VERSION ?= 5.0.0
AGENT_ARCHS   := amd64 arm64

# Known weaknesses of echo v4's rate limiter and reverse proxy, never mended in v4. The database does not
# say which functions they are about, so whatever links echo is reported. Only the development stack does,
# by the Temporal Web UI, which uses neither; they go from here when the UI leaves echo v4.
VULN_UNUSED  := GO-2026-6872 GO-2026-6875

# `make run DEMO=0` starts without the simulated fleet, ARGS adds flags.
DEMO ?= 1
ARGS ?=
# `make test PKG=./workflows/...` tests a part, RUN=Pattern some tests of it.
PKG  ?= ./...
RUN  ?= .
# `make crash MOVES=3000` is the long run; it ends by the deadline of the test itself.
AGENTS ?= 70
MOVES  ?= 210
SOAK   ?= 30m
# Tests of the real stack wait more than they compute, so more run at once than there are cores. A
# stack takes about half a gigabyte.
STACKS ?= 4

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

CONSOLE         := api/console
CONSOLE_SOURCES  = $(shell find $(CONSOLE)/src $(CONSOLE)/public $(CONSOLE)/*.json $(CONSOLE)/*.ts $(CONSOLE)/index.html -type f ! -name schema.d.ts) api/openapi.json

.PHONY: console
console: $(CONSOLE)/dist/index.html ## build the web console that the api contains (needs Node 20.19 or later)

$(CONSOLE)/dist/index.html: $(CONSOLE)/node_modules/.package-lock.json $(CONSOLE_SOURCES)
	@echo "building the console ..."
	@cd $(CONSOLE) && rm -rf dist/assets && npm run --silent build && touch dist/index.html

$(CONSOLE)/node_modules/.package-lock.json: $(CONSOLE)/package-lock.json
	@cd $(CONSOLE) && npm ci --silent --ignore-scripts --no-audit --no-fund && touch node_modules/.package-lock.json

# A machine without npm gets an api whose page says how the console is built.
.PHONY: console-where-possible
console-where-possible:
	@if command -v npm >/dev/null; then $(MAKE) -s console || echo "the console could not be built: the api says how to"; \
	  else echo "npm is not here: the console is left out"; fi

.PHONY: build
build: console-where-possible ## compile api, worker, command line and the embedded stack into bin/
	@echo "compiling (the first time builds a Temporal server: some minutes) ..."
	@go build -o $(BIN)/spotkeeper-api ./api
	@go build -o $(BIN)/spotkeeper-worker ./worker
	@go build -o $(BIN)/spotkeeper ./deploy/cli
	@cd $(DEV) && go build -o $(BIN)/spotkeeper-dev .

.PHONY: agent
agent: $(AGENT_ARCHS:%=$(BIN)/spotkeeper-agent-linux-%) ## compile the agent for instances, static, for amd64 and arm64

.PHONY: $(AGENT_ARCHS:%=$(BIN)/spotkeeper-agent-linux-%)
$(AGENT_ARCHS:%=$(BIN)/spotkeeper-agent-linux-%): $(BIN)/spotkeeper-agent-linux-%:
	@CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -trimpath -ldflags "-s -w -X main.version=$(AGENT_VERSION)" -o $@ ./deploy/agent

.PHONY: packages
packages: agent $(TOOLS)/nfpm-$(NFPM_VERSION) ## pack the agent as deb and rpm into bin/packages
	@mkdir -p $(BIN)/packages
	@for arch in $(AGENT_ARCHS); do for kind in deb rpm; do \
	  ARCH=$$arch VERSION=$(AGENT_VERSION) $(TOOLS)/nfpm-$(NFPM_VERSION) package -f deploy/agent/nfpm.yaml -p $$kind -t $(BIN)/packages/ >/dev/null; \
	done; done
	@cd $(BIN)/packages && sha256sum *.deb *.rpm > checksums.txt && ls -l

.PHONY: release-dry
release-dry: export AGENT_VERSION := $(AGENT_VERSION)
release-dry: console $(TOOLS)/nfpm-$(NFPM_VERSION) $(TOOLS)/syft-$(SYFT_VERSION) ## make all of a release that needs neither Docker nor a registry, in bin/release
	@deploy/release.sh $(VERSION) $(TOOLS)/nfpm-$(NFPM_VERSION) $(TOOLS)/syft-$(SYFT_VERSION)
	@cd $(BIN)/release && ls -lS

.PHONY: bases
bases: ## look up the digests of the images' bases and write them into deploy/bases.env
	@deploy/bases.sh pin

# Needs Docker with buildx and a login at REGISTRY. Each image carries its SBOM and its provenance.
IMAGES := api worker api-onnx worker-onnx agent agent-shell
.PHONY: images
images: $(IMAGES:%=image-%) ## build the images for both architectures and push them to REGISTRY

.PHONY: $(IMAGES:%=image-%)
$(IMAGES:%=image-%): image-%:
	@bases=$$(deploy/bases.sh check) && docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max --push \
	  -f deploy/Dockerfile --target $* --build-arg VERSION=$(AGENT_VERSION) $$bases \
	  -t $(or $(REGISTRY),$(error REGISTRY is missing))/$(firstword $(subst -, ,$*)):$(VERSION)$(if $(findstring -,$*),-$(lastword $(subst -, ,$*))) .

.PHONY: metadata-mock
metadata-mock: $(TOOLS)/ec2-metadata-mock-$(MOCK_VERSION) ## compile AWS's own double of the metadata service, for tests

.PHONY: run
run: build ## start the whole stack on this machine, with a demo fleet (DEMO=0: without)
	@$(BIN)/spotkeeper-dev stack $(if $(filter 0,$(DEMO)),--no-demo,--demo) $(ARGS)

.PHONY: migrate
migrate: ## bring the schema of DATABASE_URL up to date
	@go run ./worker migrate

# The tests run in two lanes side by side: one computes, the other mostly waits for stacks. Those in a browser follow.
# The first yields its processors to the other two, whose agents have deadlines to meet.
.PHONY: test
test: console build onnxruntime metadata-mock ## run every test
	@$(MAKE) --no-print-directory -j 2 lane-computes lane-stacks
	@$(MAKE) --no-print-directory lane-browser

.PHONY: lane-computes lane-stacks lane-browser
lane-computes:
	@for part in test-unit test-deploy test-rules test-vitest; do nice -n 10 $(MAKE) --no-print-directory $$part; done
lane-stacks: test-e2e
lane-browser:
	@$(PLAYWRIGHT)

.PHONY: test-console
test-console: test-vitest test-playwright ## run the console's tests: its functions, then every page in a browser

.PHONY: test-vitest
test-vitest: console
	@cd $(CONSOLE) && npx vitest run

# These tests drive the machine's own Chromium (CHROMIUM) against the embedded stack.
PLAYWRIGHT = cd $(CONSOLE) && npx playwright test
.PHONY: test-playwright
test-playwright: console build
	@$(PLAYWRIGHT)

.PHONY: screenshots
screenshots: console build ## take the pictures of docs/console anew
	@cd $(CONSOLE) && SCREENSHOTS=1 npx playwright test

.PHONY: onnxruntime
onnxruntime: ## fetch the library that runs ONNX models into bin/onnxruntime (once, 108 MB)
	@deploy/onnxruntime.sh $(BIN)/onnxruntime

# What the tests of PKG need beside Go: the library of ONNX models, the double of the metadata service.
.SECONDEXPANSION:
UNIT_PACKAGES = $(shell go list $(PKG))
UNIT_NEEDS = $(if $(filter spotkeeper/internal/engine/onnx,$(UNIT_PACKAGES)),onnxruntime) $(if $(filter spotkeeper/internal/box,$(UNIT_PACKAGES)),metadata-mock)

.PHONY: test-unit
test-unit: $$(UNIT_NEEDS) ## run the product's tests (PKG, RUN)
	@go test -race -shuffle=on -timeout 15m -run '$(RUN)' $(PKG)

.PHONY: test-deploy
test-deploy: ## test what deploys the product: chart, templates, policies, modules, compose, release
	@cd $(CHECKS) && go test -shuffle=on -timeout 15m ./...
.PHONY: test-rules
test-rules: ## test alerts and the board with Prometheus's own parser and engine
	@cd $(RULES) && go test -race -shuffle=on ./...

.PHONY: test-e2e
test-e2e: onnxruntime ## run the tests on the real stack: races, crashes, conformance
	@cd $(DEV) && go test -race -shuffle=on -timeout 40m -p 2 -parallel $(STACKS) ./...

.PHONY: crash
crash: ## move 70 agents 210 times while every process is killed at random (AGENTS, MOVES, ARGS=-crash-lose-temporal)
	@cd $(DEV) && go test -race -count=1 -timeout 0 -run TestCrash -v ./e2e -crash-lead 90s \
	  -crash-agents $(AGENTS) -crash-moves $(MOVES) $(ARGS)

.PHONY: upgrade
upgrade: ## replace the worker and api of another release while agents move (FROM=tag or commit)
	@commit=$$(git rev-parse --short "$(or $(FROM),$(error FROM is missing))^{commit}") && at=$(BIN)/releases/$$commit && \
	  if [ ! -x $$at/spotkeeper-worker ]; then echo "compiling $$commit ..."; mkdir -p $$at/src && \
	    git archive $$commit | tar -x -C $$at/src && cd $$at/src && \
	    go build -buildvcs=false -o ../spotkeeper-api ./api && go build -buildvcs=false -o ../spotkeeper-worker ./worker && rm -rf $$at/src; fi && \
	  cd $(CURDIR)/$(DEV) && go test -count=1 -timeout 40m -run TestRollingUpgrade -v ./e2e -upgrade-from $$at

.PHONY: soak
soak: build ## let 10,000 agents live for SOAK while one loses its instance each second
	@cd $(DEV) && go test -run "^$$" -bench Soak -benchtime 1x -timeout 0 ./bench -soak $(SOAK)

.PHONY: races
races: ## send 2000 updates and wakes to Guardians that end all the time, twice
	@cd $(DEV) && go test -race -count=1 -timeout 20m -run TestRaces -v ./e2e -race-moves 5 -race-updates 800

.PHONY: large
large: ## repeat the tests of large numbers with ten thousand standbys and streams, ten minutes of wrong tokens, 1,000 histories of a cloud
	@go test -race -count=1 -timeout 30m -run TestManyStandbys ./internal/app -standbys 10000
	@go test -race -count=1 -timeout 30m -run TestStreamsAreBounded ./api/rest -streams 10000
	@go test -race -count=1 -timeout 30m -run TestFailuresAreBounded ./api/web -attack 10m
	@go test -race -count=1 -timeout 30m -run TestNoHistoryBreaksTheRules ./internal/ec2sim -rapid.checks 1000

.PHONY: check
check: generated lint test ## what CI runs

.PHONY: lint
lint: vet workflowcheck golangci ## all linters

.PHONY: vet
vet:
	@go vet ./...
	@cd $(DEV) && go vet ./...
	@cd $(CHECKS) && go vet ./...
	@cd $(RULES) && go vet ./...

.PHONY: workflowcheck
workflowcheck: $(TOOLS)/workflowcheck-$(WFC_VERSION)
	@$< -config workflowcheck.yaml ./workflows/...

.PHONY: golangci
golangci: $(TOOLS)/golangci-lint-$(LINT_VERSION)
	@$< run ./...
	@cd $(DEV) && $< run --config $(CURDIR)/.golangci.yaml ./...
	@cd $(CHECKS) && $< run --config $(CURDIR)/.golangci.yaml ./...
	@cd $(RULES) && $< run --config $(CURDIR)/.golangci.yaml ./...

# The database comes through the module proxy, which is all that many networks reach. The standard
# library is go.mod's toolchain's, which is what deploy/Dockerfile builds with.
.PHONY: vuln
vuln: export GOTOOLCHAIN=auto
vuln: $(TOOLS)/govulncheck-$(VULN_VERSION) ## look for known vulnerabilities, by the newest database (16 GB of memory)
	@dir=$$(go mod download -json golang.org/x/vulndb@latest | sed -n 's/.*"Dir": "\(.*\)",/\1/p') && \
	  rm -rf $(BIN)/vulndb $(BIN)/osv && cp -r --no-preserve=mode $$dir/data/osv $(BIN)/osv && rm $(VULN_UNUSED:%=$(BIN)/osv/%.json) && \
	  go run golang.org/x/vulndb/cmd/indexdb@latest -out $(BIN)/vulndb -vulns $(BIN)/osv && rm -r $(BIN)/osv
	@$< -db file://$(BIN)/vulndb ./...
	@cd $(DEV) && $< -db file://$(BIN)/vulndb ./...

CLIENT := internal/cli/client

.PHONY: generate
generate: $(TOOLS)/oapi-codegen-$(OAPI_VERSION) ## rewrite golden files: openapi.json, its client, pages of docs/, deploy/k8s
	@go test ./internal/config ./internal/app ./internal/fleet ./api/rest -run 'Current$$|DocumentIsValidAndKept' -args -update >/dev/null
	@$< -config $(CLIENT)/config.yaml -o $(CLIENT)/client.gen.go api/openapi.json
	@cd $(CHECKS) && go test ./chart -run PlainManifests -args -update >/dev/null

GENERATED := docs/config.md docs/errors.md docs/metrics.md docs/twin.md api/openapi.json deploy/k8s $(CLIENT)

.PHONY: generated
generated: generate # the golden files are those in the repository
	@git diff --exit-code --stat -- $(GENERATED) || { echo "generated files differ from those in the repository: commit them"; exit 1; }

.PHONY: bench
bench: build ## measure against the budgets of the design, on this machine
	@go test -run "^$$" -bench 'Prices$$' -benchtime 1x -timeout 60m ./internal/postgres
	@go test -run "^$$" -bench TenThousandEvents -benchtime 1x -timeout 60m ./internal/intake
	@go test -run "^$$" -bench DayOfAnAgent -benchtime 1x -timeout 60m ./internal/box
	@cd $(DEV) && go test -run "^$$" -bench . -benchtime 1x -timeout 60m ./bench $(ARGS)

.PHONY: bench-console
bench-console: console build ## measure the console in a browser before 10,000 agents (AGENTS, ROUNDS; needs psql)
	@cd $(CONSOLE) && AGENTS=$(if $(filter 70,$(AGENTS)),10000,$(AGENTS)) npx playwright test -c playwright.bench.config.ts

.PHONY: histories
histories: ## record workflow histories from the real server for the replay tests
	@cd $(DEV) && go test -run TestRecordHistories -count=1 ./e2e -record $(CURDIR)/workflows/testdata/histories

.PHONY: clean
clean: ## remove what was built and the embedded stack's state
	@for state in .spotkeeper $(DEV)/.spotkeeper; do \
	  [ ! -L $$state/postgres ] || rm -rf "$$(readlink $$state/postgres)"; done
	@rm -rf $(BIN)/spotkeeper $(BIN)/spotkeeper-* $(BIN)/test $(BIN)/releases .spotkeeper $(DEV)/.spotkeeper

$(TOOLS)/golangci-lint-$(LINT_VERSION):
	@echo "compiling golangci-lint $(LINT_VERSION) (once, minutes) ..."
	@GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $@

$(TOOLS)/workflowcheck-$(WFC_VERSION):
	@GOBIN=$(TOOLS) go install go.temporal.io/sdk/contrib/tools/workflowcheck@$(WFC_VERSION)
	@mv $(TOOLS)/workflowcheck $@

$(TOOLS)/govulncheck-$(VULN_VERSION):
	@GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	@mv $(TOOLS)/govulncheck $@

$(TOOLS)/nfpm-$(NFPM_VERSION):
	@GOBIN=$(TOOLS) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	@mv $(TOOLS)/nfpm $@

$(TOOLS)/syft-$(SYFT_VERSION):
	@echo "compiling syft $(SYFT_VERSION) (once, minutes) ..."
	@GOBIN=$(TOOLS) go install github.com/anchore/syft/cmd/syft@$(SYFT_VERSION)
	@mv $(TOOLS)/syft $@

$(TOOLS)/ec2-metadata-mock-$(MOCK_VERSION):
	@GOBIN=$(TOOLS) go install github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock@$(MOCK_VERSION)
	@mv $(TOOLS)/ec2-metadata-mock $@

$(TOOLS)/oapi-codegen-$(OAPI_VERSION):
	@GOBIN=$(TOOLS) go install github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@$(OAPI_VERSION)
	@mv $(TOOLS)/oapi-codegen $@
