import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand } from "@aws-sdk/lib-dynamodb";
import { Logger } from "@aws-lambda-powertools/logger";
import { Metrics } from "@aws-lambda-powertools/metrics";
import { Tracer } from "@aws-lambda-powertools/tracer";

const logger = new Logger();
const metrics = new Metrics();
const tracer = new Tracer();
const dynamodb = DynamoDBDocumentClient.from(tracer.captureAWSv3Client(new DynamoDBClient()));

async function get(account_key) {
  const { Item } = await dynamodb.send(
    new GetCommand({
      TableName: process.env.ACCOUNTS_TABLE,
      Key: { account_key },
      ProjectionExpression: "student_id, unfinished",
      ConsistentRead: true,
    }),
  );
  return Item;
}

async function check(email) {
  const emailItem = await get(`EMAIL:${email}`);
  if (!emailItem) return "NONE";
  const student = await get(`STUDENT:${emailItem.student_id}`);
  return student && !("unfinished" in student) ? "ACCOUNT" : "UNFINISHED";
}

export async function handler({ email }, context) {
  logger.addContext(context);
  metrics.captureColdStartMetric();
  const outcome = await check(email);
  logger.info("address looked up", { outcome });
  tracer.putAnnotation("outcome", outcome);
  metrics.publishStoredMetrics();
  return { outcome };
}
