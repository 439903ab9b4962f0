// Does what Lambda's own runtime does around a handler: `node bootstrap.mjs archive.mjs`. The published runtime
// interface client needs a C++ compiler and cmake to be installed.

import { Agent, request } from "node:http";

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new Agent({ keepAlive: true });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
    request({ hostname, port, agent, method, path: `/2018-06-01/runtime${path}`, headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
    })
      .on("error", reject)
      .end(body);
  });
}

const { handler } = await import(process.argv[2]);
while (true) {
  const { headers, body } = await call("GET", "/invocation/next");
  const awsRequestId = headers["lambda-runtime-aws-request-id"];
  const context = {
    awsRequestId,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () => Number(headers["lambda-runtime-deadline-ms"]) - Date.now(),
  };
  process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  try {
    const answer = await handler(JSON.parse(body), context);
    await call("POST", `/invocation/${awsRequestId}/response`, JSON.stringify(answer));
  } catch ({ name, message }) {
    await call("POST", `/invocation/${awsRequestId}/error`, JSON.stringify({ errorType: name, errorMessage: message }));
  }
}
