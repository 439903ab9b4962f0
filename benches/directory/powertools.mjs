// A function with Powertools and X-Ray, and with its settings from the Parameters and Secrets extension.

import { Logger } from "@aws-lambda-powertools/logger";
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { Tracer } from "@aws-lambda-powertools/tracer";
import { answer, connect, load } from "./directory.mjs";

const logger = new Logger();
const metrics = new Metrics();
const tracer = new Tracer();
let clients;

async function settings() {
  const address = `http://localhost:${process.env.PARAMETERS_SECRETS_EXTENSION_HTTP_PORT}/systemsmanager/parameters/get`;
  const headers = { "X-Aws-Parameters-Secrets-Token": process.env.AWS_SESSION_TOKEN ?? "" };
  const response = await fetch(`${address}?name=${process.env.SETTINGS_PARAMETER}`, { headers });
  const { Parameter } = await response.json();
  return JSON.parse(Parameter.Value);
}

// Makes the work a subsegment of the trace.
function traced(name, work) {
  return tracer.provider.captureAsyncFunc(name, async (subsegment) => {
    try {
      return await work();
    } catch (error) {
      tracer.addErrorAsMetadata(error);
      throw error;
    } finally {
      subsegment?.close();
    }
  });
}

async function read({ database, cache }, path) {
  const kept = await traced("cache", () => cache.get(path));
  metrics.addMetric(kept ? "CacheHits" : "CacheMisses", MetricUnit.Count, 1);
  if (kept) return kept;
  const body = await traced("database", () => load(database, path));
  if (body) await traced("cache", () => cache.set(path, body, "EX", 60));
  return body;
}

export async function handler({ rawPath, requestContext }, context) {
  const segment = tracer.getSegment();
  const subsegment = segment?.addNewSubsegment(`## ${context.functionName}`);
  if (subsegment) tracer.setSegment(subsegment);
  tracer.annotateColdStart();
  tracer.addServiceNameAnnotation();
  logger.addContext(context);
  logger.appendKeys({ requestId: requestContext.requestId });
  metrics.captureColdStartMetric();
  try {
    clients ??= connect(await settings(), 1);
    const body = await read(clients, rawPath);
    logger.info("directory read", { path: rawPath, found: body !== undefined });
    return answer(body);
  } catch (error) {
    tracer.addErrorAsMetadata(error);
    logger.error("directory not read", error);
    return { statusCode: 500, headers: { "content-type": "application/json" }, body: '{"code":"INTERNAL_ERROR"}' };
  } finally {
    metrics.publishStoredMetrics();
    subsegment?.close();
    if (segment) tracer.setSegment(segment);
  }
}
