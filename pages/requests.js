// Requests to APIs and to Cognito.

/** API Gateway ends a request after 29 seconds. */
const TIMEOUT_MILLISECONDS = 30_000;

/** A refused request: `code` is the reason, `problems` name fields, `requestId` identifies its line in the API's log. */
export class Refusal extends Error {
  constructor(code, { problems = [], request_id, paid_until } = {}) {
    super(code);
    this.code = code;
    this.problems = problems;
    this.requestId = request_id;
    this.paidUntil = paid_until;
  }
}

/** The answer, and its date in milliseconds since 1970. Throws `Refusal`, with `TRY_AGAIN` for every transient failure. */
export async function send(url, options) {
  let response, text;
  try {
    response = await fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS) });
    text = await response.text();
  } catch {
    throw new Refusal("TRY_AGAIN");
  }
  let answer;
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    // The answer has no JSON, for example a proxy's page: the status is enough.
    answer = {};
  }
  if (response.ok) return { answer, date: Date.parse(response.headers.get("Date")) };
  if (response.status === 401) throw new Refusal("UNAUTHORIZED", answer);
  if (response.status === 429 || response.status >= 500) throw new Refusal("TRY_AGAIN", answer);
  const code = answer.code ?? answer.__type?.split("#").pop();
  throw new Refusal(code ?? (response.status === 404 ? "NOT_FOUND" : undefined), answer);
}

/** Calls Cognito, which the pages' configuration names. */
export async function cognito({ cognito_url, user_pool_client_id }, operation, input) {
  const { answer } = await send(cognito_url, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-amz-json-1.1",
      "X-Amz-Target": `AWSCognitoIdentityProviderService.${operation}`,
    },
    body: JSON.stringify({ ClientId: user_pool_client_id, ...input }),
  });
  return answer;
}

/** The ID token of a user. Throws `Refusal` with the challenge's name if Cognito wants more than a password. */
export async function idToken(configuration, email, password) {
  const answer = await cognito(configuration, "InitiateAuth", {
    AuthFlow: "USER_PASSWORD_AUTH",
    AuthParameters: { USERNAME: userName(email), PASSWORD: password },
  });
  // The answer is a challenge, which no page supports.
  if (!answer.AuthenticationResult) throw new Refusal(answer.ChallengeName);
  return answer.AuthenticationResult.IdToken;
}

/**
 * The one spelling of an address that is stored as its user's name: ASCII, lower case, the domain in punycode. Accounts
 * are stored with the same.
 */
export function userName(email) {
  // Invisible characters come with pasted text. Joiners are kept, because some domains have them.
  const visible = email.replace(/(?![\u200c\u200d])[\p{Default_Ignorable_Code_Point}\p{Cf}]/gu, "").trim();
  const parts = /^(\S+)[@＠﹫]([-.0-9A-Za-z\u0080-\u{10ffff}]+)$/u.exec(visible);
  // The browser's own rules for domains are those of accounts: UTS 46.
  const host = parts && (URL.parse(`https://${parts[2]}`) ?? URL.parse(`https://${withoutJoiners(parts[2])}`));
  if (!host) throw new Refusal("INVALID_EMAIL");
  return `${withoutJoiners(parts[1]).normalize("NFKC")}@${host.hostname}`.toLowerCase();
}

const withoutJoiners = (text) => text.replace(/[\u200c\u200d]/g, "");
