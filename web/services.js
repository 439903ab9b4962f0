// The school's APIs, Cognito, and the student's session.

/** API Gateway ends a request after 29 seconds. */
const TIMEOUT_MILLISECONDS = 30_000;

// The token is kept for this tab only, and is gone when the tab is closed: students use shared computers, where local
// storage would leave them signed in. In memory alone, a reload would sign them out. The token is valid for an hour;
// nothing that could renew it is kept.
const TOKEN = "id_token";

/** A refused request: `code` is the reason, `problems` name fields, `requestId` identifies its line in the API's log. */
export class Refusal extends Error {
  constructor(code, { problems = [], request_id } = {}) {
    super(code);
    this.code = code;
    this.problems = problems;
    this.requestId = request_id;
  }
}

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

export const signOut = () => sessionStorage.removeItem(TOKEN);

/** Throws `Refusal`, with `TRY_AGAIN` for every transient failure. */
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
    // The answer has no JSON, for example a proxy's page: the status is enough.
    answer = {};
  }
  if (response.ok) return answer;
  if (response.status === 401) throw new Refusal("UNAUTHORIZED", answer);
  if (response.status === 429 || response.status >= 500) throw new Refusal("TRY_AGAIN", answer);
  throw new Refusal(answer.code ?? answer.__type?.split("#").pop(), answer);
}

let configuration;

async function configured() {
  configuration ??= await send("config.json");
  return configuration;
}

/** The rooms beside the root that are deployed and have a folder of their own here. */
export const rooms = async () => (await configured()).rooms;

/** `api` is the name of the API's address in the configuration. */
export async function request(api, method, path, body, headers = {}) {
  const { [api]: url } = await configured();
  return send(`${url}${path}`, {
    method,
    headers: body ? { ...headers, "Content-Type": "application/json" } : headers,
    body: JSON.stringify(body),
  });
}

async function asStudent(method, path, body) {
  const token = sessionStorage.getItem(TOKEN);
  const answer = await request("appointments_url", method, path, body, { Authorization: token });
  // The answer came after the student signed out, and may not be shown to the next person.
  if (sessionStorage.getItem(TOKEN) !== token) throw new Refusal("UNAUTHORIZED");
  return answer;
}

async function cognito(operation, input) {
  const { cognito_url, user_pool_client_id } = await configured();
  return send(cognito_url, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-amz-json-1.1",
      "X-Amz-Target": `AWSCognitoIdentityProviderService.${operation}`,
    },
    body: JSON.stringify({ ClientId: user_pool_client_id, ...input }),
  });
}

export const createAccount = (account) => request("accounts_url", "POST", "/accounts", account);

/**
 * The one spelling of an address that is stored as its user's name: ASCII, lower case, the domain in punycode. That of
 * crates/accounts is the same: both are tested with crates/accounts/addresses.json.
 */
function userName(email) {
  // Invisible characters come with pasted text. Joiners are kept, because some domains have them.
  const visible = email.replace(/(?![\u200c\u200d])[\p{Default_Ignorable_Code_Point}\p{Cf}]/gu, "").trim();
  const parts = /^(\S+)[@＠﹫]([-.0-9A-Za-z\u0080-\u{10ffff}]+)$/u.exec(visible);
  // The browser's own rules for domains are those of crates/accounts: UTS 46.
  const host = parts && (URL.parse(`https://${parts[2]}`) ?? URL.parse(`https://${withoutJoiners(parts[2])}`));
  if (!host) {
    throw new Refusal("INVALID_EMAIL", { problems: [{ field: "email", message: "This is not an e-mail address." }] });
  }
  return `${withoutJoiners(parts[1]).normalize("NFKC")}@${host.hostname}`.toLowerCase();
}

const withoutJoiners = (text) => text.replace(/[\u200c\u200d]/g, "");

export const sendCode = async (email) => cognito("ForgotPassword", { Username: userName(email) });

export async function setPassword(email, code, password) {
  const input = { Username: userName(email), ConfirmationCode: code, Password: password };
  try {
    await cognito("ConfirmForgotPassword", input);
  } catch (error) {
    // Cognito refuses such a password, e.g. with a space at its end, before it applies the pool's policy.
    if (error.code === "InvalidParameterException") throw new Refusal("InvalidPasswordException");
    throw error;
  }
}

export async function signIn(email, password) {
  const answer = await cognito("InitiateAuth", {
    AuthFlow: "USER_PASSWORD_AUTH",
    AuthParameters: { USERNAME: userName(email), PASSWORD: password },
  });
  // The answer is a challenge, which this page does not support.
  if (!answer.AuthenticationResult) throw new Refusal(answer.ChallengeName);
  sessionStorage.setItem(TOKEN, answer.AuthenticationResult.IdToken);
}

export const book = (appointment) => asStudent("POST", "/appointments", appointment);

/** A page of `appointments`, earliest first, with the `next` page's `after` unless it is the last. */
export const list = (after) =>
  asStudent("GET", after ? `/appointments?after=${encodeURIComponent(after)}` : "/appointments");

export const cancel = ({ advisor_id, starts_at }) =>
  asStudent("DELETE", `/appointments/${encodeURIComponent(advisor_id)}/${encodeURIComponent(starts_at)}`);
