# What a person types. `make` lists the targets.
#
# Tools are built from their packages into $(TOOLS), once; builds go to target/ unless CARGO_TARGET_DIR says
# otherwise.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millrace
TOOLS := $(CACHE)/tools

NATS_VERSION := 2.15.2
DENY_VERSION := 0.20.2
# boto3 and botocore, whose service model docs/kinesis-compatibility.md is about.
BOTO3_VERSION := 1.44.5
# Emulators of Kinesis.
FERROKINESIS_VERSION := 0.7.0
KINESALITE_VERSION := 3.3.3
KINESIS_LOCAL_VERSION := 0.6.2
# An emulator too; of its source the tests are used, and e2e/moto/requirements.txt has what they need.
MOTO_VERSION := 5.2.5
MOTO_SHA256 := 391857257d5dac144334013c2c10e599def5f0562f553e979160140bd7bd9cf6
KINESIS_AGG_VERSION := 1.2.3
PROTOBUF_VERSION := 7.36.2
MAVEN_DEPENDENCY_VERSION := 3.6.1

NATS_SERVER := $(TOOLS)/nats-server
PYTHON := $(TOOLS)/python/bin/python
# The versions stand in the name: other ones are installed anew.
PYTHON_READY := $(TOOLS)/python/botocore-$(BOTO3_VERSION)-agg-$(KINESIS_AGG_VERSION)
MOTO := $(TOOLS)/moto
DENY := $(TOOLS)/cargo/bin/cargo-deny
EMULATORS := $(TOOLS)/emulators/$(FERROKINESIS_VERSION)-$(KINESALITE_VERSION)-$(KINESIS_LOCAL_VERSION)-$(MOTO_VERSION)

# The cluster of `make up`, and the port on 127.0.0.1 where clients reach its Broker.
NAME ?= millrace
NODES ?= 3
PORT ?= 4566
PROFILE ?= release
CLUSTER := e2e/cluster/cluster
TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/millrace
# Holds the image's name, whose tag is a digest of what is in it.
IMAGE := $(TARGET)/image

# Tests and `millrace dev` find what was built here by these.
export MILLRACE_NATS_SERVER ?= $(NATS_SERVER)
export MILLRACE_PYTHON ?= $(PYTHON)
export MILLRACE_MOTO ?= $(MOTO)
export MILLRACE_BINARY ?= $(abspath $(BINARY))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: quickstart
quickstart: nats-server python ## Watch shards split and merge under an unmodified boto3
	cargo build --release --locked -p millrace
	$(PYTHON) examples/quickstart/quickstart.py "$${CARGO_TARGET_DIR:-target}/release/millrace"

.PHONY: up
up: image python ## Make a kind cluster with Millrace on it
	$(CLUSTER) --name $(NAME) --nodes $(NODES) --port $(PORT) up > /dev/null
	image=$$(cat $(IMAGE)); \
	$(CLUSTER) --name $(NAME) load "$$image" millrace:dev; \
	$(CLUSTER) --name $(NAME) run helm upgrade --install millrace charts/millrace \
	  --namespace millrace-system --create-namespace --wait --timeout 3m \
	  --set image.repository="$${image%:*}" --set-string image.tag="$${image#*:}" > /dev/null
	@printf '%s\n' '' 'Millrace runs. Next:' '  eval "$$($(CLUSTER) --name $(NAME) env)"' \
	  '  kubectl apply -f examples/orders.yaml'

.PHONY: down
down: ## Delete that cluster
	$(CLUSTER) --name $(NAME) down

.PHONY: image
image: nats-server ## Build the container image millrace:dev
	cargo build --profile $(PROFILE) --locked -p millrace
	$(CLUSTER) docker
	mkdir -p $(dir $(IMAGE))
	images/build $(BINARY) $(NATS_SERVER) > $(IMAGE).new
	mv $(IMAGE).new $(IMAGE)

.PHONY: e2e
e2e: image python clients ## Run the tests on a kind cluster of their own
	cargo test --locked -p millrace-e2e

.PHONY: kind-tools
kind-tools: ## Find or build kind, helm, kubectl and the nodes' image
	$(CLUSTER) image

.PHONY: test
test: nats-server python moto image clients ## Run every test: a thousand seeds, real servers, real clients, a kind cluster
	cargo test --workspace --locked

.PHONY: test-fast
test-fast: nats-server python moto ## Run the tests but for the long ones, those of other languages and those on kind
	MILLRACE_TEST=fast MILLRACE_SEEDS=50 cargo test --workspace --locked \
	  --exclude millrace-e2e --exclude millrace-e2e-clients

.PHONY: test-clients
test-clients: nats-server python clients ## Run unmodified clients in their own languages against `millrace dev`
	cargo build --profile $(PROFILE) --locked -p millrace
	cargo test --locked -p millrace-e2e-clients

.PHONY: bench
bench: nats-server python emulators ## Measure, as ratios to peers in the same run
	cargo run --release --locked -p millrace-bench

# The targets in broker/server/fuzz, one after the other, by libFuzzer with the coverage that rustc itself can count:
# no other compiler is needed. What is found lies in broker/server/fuzz/artifacts.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= bodies signatures tokens frames
FUZZ := broker/server/fuzz
FUZZ_BUILD := $(TARGET)/fuzz
FUZZ_FLAGS := -C passes=sancov-module -C codegen-units=16 $(addprefix -C llvm-args=,\
  -sanitizer-coverage-level=4 -sanitizer-coverage-inline-8bit-counters -sanitizer-coverage-pc-table \
  -sanitizer-coverage-trace-compares)

.PHONY: fuzz
fuzz: ## Fuzz what strangers can send, FUZZ_SECONDS for each of FUZZ_TARGETS
	RUSTFLAGS='$(FUZZ_FLAGS)' cargo build --release --locked --manifest-path $(FUZZ)/Cargo.toml \
	  --target-dir $(FUZZ_BUILD) --target $$(rustc --print host-tuple)
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p $(FUZZ)/corpus/$$target $(FUZZ)/artifacts/$$target; \
	  $(FUZZ_BUILD)/$$(rustc --print host-tuple)/release/$$target $(FUZZ)/corpus/$$target $(FUZZ)/seeds/$$target \
	    -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=20 -dict=$(FUZZ)/kinesis.dict \
	    -artifact_prefix=$(FUZZ)/artifacts/$$target/ -print_final_stats=1; \
	done

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path e2e/clients/rust/Cargo.toml

.PHONY: lint
lint: lint-hosts lint-deny ## Check form, lints, dependencies and generated files
	cargo fmt --all --check
	cargo fmt --manifest-path e2e/clients/rust/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --locked --manifest-path $(FUZZ)/Cargo.toml --target-dir $(TARGET) -- -D warnings
	cargo test --locked -p millrace-crds --test definitions

.PHONY: crds
crds: ## Write crds/generated/ and the chart's copy anew
	MILLRACE_WRITE=1 cargo test --locked -p millrace-crds --test definitions

.PHONY: tools
tools: nats-server python moto cargo-deny clients ## Build the tools that the other targets use

.PHONY: nats-server
nats-server: $(TOOLS)/nats-server-$(NATS_VERSION)

# The version stands in the name, so that a newer one here is built and an older one stays where it is used.
$(TOOLS)/nats-server-$(NATS_VERSION):
	@command -v go > /dev/null || { echo 'go is missing: install Go 1.24 or newer (Debian: golang)' >&2; exit 1; }
	mkdir -p $(TOOLS)/src/nats-server-$(NATS_VERSION)
	cd $(TOOLS)/src/nats-server-$(NATS_VERSION) \
	  && { test -f go.mod || go mod init millrace-tools; } \
	  && go get -tool github.com/nats-io/nats-server/v2@v$(NATS_VERSION) \
	  && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@.new github.com/nats-io/nats-server/v2
	$@.new --version
	mv $@.new $@
	ln -sf $(notdir $@) $(NATS_SERVER)

.PHONY: python
python: $(PYTHON_READY)

$(PYTHON_READY):
	@python3 -c 'import ensurepip, venv' 2> /dev/null \
	  || { echo 'python3 with venv is missing: install it (Debian: python3-venv)' >&2; exit 1; }
	python3 -m venv $(TOOLS)/python
	$(TOOLS)/python/bin/pip install --quiet --disable-pip-version-check boto3==$(BOTO3_VERSION) \
	  botocore==$(BOTO3_VERSION) aws_kinesis_agg==$(KINESIS_AGG_VERSION) protobuf==$(PROTOBUF_VERSION)
	touch $@

# Emulators of Kinesis, which `make bench` measures beside Millrace.
.PHONY: emulators
emulators: $(EMULATORS)

$(EMULATORS):
	@command -v npm > /dev/null || { echo 'npm is missing: install Node.js 20 or newer (Debian: npm)' >&2; exit 1; }
	cargo install --quiet --locked --force --version $(FERROKINESIS_VERSION) --root $(@D)/cargo \
	  --target-dir $(CACHE)/tools-build ferrokinesis
	rm -rf $(CACHE)/tools-build
	npm install --silent --no-fund --no-audit --prefix $(@D)/npm \
	  kinesalite@$(KINESALITE_VERSION) kinesis-local@$(KINESIS_LOCAL_VERSION)
	python3 -m venv $(@D)/python
	$(@D)/python/bin/pip install --quiet --disable-pip-version-check 'moto[server]==$(MOTO_VERSION)'
	touch $@

# Every file is held to a hash. moto itself is not installed: its source lies beside what it needs.
.PHONY: moto
moto: $(TOOLS)/moto-$(MOTO_VERSION)

$(TOOLS)/moto-$(MOTO_VERSION): | $(PYTHON_READY)
	rm -rf $@.new
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
	  --target $@.new/lib --requirement e2e/moto/requirements.txt
	PYTHONPATH=$@.new/lib $(PYTHON) -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --no-binary moto --no-build-isolation --dest $@.new \
	  --requirement /dev/stdin <<< 'moto==$(MOTO_VERSION) --hash=sha256:$(MOTO_SHA256)'
	mkdir $@.new/source
	tar -xzf $@.new/moto-$(MOTO_VERSION).tar.gz -C $@.new/source --strip-components 1 --exclude '*/resources' \
	  moto-$(MOTO_VERSION)/moto moto-$(MOTO_VERSION)/tests/{__init__,conftest}.py moto-$(MOTO_VERSION)/tests/test_kinesis
	rm $@.new/moto-$(MOTO_VERSION).tar.gz
	mv $@.new $@
	ln -sfn $(notdir $@) $(MOTO)

# What the programs in e2e/clients stand on. Their own files name the versions, so a digest of those names the place.
digest = $(shell cat $(1) | sha256sum | cut -c-12)
JAVA_POMS := e2e/clients/java/pom.xml e2e/clients/dynamodb-local/pom.xml
NPM_FILES := $(addprefix e2e/clients/javascript/,package.json package-lock.json)
JARS := $(TOOLS)/jars-$(call digest,$(JAVA_POMS))
NODE_MODULES := $(TOOLS)/javascript-$(call digest,$(NPM_FILES))

.PHONY: clients
clients: clients-go clients-java clients-javascript clients-rust

.PHONY: clients-go
clients-go:
	cd e2e/clients/go && go build -o /dev/null .

.PHONY: clients-java
clients-java: $(JARS)
	ln -sfn $(notdir $<) $(TOOLS)/jars

$(JARS):
	@command -v mvn > /dev/null && command -v javac > /dev/null \
	  || { echo 'a JDK or Maven is missing: install JDK 17 or newer and maven' >&2; exit 1; }
	rm -rf $@.new
	for pom in $(JAVA_POMS); do \
	  mvn --quiet --batch-mode --file $$pom -DincludeScope=runtime \
	    -DoutputDirectory=$@.new/$$(basename $$(dirname $$pom)) \
	    org.apache.maven.plugins:maven-dependency-plugin:$(MAVEN_DEPENDENCY_VERSION):copy-dependencies; \
	done
	mv $@.new $@

.PHONY: clients-javascript
clients-javascript: $(NODE_MODULES)
	ln -sfn $(notdir $<) $(TOOLS)/javascript

$(NODE_MODULES):
	@command -v npm > /dev/null || { echo 'npm is missing: install Node.js 20 or newer and npm' >&2; exit 1; }
	rm -rf $@.new
	mkdir -p $@.new
	cp $(NPM_FILES) $@.new
	cd $@.new && npm ci --silent --ignore-scripts
	mv $@.new $@

.PHONY: clients-rust
clients-rust:
	CARGO_TARGET_DIR=$(TOOLS)/rust-client cargo build --quiet --locked --manifest-path e2e/clients/rust/Cargo.toml

.PHONY: cargo-deny
cargo-deny: $(TOOLS)/cargo/cargo-deny-$(DENY_VERSION)

$(TOOLS)/cargo/cargo-deny-$(DENY_VERSION):
	CARGO_TARGET_DIR=$(CACHE)/tools-build nice cargo install --quiet --locked --force \
	  --version $(DENY_VERSION) --root $(TOOLS)/cargo cargo-deny
	rm -rf $(CACHE)/tools-build
	touch $@

# The advisories come from a git host. Where that can't be reached the rest is looked at, and it is said.
.PHONY: lint-deny
lint-deny: cargo-deny
	$(DENY) --log-level error check bans licenses sources
	@if timeout 120 $(DENY) --log-level error fetch db > /dev/null 2>&1; then \
	  $(DENY) --log-level error check --disable-fetch advisories; \
	else \
	  echo 'advisories: NOT LOOKED AT, their database could not be fetched'; \
	fi

# Code and documents name packages, never the hosts that serve them: those differ from place to place.
HOSTS := (crates)[.]io|(pypi)[.]org|(pythonhosted)[.]org|(npmjs)[.](org|com)|proxy[.](golang)[.]org|(maven)[.]org|deb[.](debian)[.]org
.PHONY: lint-hosts
lint-hosts:
	@if git grep --untracked -nIE '$(HOSTS)' -- ':!*Cargo.lock' ':!LICENSE'; then \
	  echo 'these lines name a registry host: name the package alone' >&2; exit 1; \
	fi
