"""Starts MiniStack with the layers of this package, in the foreground."""

import importlib
import sys

from local_cloud import LAYERS, names

if {"-d", "--detach"}.intersection(sys.argv):
    sys.exit("MiniStack would start a detached process without these layers; run this one in the background instead")
if problem := names.problem():
    sys.exit(problem)
for layer in LAYERS:
    importlib.import_module(f"local_cloud.{layer}").install()
importlib.import_module("ministack.app").main()
