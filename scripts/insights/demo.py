"""Gives the local archive some past months with facts that a report shows, as `make insights ENV=local` does."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stack import NAME, Stack, wait_until

EXAMPLE = Path(__file__).with_name("example_archive.py")
SIZE = ["--rows", "2000", "--days", "60"]


def main() -> None:
    root = Stack(f"{NAME}-{sys.argv[1]}")
    s3, bucket = root.client("s3"), root.outputs["ArchiveBucketName"]
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([os.environ["EMR_SERVERLESS_PYTHON"], EXAMPLE, directory, *SIZE], check=True)
        files = {str(path.relative_to(directory)): path for path in Path(directory).glob("appointments/**/*.parquet")}
        for key, path in files.items():
            s3.upload_file(str(path), bucket, key)

    def is_entered() -> bool:
        return files.keys() <= {item["object_key"]["S"] for item in root.items("LedgerTableName")}

    wait_until(is_entered, "the ledger has an entry for each object")
    print(f"The archive has {len(files)} more objects, each with an entry in the ledger.")
    print(f"Next: make insights ENV={sys.argv[1]}")


if __name__ == "__main__":
    main()
