// The token alone: neither is the entitlement checked, nor is anything removed from the request.

import { CognitoJwtVerifier } from "aws-jwt-verify";
import config from "settings";

const userPoolId = config.issuer.split("/").at(-1);
const verifier = CognitoJwtVerifier.create({ userPoolId, clientId: config.audience, tokenUse: "id" });
verifier.cacheJwks({ keys: config.keys });

export async function handler(event) {
  const { request } = event.Records[0].cf;
  await verifier.verify(request.headers.authorization[0].value.slice("Bearer ".length));
  return request;
}
