// The cookies that AWS's own library signs.

import { createRequire } from "node:module";

const require = createRequire(new URL("../../benches/content/package.json", import.meta.url));
const { getSignedCookies } = require("@aws-sdk/cloudfront-signer");

export const handler = (options) => getSignedCookies(options);
