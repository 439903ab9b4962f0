"""Starts MiniStack with the layers of this package, in the foreground."""

import sys

from ministack import app

from local_cloud import (
    condition_keys,
    function_alias,
    global_names,
    mapping_action,
    nested_stacks,
    object_storage,
    passwords,
    permissions,
    queue_mapping,
    refusals,
    rest_api,
    rule_targets,
    saved_queries,
    ses,
    step_functions,
    stream_mapping,
    tracing,
    transport,
    user_pool,
)

if {"-d", "--detach"}.intersection(sys.argv):
    sys.exit("MiniStack would start a detached process without these layers; run this one in the background instead")
condition_keys.install()
function_alias.install()
global_names.install()
mapping_action.install()
nested_stacks.install()
object_storage.install()
passwords.install()
queue_mapping.install()
rest_api.install()
rule_targets.install()
saved_queries.install()
ses.install()
step_functions.install()
stream_mapping.install()
tracing.install()
transport.install()
user_pool.install()
# After stream_mapping, whose updates it checks.
refusals.install()
# After ses, whose page it leaves in place.
permissions.install()
app.main()
