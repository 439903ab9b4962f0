// Loads a function and calls it, as Lambda would, and prints how long that took, in milliseconds.

import { readFileSync } from "node:fs";

const [, , path, argument, events] = process.argv;
const event = readFileSync(argument, "utf8");

async function timed(call) {
  const begin = performance.now();
  const answer = await call();
  return [performance.now() - begin, answer];
}

const [init, { handler }] = await timed(() => import(path));
const times = [];
let answer;
for (let count = 0; count < events; count += 1) {
  const fresh = JSON.parse(event);
  const [time, answered] = await timed(() => handler(fresh));
  times.push(time);
  answer = answered;
}
const [first, ...others] = times;
const peakMemory = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ init, first, warm: others.sort((a, b) => a - b)[others.length >> 1], peakMemory, answer }));
