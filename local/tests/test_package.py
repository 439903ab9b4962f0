"""What README.md and the start say of the layers and of MiniStack."""

import os
import subprocess
import sys
from pathlib import Path

import local_cloud
import pytest
from local_cloud import names

PACKAGE = Path(__file__).parent.parent
INSTALL = f"pip install 'ministack[full]=={local_cloud.MINISTACK}'"
README = (PACKAGE / "README.md").read_text()


def test_the_readme_lists_each_layer_and_each_name_of_ministack() -> None:
    assert all(f"| `{layer}.py` | " in README for layer in local_cloud.LAYERS)
    assert names.table() in README, "the table is what `python -m local_cloud.names` prints"


def test_the_version_of_ministack_is_the_one_that_is_installed() -> None:
    assert f"ministack[full]=={local_cloud.MINISTACK}" in (PACKAGE / "requirements.txt").read_text().splitlines()
    assert names.problem() is None


def test_a_missing_name_is_told_in_a_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("ministack.services.sqs._queue_url_for_account")
    assert names.problem() == (
        f"MiniStack {local_cloud.MINISTACK} has no ministack.services.sqs._queue_url_for_account, "
        f"which rule_targets.py needs: {INSTALL}"
    )


def test_another_ministack_is_refused_at_start(tmp_path: Path) -> None:
    metadata = tmp_path / "ministack-1.6.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ministack\nVersion: 1.6.0\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{PACKAGE}"}
    result = subprocess.run(
        [sys.executable, "-m", "local_cloud"], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"The layers are made for MiniStack {local_cloud.MINISTACK}, and 1.6.0 is installed: {INSTALL}\n"
    )
