// A server for a container.

import { createServer } from "node:http";
import { connect, read } from "./directory.mjs";

const clients = connect(JSON.parse(process.env.SETTINGS), Number(process.env.CONNECTIONS));

async function answer(path) {
  if (path === "/ready") {
    await clients.database.query("SELECT");
    return "";
  }
  return read(clients, path);
}

createServer(async ({ url }, response) => {
  try {
    const body = await answer(url);
    response.statusCode = body === undefined ? 404 : 200;
    response.setHeader("content-type", "application/json");
    response.end(body);
  } catch {
    response.statusCode = 503;
    response.end();
  }
}).listen(process.env.PORT);
