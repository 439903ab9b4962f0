// Calls the handler of a module for each line of standard input, and prints a line for each answer.
// The line says what is fetched from the user pool (null: nothing, an error), what time it is, and if the module is new.

import { createInterface } from "node:readline";

const [, , path] = process.argv;
const clock = Date.now;
let served;
let fetches = 0;
globalThis.fetch = async () => {
  fetches += 1;
  if (served === null) throw new Error("unreachable");
  return new Response(JSON.stringify(served));
};

let number = 0;
let handler;
for await (const line of createInterface({ input: process.stdin })) {
  const { argument, now, isNew, ...others } = JSON.parse(line);
  served = others.served;
  Date.now = now === null ? clock : () => now * 1000;
  if (isNew || !handler) {
    fetches = 0;
    handler = (await import(`${path}?${++number}`)).handler;
  }
  const answer = await handler(argument);
  process.stdout.write(`${JSON.stringify({ answer, fetches })}\n`);
}
