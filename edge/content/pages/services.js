// Cognito, the session that opens the material, and the list of the material.

/** API Gateway ends a request after 29 seconds. */
const TIMEOUT_MILLISECONDS = 30_000;

// The token is kept for this tab only, and is gone when the tab is closed: students use shared computers. In memory alone, a
// reload would sign them out. Nothing that could renew it is kept.
const TOKEN = "id_token";

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

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

export const signOut = () => sessionStorage.clear();

/** The answer, and its date in milliseconds since 1970. Throws `Refusal`, with `TRY_AGAIN` for every transient failure. */
async function send(url, options) {
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
    // The answer has no JSON, for example a page of CloudFront: the status is enough.
    answer = {};
  }
  if (response.ok) return { answer, date: Date.parse(response.headers.get("Date")) };
  if (response.status === 401) throw new Refusal("UNAUTHORIZED", answer);
  if (response.status === 404) throw new Refusal("NOT_FOUND", answer);
  if (response.status === 429 || response.status >= 500) throw new Refusal("TRY_AGAIN", answer);
  throw new Refusal(answer.code ?? answer.__type?.split("#").pop(), answer);
}

/** The one spelling of an address that is stored as its user's name: ASCII, lower case, the domain in punycode. */
function userName(email) {
  // Invisible characters come with pasted text. Joiners are kept, because some domains have them.
  const visible = email.replace(/(?![\u200c\u200d])[\p{Default_Ignorable_Code_Point}\p{Cf}]/gu, "").trim();
  const parts = /^(\S+)[@＠﹫]([-.0-9A-Za-z\u0080-\u{10ffff}]+)$/u.exec(visible);
  const host = parts && (URL.parse(`https://${parts[2]}`) ?? URL.parse(`https://${withoutJoiners(parts[2])}`));
  if (!host) {
    throw new Refusal("INVALID_EMAIL", { problems: [{ field: "email", message: "This is not an e-mail address." }] });
  }
  return `${withoutJoiners(parts[1]).normalize("NFKC")}@${host.hostname}`.toLowerCase();
}

const withoutJoiners = (text) => text.replace(/[\u200c\u200d]/g, "");

export async function signIn(email, password) {
  const USERNAME = userName(email);
  const { answer: configuration } = await send("/config.json");
  const { answer } = await send(configuration.cognito_url, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-amz-json-1.1",
      "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth",
    },
    body: JSON.stringify({
      ClientId: configuration.user_pool_client_id,
      AuthFlow: "USER_PASSWORD_AUTH",
      AuthParameters: { USERNAME, PASSWORD: password },
    }),
  });
  // The answer is a challenge, which this page does not support.
  if (!answer.AuthenticationResult) throw new Refusal(answer.ChallengeName);
  sessionStorage.setItem(TOKEN, answer.AuthenticationResult.IdToken);
}

/** Throws `Refusal` with `SIGNED_OUT` if the answer comes after the student signed out: the next person may not see it. */
async function asStudent(url, options) {
  const token = sessionStorage.getItem(TOKEN);
  try {
    return await send(url, options);
  } finally {
    if (sessionStorage.getItem(TOKEN) !== token) throw new Refusal("SIGNED_OUT");
  }
}

/** Gets cookies that open the material. Returns when they end, by this machine's clock, and until when the fee is paid. */
export async function openSession() {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` };
  const { answer, date } = await asStudent("/session", { method: "POST", headers });
  // This machine's clock can be wrong.
  return { ends: Date.now() + Date.parse(answer.expires_at) - date, paidUntil: answer.paid_until };
}

/** Clears the cookies. */
export const closeSession = () => send("/session", { method: "DELETE" });

/** The list of the material, each `{ path, title, bytes, type }`. */
export async function catalog() {
  try {
    return (await asStudent("/members/catalog.json")).answer;
  } catch (error) {
    // Nothing has been uploaded yet.
    if (error.code === "NOT_FOUND") return [];
    throw error;
  }
}
