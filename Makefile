# `make` alone shows what there is.

LINT_VERSION := $(shell cat .golangci-lint-version)
LINT := .tools/golangci-lint-$(LINT_VERSION)

.PHONY: help run build setup test check fuzz bench chaos conformance screenshots

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
	go -C internal/asset/mongostore/ferret vet ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(LINT) run

fuzz: ## run each fuzz test for FUZZTIME (10s)
	@scripts/fuzz.sh

bench: ## run the benchmarks and the load of bench/
	go test -run '^$$' -bench . -benchmem ./...
	go -C bench test -run '^$$' -bench . ./...

chaos: ## break each topology for 10 minutes while it works, and judge; FLAGS as of go run ./chaos -h
	go run ./chaos -topology all -for 10m -photos 2000 -kills 50 $(FLAGS)

conformance: ## run the official protocol suites RUNS (1) times; SUITES is a checkout of socketio/socket.io
	@test -n "$(SUITES)" || { echo "say where the suites are: make conformance SUITES=<a checkout of socketio/socket.io>"; exit 2; }
	go run ./socketio/internal/conformance -runs $(or $(RUNS),1) $(SUITES)

screenshots: build setup ## take a picture of every screen of the web app, into DIR (screenshots)
	cd interop && node web/screenshots.mjs ../bin/loupe $(abspath $(or $(DIR),screenshots))

$(LINT): .golangci-lint-version
	GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .tools/golangci-lint $@
