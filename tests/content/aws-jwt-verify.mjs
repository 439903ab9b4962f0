// The same decision as that of admit-reader, by aws-jwt-verify.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../benches/content/package.json", import.meta.url));
const { CognitoJwtVerifier } = require("aws-jwt-verify");
const { SimpleJwksCache } = require("aws-jwt-verify/jwk");

const config = JSON.parse(readFileSync(process.argv[3]));
const fetcher = { fetch: async (uri) => (await fetch(uri)).arrayBuffer() };
const verifier = CognitoJwtVerifier.create(
  { userPoolId: config.issuer.split("/").at(-1), clientId: config.audience, tokenUse: "id" },
  { jwksCache: new SimpleJwksCache({ fetcher }) },
);
verifier.cacheJwks({ keys: config.keys });

export async function handler(token) {
  try {
    const { exp, paid_until } = await verifier.verify(token);
    // The library lets a token without an end pass.
    if (exp === undefined) return "refused";
    const isNumber = typeof paid_until === "number" || /^[0-9]+$/.test(typeof paid_until === "string" && paid_until);
    return isNumber && Number(paid_until) * 1000 > Date.now() ? "admitted" : "unpaid";
  } catch {
    return "refused";
  }
}
