"""Runs a PySpark script on Sail, in one process: `python spark_driver.py DIRECTORY SCRIPT ARGUMENT…`.

`emr_serverless.py` starts it with a Python that has Sail. The script finds the server by `SPARK_REMOTE`.
"""

import os
import runpy
import sys
import traceback

from pysail.spark import SparkConnectServer


def main() -> None:
    directory, script, *arguments = sys.argv[1:]
    os.chdir(directory)
    os.dup2(os.open("stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stdout.fileno())
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    os.environ["SPARK_REMOTE"] = f"sc://127.0.0.1:{port}"
    sys.argv = [script, *arguments]
    status: object = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # The server's threads would keep the process.
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    main()
