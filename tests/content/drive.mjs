// Calls the handler of a module for each line of standard input, and prints a line for each answer.
// The line says what is fetched from the user pool (null: an error; "nothing": never an answer), what time it is, and if the module is new.

import { createInterface } from "node:readline";

const [, , path] = process.argv;
const clock = Date.now;
let served;
let fetches = 0;
const timeout = AbortSignal.timeout;
AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 100);
globalThis.fetch = async (_, { signal } = {}) => {
  fetches += 1;
  if (served === null) throw new Error("unreachable");
  if (served === "nothing" && !signal) process.exit(1);
  if (served === "nothing") await new Promise((_, reject) => signal.addEventListener("abort", reject));
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
