// As its documentation shows it. It finds the token in a cookie.

import { Authenticator } from "cognito-at-edge";
import config from "settings";

const userPoolId = config.issuer.split("/").at(-1);
const authenticator = new Authenticator({
  region: userPoolId.split("_")[0],
  userPoolId,
  userPoolAppId: config.audience,
  userPoolDomain: "school.auth.eu-central-1.amazoncognito.com",
});
// The keys are not fetched in any program.
authenticator._jwtVerifier.cacheJwks({ keys: config.keys });

export const handler = (event) => authenticator.handle(event);
