// The school's APIs, Cognito, and the student's session.

import { cognito, idToken, Refusal, send as sent, userName } from "./requests.js";

export { Refusal };

// The token is kept for this tab only, and is gone when the tab is closed: students use shared computers, where local
// storage would leave them signed in. In memory alone, a reload would sign them out. The token is valid for an hour;
// nothing that could renew it is kept.
const TOKEN = "id_token";

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

export const signOut = () => sessionStorage.removeItem(TOKEN);

const send = async (url, options) => (await sent(url, options)).answer;

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

export const createAccount = (account) => request("accounts_url", "POST", "/accounts", account);

export async function sendCode(email) {
  await cognito(await configured(), "ForgotPassword", { Username: userName(email) });
}

export async function setPassword(email, code, password) {
  const input = { Username: userName(email), ConfirmationCode: code, Password: password };
  try {
    await cognito(await configured(), "ConfirmForgotPassword", input);
  } catch (error) {
    // Cognito refuses such a password, e.g. with a space at its end, before it applies the pool's policy.
    if (error.code === "InvalidParameterException") throw new Refusal("InvalidPasswordException");
    throw error;
  }
}

export async function signIn(email, password) {
  sessionStorage.setItem(TOKEN, await idToken(await configured(), email, password));
}

const path = ({ advisor_id, starts_at }) =>
  `/appointments/${encodeURIComponent(advisor_id)}/${encodeURIComponent(starts_at)}`;

/** The answer has the topic only if this student had booked the slot before. */
export const book = async (appointment) => {
  const { topic } = appointment;
  return { topic, ...(await asStudent("PUT", path(appointment), { topic })) };
};

/** A page of `appointments`, earliest first, with the `next` page's `after` unless it is the last. */
export const list = (after) =>
  asStudent("GET", after ? `/appointments?after=${encodeURIComponent(after)}` : "/appointments");

export const cancel = (appointment) => asStudent("DELETE", path(appointment));
