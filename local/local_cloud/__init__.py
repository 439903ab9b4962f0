"""The local cloud: MiniStack, and the parts of AWS that this project stands on and MiniStack 1.5.33 lacks.

- ``condition_keys``: a policy can limit the namespaces of metrics.
- ``global_names``: a stack is refused the names of CloudFront's resources and of dashboards that the account has in
  another region.
- ``mapping_action``: reading one event source mapping takes its own permission.
- ``nested_stacks``: a nested stack is made, updated and deleted as any other stack: with transforms, exports, rollback.
- ``object_storage``: S3's events name the version of their object, and a missing object is 404 only for
  who may list the bucket.
- ``passwords``: what Cognito takes for no password, whatever the pool's policy says.
- ``permissions``: a page tells which permissions were used.
- ``queue_mapping``: a mapping of an SQS queue reads it only as far as the function's role may.
- ``refusals``: what AWS refuses to create for want of a permission, or to delete because it is protected.
- ``rest_api``: REST APIs imported from OpenAPI keep their mapping templates, models, validators, CORS and gateway
  responses, and reach DynamoDB, Step Functions, EventBridge and SQS with the role of the integration.
- ``rule_targets``: EventBridge rules need permission for their targets, and invoke functions asynchronously; rules and
  schedules start state machines with the role of the target; what a rule may not deliver goes to its dead-letter queue.
- ``saved_queries``: a stack's saved queries of CloudWatch Logs Insights.
- ``ses``: an identity is made once, and confirmed by its owner; sending wants permission for the identities and the
  configuration set, and is published as an event; a page shows what was sent.
- ``step_functions``: state machines in YAML, whose tasks are requests of the state machine's role; time-outs, and
  distributed maps in JSONata.
- ``stream_mapping``: Lambda's event source mapping of a DynamoDB stream.
- ``tracing``: the spans that X-Ray makes of API Gateway and Step Functions, and the trace header between services.
- ``transport``: requests from this machine count as TLS.
- ``user_pool``: a user pool has one user for an address, however many calls come at once and however it is spelled; its
  e-mails are limited to fifty a day, or go through SES.

Each of them replaces functions of MiniStack in memory and should disappear when upstream has what it adds.
Start it with ``python -m cloud``; the settings are MiniStack's environment variables.
"""
