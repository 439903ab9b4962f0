// The school's API and Cognito, and who is signed in.

/** API Gateway gives up after 29 seconds. */
const TIMEOUT_MILLISECONDS = 30_000;

// For this tab only, and gone when it is closed: students use shared computers, where local storage would leave them
// signed in. In memory alone, a reload would sign them out. The token is good for an hour; nothing that could renew it is
// kept.
const TOKEN = "id_token";

/** A request that was not fulfilled; `code` says why, `problems` in which fields. */
export class Refusal extends Error {
  constructor(code, problems = []) {
    super(code);
    this.code = code;
    this.problems = problems;
  }
}

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

export const signOut = () => sessionStorage.removeItem(TOKEN);

/** Throws `Refusal`: `TRY_AGAIN` for everything that can pass. */
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
    // A proxy's page, say: the status tells enough.
    answer = {};
  }
  if (response.ok) return answer;
  if (response.status === 401) throw new Refusal("UNAUTHORIZED");
  if (response.status === 429 || response.status >= 500) throw new Refusal("TRY_AGAIN");
  throw new Refusal(answer.code ?? answer.__type?.split("#").pop(), answer.problems);
}

let configuration;

async function configured() {
  configuration ??= await send("config.json");
  return configuration;
}

async function api(method, path, body, headers = {}) {
  const { api_url } = await configured();
  return send(`${api_url}${path}`, {
    method,
    headers: body ? { ...headers, "Content-Type": "application/json" } : headers,
    body: JSON.stringify(body),
  });
}

async function asStudent(method, path, body) {
  const token = sessionStorage.getItem(TOKEN);
  const answer = await api(method, path, body, { Authorization: token });
  // It came after signing out, and is not for who uses the page now.
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

export const createAccount = (account) => api("POST", "/accounts", account);

export const sendCode = (email) => cognito("ForgotPassword", { Username: email });

export const setPassword = (email, code, password) =>
  cognito("ConfirmForgotPassword", { Username: email, ConfirmationCode: code, Password: password });

export async function signIn(email, password) {
  const answer = await cognito("InitiateAuth", {
    AuthFlow: "USER_PASSWORD_AUTH",
    AuthParameters: { USERNAME: email, PASSWORD: password },
  });
  // A challenge: this page knows none.
  if (!answer.AuthenticationResult) throw new Refusal(answer.ChallengeName);
  sessionStorage.setItem(TOKEN, answer.AuthenticationResult.IdToken);
}

export const book = (appointment) => asStudent("POST", "/appointments", appointment);

/** A page of `appointments`, earliest first, with the `next` page's `after` unless it is the last. */
export const list = (after) =>
  asStudent("GET", after ? `/appointments?after=${encodeURIComponent(after)}` : "/appointments");

export const cancel = ({ advisor_id, starts_at }) =>
  asStudent("DELETE", `/appointments/${encodeURIComponent(advisor_id)}/${encodeURIComponent(starts_at)}`);
