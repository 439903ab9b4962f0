// A function without libraries for functions.

import { answer, connect, read } from "./directory.mjs";

const clients = connect(JSON.parse(process.env.SETTINGS), 1);

export async function handler({ rawPath }) {
  return answer(await read(clients, rawPath));
}
