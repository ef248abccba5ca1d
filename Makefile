# The commands of the project. Everything that takes more than a line is a script in scripts/; `make help` lists what there is.
#
#   IFACE=eth0     the interface to protect (default: that of the default route)
#   CONFIG=FILE    a configuration (default: /etc/sekisho.toml if there is one)
#   JSON=FILE      where `make bench` also writes its table
#   FUZZ_SECONDS=N how long each fuzz target runs
#   PREFIX=DIR     where `make install` puts the program
#   CLANG=clang-19 another clang for the programs in bpf/

export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

CARGO ?= cargo
PREFIX ?= /usr/local
TARGET := $(or $(CARGO_TARGET_DIR),target)
SEKISHO := $(TARGET)/release/sekisho
# Root when needed: nothing if we are root already.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

.PHONY: run
run: build ## build, then protect this host (IFACE= CONFIG=)
	$(SUDO) $(SEKISHO) run $(if $(IFACE),--interface $(IFACE)) $(if $(CONFIG),--config $(CONFIG))

.PHONY: build
build: ## target/release/sekisho, installing what a build needs
	@scripts/setup-build
	$(CARGO) build --release --package sekisho

.PHONY: install
install: build ## put sekisho and its systemd unit into place (PREFIX=/usr/local DESTDIR=)
	$(SUDO) install -D -m 755 $(SEKISHO) $(DESTDIR)$(PREFIX)/sbin/sekisho
	$(SUDO) install -D -m 644 packaging/sekisho.toml $(DESTDIR)$(PREFIX)/share/doc/sekisho/sekisho.toml
	sed 's|/usr/local|$(PREFIX)|' packaging/sekisho.service | $(SUDO) install -D -m 644 /dev/stdin $(DESTDIR)/etc/systemd/system/sekisho.service

.PHONY: test
test: ## every check and every test (needs root; about a quarter of an hour)
	@scripts/test

.PHONY: check
check: ## formatting, lints, links and words in the docs
	@scripts/setup-build
	@scripts/check

.PHONY: bench
bench: ## nanoseconds per packet, beside their floor (JSON=FILE)
	@scripts/setup-build
	@. scripts/run-as-root.sh; $(CARGO) run --release --package sekisho-tests --bin bench -- $(if $(JSON),--json $(JSON))

.PHONY: fuzz
fuzz: ## libFuzzer on the parser and the cookie (FUZZ_SECONDS=60)
	@scripts/setup-build
	@scripts/fuzz $(FUZZ_SECONDS)

.PHONY: kernels
kernels: build ## boot Debian's other kernels in an emulator and try Sekisho there
	@scripts/kernels

.PHONY: clean
clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf fuzz/corpus-grown
