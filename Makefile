# `make` alone shows what there is.

LINT_VERSION := $(shell cat .golangci-lint-version)
LINT := .tools/golangci-lint-$(LINT_VERSION)

.PHONY: help run build setup test check fuzz bench conformance

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: build ## build, then show two photos on their way; stays up until Ctrl-C
	@exec bin/loupe demo

build: ## build bin/loupe
	@test -e bin/loupe || echo "Building bin/loupe; the first time takes a minute or two."
	@go build -o bin/loupe ./cmd/loupe

setup: ## install what the tests need: apt-get as root on Debian or Ubuntu, npm
	@scripts/setup.sh

test: setup ## run every test, and say at the end what was left out
	@scripts/test.sh

check: $(LINT) ## vet, gofmt and the linter, import arrows included
	go vet ./...
	go -C bench vet ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(LINT) run

fuzz: ## run each fuzz test for FUZZTIME (10s)
	@scripts/fuzz.sh

bench: ## run the benchmarks and the load of bench/
	go test -run '^$$' -bench . -benchmem ./...
	go -C bench test -run '^$$' -bench . ./...

conformance: setup ## drive our server with the official clients, in full view
	LOUPE_TEST_REQUIRE=all go test -race -count=1 -v ./interop/...

$(LINT): .golangci-lint-version
	GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .tools/golangci-lint $@
