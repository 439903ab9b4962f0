"""Stops the local cloud, and deletes everything in it."""

from local_cloud import server
from up import DIRECTORY

print("The local cloud is stopped." if server.stop(DIRECTORY) else "The local cloud is not running.")
