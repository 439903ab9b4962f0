# DAX Local, which the local cloud starts for a cluster. `make test` has compiled it for its tests in Rust.
export DAX_LOCAL := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/dax-front
.PHONY: $(DAX_LOCAL)
$(DAX_LOCAL):
	@cargo build --quiet --locked --package dax-front
permissions $(if $(filter cache,$(ROOM)),up): $(DAX_LOCAL)

# The official clients that DAX Local and the Rust client are compared with.
.venv/dax/ready: crates/dax-front/tests/requirements.txt crates/dax-front/tests/package.json crates/dax-front/tests/package-lock.json constraints.txt .venv/ready
	$(PYTHON) -m venv .venv/dax
	.venv/dax/bin/python -m pip install --quiet --disable-pip-version-check -r $< -c constraints.txt
	mkdir -p .venv/dax/node && cp crates/dax-front/tests/package.json crates/dax-front/tests/package-lock.json .venv/dax/node/
	@# Without it, the test that needs it says so, and the others run.
	if command -v npm >/dev/null; then npm ci --ignore-scripts --no-audit --no-fund --silent --prefix .venv/dax/node && touch $@; fi

FOR_TESTS += .venv/dax/ready

PUBLISHED += dynamodb-dax dax-front
