// One object for each record, with Powertools' batch processing.

import { S3Client, PutObjectCommand } from "@aws-sdk/client-s3";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import { BatchProcessor, EventType, processPartialResponse } from "@aws-lambda-powertools/batch";
import { Logger } from "@aws-lambda-powertools/logger";
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";

const logger = new Logger();
const metrics = new Metrics();
const processor = new BatchProcessor(EventType.DynamoDBStreams);
const s3 = new S3Client();
const Bucket = process.env.ARCHIVE_BUCKET;

async function archive({ eventID, eventName, dynamodb }) {
  const date = new Date(dynamodb.ApproximateCreationDateTime * 1000).toISOString().slice(0, 10);
  const image = unmarshall(dynamodb.NewImage ?? dynamodb.OldImage);
  await s3.send(
    new PutObjectCommand({
      Bucket,
      Key: `appointments/dt=${date}/${eventID}.json`,
      Body: JSON.stringify({ eventID, eventName, ...image }),
    }),
  );
}

export async function handler(event, context) {
  logger.addContext(context);
  const response = await processPartialResponse(event, archive, processor, { context });
  metrics.addMetric("ArchivedRecords", MetricUnit.Count, event.Records.length);
  metrics.publishStoredMetrics();
  return response;
}
