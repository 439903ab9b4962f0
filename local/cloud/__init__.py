"""The local cloud: MiniStack, and the parts of AWS that this project stands on and MiniStack 1.5.33 lacks.

- ``rest_api``: REST APIs imported from OpenAPI keep their mapping templates, models, validators, CORS and gateway
  responses, and reach DynamoDB, Step Functions, EventBridge and SQS with the role of the integration.
- ``rule_targets``: EventBridge rules need permission for their targets, and invoke functions asynchronously.
- ``stream_mapping``: Lambda's event source mapping of a DynamoDB stream.
- ``transport``: requests from this machine count as TLS.

Each of them replaces functions of MiniStack in memory and should disappear when upstream has what it adds.
Start it with ``python -m cloud``; the settings are MiniStack's environment variables.
"""
