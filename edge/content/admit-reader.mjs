// Runs at CloudFront's viewer request, before its cache: admits students with a paid course fee, and no one else.
// It logs no request, because each one has a token.

import { createPublicKey, verify } from "node:crypto";
import config from "./config.json" with { type: "json" };
import { RETURN_PATH } from "./pages/return-path.mjs";

const FETCH_INTERVAL_MILLISECONDS = 10_000;
/** CloudFront gives a viewer request 5 seconds. */
const FETCH_TIMEOUT_MILLISECONDS = 2_000;
const COOKIE = "id_token=";

let keys = publicKeys(config);
let fetchedAt = -Infinity;
let fetching;

/** Throws if it is no key set, or has no key. */
function publicKeys(keySet) {
  const found = keySet.keys.map((key) => [key.kid, createPublicKey({ key, format: "jwk" })]);
  if (found.length === 0) throw new Error("the key set is empty");
  return new Map(found);
}

/** Cognito can rotate the keys. Made-up key ids cause at most one fetch in 10 seconds. */
async function keyWith(kid) {
  if (!keys.has(kid) && Date.now() - fetchedAt >= FETCH_INTERVAL_MILLISECONDS) {
    fetchedAt = Date.now();
    fetching = fetchKeys();
  }
  if (!keys.has(kid)) await fetching;
  return keys.get(kid);
}

/** A failure leaves the present keys in use. */
async function fetchKeys() {
  try {
    const signal = AbortSignal.timeout(FETCH_TIMEOUT_MILLISECONDS);
    const answer = await fetch(config.jwksUri, { signal, redirect: "error" });
    keys = publicKeys(await answer.json());
  } catch (error) {
    console.error(`could not fetch the user pool's keys: ${error}`);
  }
}

const decoded = (part) => JSON.parse(Buffer.from(part, "base64url"));

/** The claims of a valid ID token; undefined if it is not valid. Throws if it is no token at all. */
async function verified(token, now) {
  const [header, payload, signature, ...more] = token.split(".");
  const { alg, kid } = decoded(header);
  if (alg !== "RS256" || typeof kid !== "string" || more.length > 0) return;
  const bytes = Buffer.from(signature, "base64url");
  // Node skips what is not base64url. A token has one spelling only.
  if (bytes.toString("base64url") !== signature) return;
  const key = await keyWith(kid);
  if (!key || !verify("RSA-SHA256", Buffer.from(`${header}.${payload}`), key, bytes)) return;
  const claims = decoded(payload);
  const { iss, aud, token_use, exp, nbf = now } = claims;
  const isOurs = iss === config.issuer && aud === config.audience && token_use === "id";
  // Number.isFinite refuses text, which JavaScript would compare as a number.
  const isCurrent = Number.isFinite(exp) && exp > now && Number.isFinite(nbf) && nbf <= now;
  return isOurs && isCurrent ? claims : undefined;
}

/** Version 1 of Cognito's trigger writes each claim as text. */
function hasPaid({ paid_until }, now) {
  const seconds = typeof paid_until === "string" && /^\d+$/.test(paid_until) ? Number(paid_until) : paid_until;
  return Number.isFinite(seconds) && seconds > now;
}

function tokenOf({ authorization, cookie }) {
  if (authorization) return /^Bearer (\S+)$/i.exec(authorization[0].value)?.[1];
  const pairs = cookie?.flatMap(({ value }) => value.split(/; */));
  return pairs?.find((pair) => pair.startsWith(COOKIE))?.slice(COOKIE.length);
}

/** Redirects a reader who opens a page to the library, which helps; other requests get the status. */
function refusal({ method, uri, headers }, status, body) {
  const answer = { "cache-control": [{ key: "Cache-Control", value: "no-store" }] };
  if (method === "GET" && headers["sec-fetch-mode"]?.[0].value === "navigate") {
    const query = RETURN_PATH.test(uri) ? `?return=${encodeURIComponent(uri)}` : "";
    answer.location = [{ key: "Location", value: config.page + query }];
    return { status: "302", headers: answer };
  }
  answer["content-type"] = [{ key: "Content-Type", value: "text/plain; charset=utf-8" }];
  if (status === "401") answer["www-authenticate"] = [{ key: "WWW-Authenticate", value: "Bearer" }];
  return { status, headers: answer, body };
}

export async function handler(event) {
  const { request } = event.Records[0].cf;
  const now = Date.now() / 1000;
  let claims;
  try {
    claims = await verified(tokenOf(request.headers), now);
  } catch {
    // It is no token. The error can quote it.
  }
  if (!claims) return refusal(request, "401", "Sign in first.\n");
  if (!hasPaid(claims, now)) return refusal(request, "403", "The course fee is not paid.\n");
  delete request.headers.authorization;
  delete request.headers.cookie;
  return request;
}
