// The school's APIs, Cognito, and the user's session.

import { cognito, idToken, Refusal, send as sent, userName as cognitoName } from "./requests.js";

export { Refusal };

// The token is kept for this tab only, and is gone when the tab is closed: students use shared computers, where local
// storage would leave them signed in. In memory alone, a reload would sign them out. The token is valid for an hour;
// nothing that could renew it is kept.
const TOKEN = "id_token";

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

export const signOut = () => sessionStorage.removeItem(TOKEN);

/** What the token says about its user; the APIs check it, the page only shows it. */
function claims() {
  const [, payload = ""] = sessionStorage.getItem(TOKEN)?.split(".") ?? [];
  if (!payload) return {};
  const bytes = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))));
}

export const isStaff = () => claims()["cognito:groups"]?.includes("staff") ?? false;

export const studentId = () => claims()["custom:student_id"];

/** The name, as far as the token has it; undefined for a visitor. */
export function userName() {
  const { given_name, family_name, name, email } = claims();
  return name ?? ([given_name, family_name].filter(Boolean).join(" ") || email);
}

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

async function asUser(method, path, body, api = "appointments_url") {
  const token = sessionStorage.getItem(TOKEN);
  const answer = await request(api, method, path, body, { Authorization: token });
  // The answer came after the user signed out, and may not be shown to the next person.
  if (sessionStorage.getItem(TOKEN) !== token) throw new Refusal("UNAUTHORIZED");
  return answer;
}

export const createAccount = (account) => request("accounts_url", "POST", "/accounts", account);

export async function sendCode(email) {
  await cognito(await configured(), "ForgotPassword", { Username: cognitoName(email) });
}

export async function setPassword(email, code, password) {
  const input = { Username: cognitoName(email), ConfirmationCode: code, Password: password };
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

const ownAccount = (method, body) => asUser(method, "/accounts/me", body, "accounts_url");

export const showAccount = () => ownAccount("GET");

/** Returns the corrected account. */
export const correctAccount = (changes) => ownAccount("PATCH", changes);

/** The account is deleted after the answer. */
export const deleteAccount = () => ownAccount("DELETE");

const appointment = ({ advisor_id, starts_at }) =>
  `/appointments/${encodeURIComponent(advisor_id)}/${encodeURIComponent(starts_at)}`;

const slots = (advisor_id) => `/advisors/${encodeURIComponent(advisor_id)}/slots`;

/** A path with those parameters that have a value. */
function withParameters(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** The answer has the topic only if this student had booked the slot before. */
export const book = ({ topic, ...slot }) => asUser("PUT", appointment(slot), { topic });

/** With the duration, the place and the time zone. */
export const details = (booked) => asUser("GET", appointment(booked));

export const cancel = (booked) => asUser("DELETE", appointment(booked));

// Pages of `appointments` or `slots`, earliest first: `from` a time, `after` the page before, which is its `next`.

export const listAppointments = (page) => asUser("GET", withParameters("/appointments", page));

export const listFreeSlots = (advisor_id, page) => asUser("GET", withParameters(slots(advisor_id), page));

// ---- Staff

export const listAdvisorAppointments = (advisor_id, page) =>
  asUser("GET", withParameters(`/advisors/${encodeURIComponent(advisor_id)}/appointments`, page));

export const offer = ({ advisor_id, ...slot }) => asUser("POST", slots(advisor_id), slot);

/** A slot with a `student_id` is withdrawn with this student's appointment. */
export const withdraw = ({ advisor_id, starts_at, student_id }) =>
  asUser("DELETE", withParameters(`${slots(advisor_id)}/${encodeURIComponent(starts_at)}`, { student_id }));
