"""The crate's examples: functions that the tests run."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def example(name: str) -> Path:
    """The example's binary, which `cargo test --workspace` or `cargo build -p powertools --examples` builds."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = target / "debug" / "examples" / name
    assert binary.exists(), f"{binary} is not built: run `cargo build -p powertools --all-features --examples`"
    return binary
