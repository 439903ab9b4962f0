"""Says where the pages are."""

import sys

from stack import of_environment

print(f"Pages      {of_environment(sys.argv[1]).outputs['WebUrl']}")
