from typing import Any

import plain
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent


@idempotent(
    persistence_store=DynamoDBPersistenceLayer(table_name="idempotency"),
    config=IdempotencyConfig(event_key_jmespath="id"),
)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return plain.deliver_all(event["Records"])
