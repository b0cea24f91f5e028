# The only list of commands: people and CI use the same ones. `make` shows it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# PG=NN is a PostgreSQL of this Debian release or, if it has another one, of a chroot; 16, which
# none has, is one of the package registries. PG_CONFIG=... is one in any other place.
ifdef PG_CONFIG
ifeq ($(shell '$(PG_CONFIG)' --version),)
$(error PG_CONFIG=$(PG_CONFIG): not a pg_config)
endif
override PG := $(shell '$(PG_CONFIG)' --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
# By its own name: a change of the name alone would make cargo build everything anew.
override PG_CONFIG := $(shell '$(PG_CONFIG)' --bindir)/pg_config
WHERE := host
else
PG ?= 15
PG_CONFIG := /usr/lib/postgresql/$(PG)/bin/pg_config
WHERE := $(shell scripts/chroot.sh where '$(PG)')
ifeq ($(WHERE),)
$(error PG=$(PG): not installed here; to use one in another place pass PG_CONFIG=/path/to/pg_config)
endif
endif
# Scripts that get PG find pg_config in the same way; those that need it get it by name.
unexport PG_CONFIG
export PG

# Archives carry the time of the last commit, not that of the build.
export PGTLS_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# A target directory per version, so that they do not rebuild each other's bindings. PostgreSQL 15
# on the host shares the one of plain `cargo build`, whose default it is.
TARGET := target$(if $(PGTLS_IN_CHROOT)$(filter-out 15,$(PG)),/pg$(PG))
export CARGO_TARGET_DIR := $(CURDIR)/$(TARGET)
export PGRX_PG_CONFIG_PATH := $(PG_CONFIG)

# release for what is installed and packaged, dev for what is tested
PROFILE ?= release
LIBRARY = $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/libpgtls_ext.so
STAGE := $(CURDIR)/target/stage/pg$(PG)
# A dev build is one of all packages and their tests, and every dev command names the whole
# workspace: for one package cargo would choose other features of shared crates, and compile those
# again.
FEATURES := --no-default-features --features pgtls_ext/pg$(PG)
# The demonstration does without the tests: who wants to see it need not wait for them.
PACKAGES = $(if $(filter dev,$(PROFILE)),--workspace --lib --bins $(if $(NO_TESTS),,--tests),-p pgtls_ext)

.PHONY: help
help: ## this list
	@echo "make TARGET [PG=NN | PG_CONFIG=PATH], PG is $(PG) unless given"
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: deps
deps: ## install what is missing on this Debian machine
	@scripts/setup-debian.sh build

.PHONY: lint
lint: deps ## format, clippy without warnings, unsafe code fenced in, layers, lock files, shell scripts
	@scripts/setup-debian.sh check
	@scripts/lint.sh $(PG)

.PHONY: check
check: deps ## lint, and the tests of the core: what to run before a commit
	@scripts/setup-debian.sh check
	@scripts/lint.sh $(PG) --with-core-tests

.PHONY: test-matrix
test-matrix: deps ## every suite on PostgreSQL 15 to 19, 16 as far as it goes
	@scripts/test-matrix.sh 15 16 17 18 19

.PHONY: test-fresh
test-fresh: ## `make demo` on a bare Debian 12, in a chroot made for it; needs root
	@scripts/setup-debian.sh chroot
	@scripts/suites.sh run target/results/fresh.tsv fresh-machine scripts/fresh-machine.sh make demo

.PHONY: fuzz
fuzz: deps ## fuzz every target for SECONDS=60 each (FILTER=name: only that one)
	@scripts/setup-debian.sh fuzz
	@scripts/fuzz.sh $(or $(SECONDS),60) $(FILTER)

.PHONY: clean
clean: ## remove everything that was built (not the chroots: scripts/chroot.sh remove NN)
	rm -rf target dist

ifeq ($(WHERE),chroot)

# The same target, inside the chroot of that version; make knows no difference there.
IN_CHROOT := build stage test test-login-grid test-staged-grid test-rehearsal test-stress test-load test-allocations demo bench package
.PHONY: $(IN_CHROOT) install
$(IN_CHROOT): deps
	@scripts/setup-debian.sh chroot
	@cargo fetch --quiet
	@scripts/chroot.sh create $(PG)
	@if [ $@ = test ]; then scripts/setup-debian.sh source; scripts/fetch-pg-source.sh $(PG) >/dev/null || true; fi
	@scripts/chroot.sh run $(PG) make --no-print-directory $@ \
		PROFILE='$(PROFILE)' FILTER='$(FILTER)' KEEP='$(KEEP)'

install:
	@echo "PostgreSQL $(PG) is not on this machine: pass PG_CONFIG=/path/to/pg_config" >&2
	@exit 1

else ifeq ($(WHERE),registry)

# The same target, with the PostgreSQL that is fetched. It is for tests: nobody would install for
# it.
IN_REGISTRY := build stage test test-login-grid test-staged-grid test-rehearsal test-stress test-load test-allocations demo
.PHONY: $(IN_REGISTRY) install bench package
$(IN_REGISTRY): deps
	@scripts/setup-debian.sh registry || [ $@ = test ]
	@PG=$(PG) scripts/pg16.sh make $@ PROFILE='$(PROFILE)' FILTER='$(FILTER)' KEEP='$(KEEP)'

install bench package:
	@echo "PostgreSQL $(PG) is not on this machine: pass PG_CONFIG=/path/to/pg_config" >&2
	@exit 1

else

.PHONY: build
build: ## build the extension (PROFILE=dev: without optimisation)
	@if [ ! -x "$$(command -v '$(PG_CONFIG)')" ]; then \
		echo "$(PG_CONFIG) is missing: 'make deps' installs PostgreSQL $(PG), or pass PG_CONFIG=..." >&2; \
		exit 1; \
	elif command -v cargo >/dev/null; then \
		scripts/cargo.sh build $(PACKAGES) --profile $(PROFILE) $(FEATURES); \
	elif [ -e $(LIBRARY) ]; then \
		echo "no cargo here (sudo?): taking $(LIBRARY) as it is"; \
	else \
		echo "cargo is missing: run 'make deps' to see what is needed" >&2; exit 1; \
	fi

.PHONY: install
install: build ## install into the PostgreSQL of PG_CONFIG=..., below DESTDIR=...
	@libdir=$$('$(PG_CONFIG)' --pkglibdir); extension=$$('$(PG_CONFIG)' --sharedir)/extension; \
	install -d "$(DESTDIR)$$libdir" "$(DESTDIR)$$extension"; \
	install -m 755 $(LIBRARY) "$(DESTDIR)$$libdir/pgtls_ext.so"; \
	install -m 644 pgtls_ext.control sql/pgtls_ext--*.sql "$(DESTDIR)$$extension/"; \
	echo "installed pgtls_ext $(VERSION) for PostgreSQL $(PG) below $(or $(DESTDIR),/)"

.PHONY: uninstall
uninstall: ## remove what install put there
	@libdir=$$('$(PG_CONFIG)' --pkglibdir); extension=$$('$(PG_CONFIG)' --sharedir)/extension; \
	rm -f "$(DESTDIR)$$libdir/pgtls_ext.so" "$(DESTDIR)$$extension/pgtls_ext.control" \
		"$(DESTDIR)$$extension"/pgtls_ext--*.sql

# What the end-to-end tests take the extension from: nothing is written into the system.
.PHONY: stage
stage: deps
	@rm -rf '$(STAGE)'
	@$(MAKE) --no-print-directory install PG=$(PG) PG_CONFIG='$(PG_CONFIG)' PROFILE=dev DESTDIR='$(STAGE)'

.PHONY: test
test: deps ## every test suite (FILTER=name: only such end-to-end tests)
	@scripts/setup-debian.sh source
	@scripts/setup-debian.sh pooler
	@scripts/setup-debian.sh exporters
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' scripts/test.sh $(PG) $(FILTER)

.PHONY: test-login-grid
test-login-grid: stage ## hundreds of logins, each foretold and then made
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' PGTLS_LOGIN_GRID=full \
		scripts/cargo.sh test --workspace --no-default-features --features pgtls_ext/pg$(PG) --test e2e -- \
		--nocapture what_is_foretold

.PHONY: test-staged-grid
test-staged-grid: stage ## what is said of logins now and after a reload, in all states of the files, and a storm of reloads
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' PGTLS_STAGED_GRID=full \
		scripts/cargo.sh test --workspace --no-default-features --features pgtls_ext/pg$(PG) --test e2e -- \
		--nocapture staged_grid

.PHONY: test-rehearsal
test-rehearsal: stage ## changes that are rehearsed and then made, with everybody's logins
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' PGTLS_REHEARSAL=full \
		scripts/cargo.sh test --workspace $(FEATURES) --test e2e -- --nocapture what_is_rehearsed

.PHONY: test-allocations
test-allocations: stage ## functions, logins and the worker, with every allocation refused in turn
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' PGTLS_EVERY_ALLOCATION=1 \
		scripts/cargo.sh test --workspace $(FEATURES) --test e2e -- --nocapture allocations

.PHONY: test-cassert
test-cassert: deps ## every test suite on a server that is built with its assertions
	@scripts/setup-debian.sh source cassert
	@$(MAKE) --no-print-directory test FILTER='$(FILTER)' PG_CONFIG="$$(scripts/cassert.sh $(PG))" \
		TARGET=target/cassert STAGE='$(CURDIR)/target/cassert/stage'

.PHONY: test-stress
test-stress: stage ## 100 clients that come and go for 5 minutes while the views are read
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' PGTLS_STRESS_CLIENTS=100 PGTLS_STRESS_SECONDS=300 \
		scripts/cargo.sh test --workspace --no-default-features --features pgtls_ext/pg$(PG) --test e2e -- \
		--nocapture rows_are_consistent

.PHONY: test-load
test-load: stage ## files that change and are reloaded for 2 minutes: nobody is ended whom the server admits
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' PGTLS_LOAD_SECONDS=120 \
		scripts/cargo.sh test --workspace $(FEATURES) --test e2e -- --nocapture nobody_is_ended

.PHONY: demo
demo: ## see it at work in a throw-away server (KEEP=1: leave that up)
	@mkdir -p target
	@: >target/demo-build.log
	@PGTLS_INSTALL_LOG=target/demo-build.log scripts/setup-debian.sh build
	@PGTLS_INSTALL_LOG=target/demo-build.log scripts/setup-debian.sh pooler
	@echo "building for PostgreSQL $(PG), at first for minutes (see target/demo-build.log)"
	@$(MAKE) --no-print-directory stage PG=$(PG) PG_CONFIG='$(PG_CONFIG)' NO_TESTS=1 \
		>>target/demo-build.log 2>&1 || { tail -n 20 target/demo-build.log >&2; exit 1; }
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)' KEEP='$(KEEP)' $(TARGET)/debug/demo

.PHONY: monitoring
monitoring: deps ## write the files in monitoring/ that are made from the table of metrics
	@scripts/cargo.sh build --quiet --workspace $(FEATURES) --bin monitoring
	@$(TARGET)/debug/monitoring

.PHONY: bench
bench: deps ## what it costs, against what it replaces (FILTER=part: core, functions, logins, sessions, crl, inventory, interrupts)
	@rm -rf '$(STAGE)-release'
	@$(MAKE) --no-print-directory install PG=$(PG) PG_CONFIG='$(PG_CONFIG)' DESTDIR='$(STAGE)-release'
	@PG_CONFIG='$(PG_CONFIG)' PGTLS_STAGE='$(STAGE)-release' scripts/bench.sh $(FILTER)

.PHONY: package
package: deps build ## a tar archive and a Debian package in dist/
	@PG_CONFIG='$(PG_CONFIG)' scripts/package.sh $(VERSION) $(PG)

endif
