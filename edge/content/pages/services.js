// Cognito, the session that opens the material, and the list of the material.

import { idToken, Refusal, send } from "./requests.js";

export { Refusal };

// The token is kept for this tab only, and is gone when the tab is closed: students use shared computers. In memory alone, a
// reload would sign them out. Nothing that could renew it is kept.
const TOKEN = "id_token";

export const isSignedIn = () => sessionStorage.getItem(TOKEN) !== null;

export const signOut = () => sessionStorage.clear();

export async function signIn(email, password) {
  const { answer: configuration } = await send("/config.json");
  sessionStorage.setItem(TOKEN, await idToken(configuration, email, password));
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
