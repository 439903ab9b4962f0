"""A local AWS: MiniStack, with layers that add what it lacks. ``README.md`` lists them.

``python -m local_cloud`` starts it in the foreground; its settings are the environment variables that MiniStack reads.
``server`` starts it from a program.
"""

__version__ = "1.0.0"

MINISTACK = "1.5.33"
"""The version of MiniStack whose functions the layers replace."""

# In the order in which they are installed.
LAYERS = (
    "cache_policies",
    "caches",
    "change_sets",
    "clock",
    "condition_keys",
    "containers",
    "databases",
    "dax_clusters",
    "distributions",
    "edge_functions",
    "emr_serverless",
    "function_alias",
    "global_names",
    "http_api",
    "image_repositories",
    "key_groups",
    "load_balancers",
    "mapping_action",
    "nested_stacks",
    "object_storage",
    "passwords",
    "pool_triggers",
    "public_parameters",
    "queue_mapping",
    "resource_arns",
    "rest_api",
    "rule_targets",
    "saved_queries",
    "scaling_targets",
    "server_page",
    "ses",
    "step_functions",
    "stream_mapping",
    "table_exports",
    "tracing",
    "transactions",
    "transport",
    "user_pool",
    # After stream_mapping, whose updates it checks.
    "refusals",
    # After ses, whose page it leaves in place.
    "permissions",
)
