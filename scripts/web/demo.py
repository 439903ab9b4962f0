"""Prints the address of the pages."""

import sys

from stack import of_environment

print(f"Pages      {of_environment(sys.argv[1]).outputs['WebUrl']}")
