SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo build test interoperability lint fuzz deps clean

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10s

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-16s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps ## see a mobile node keyed, moved and brought home, in one process
	go run ./cmd/mipsecd demo

build: deps ## build bin/mipsecd
	go build -trimpath -o bin/mipsecd ./cmd/mipsecd

test: lint ## run all checks and all tests, those on real kernels too
	integration/install.sh
	go test -count=1 ./integration/simulation # with the race detector it has fewer mobile nodes
	go test -race -count=1 -p 2 -parallel 4 -timeout 45m -json ./... | go run ./internal/testsummary -table docs/interoperability.md

interoperability: deps ## run the tests with other IKEv2 daemons, and write docs/interoperability.md
	integration/install.sh
	go test -count=1 -parallel 4 -timeout 45m -json ./integration/interop | go run ./internal/testsummary -table docs/interoperability.md -update

lint: deps ## check format, go vet and staticcheck
	@unformatted=$$(gofmt -l .); [[ -z $$unformatted ]] || { echo "gofmt -w needed: $$unformatted"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

fuzz: deps ## fuzz each target for FUZZTIME (10s)
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

deps:
	@command -v go >/dev/null || { echo "Go 1.26 or later is needed: https://go.dev/dl/" >&2; exit 1; }

clean: ## remove what build made
	rm -rf bin
