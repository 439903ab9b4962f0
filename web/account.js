// The views of visitors: sign up, choose a password, sign in.

import { go, goOn, leave, offerChoices, whenShown, whenSubmitted } from "./app.js";
import { say } from "./language.js";
import { PROGRAMMES } from "./school.js";
import * as services from "./services.js";

const $ = (id) => document.getElementById(id);

offerChoices(
  $("sign-up-programme"),
  PROGRAMMES.map((id) => [id, say(`programme-${id}`)]),
);

whenShown["sign-up"] = () => {
  const now = new Date();
  now.setMinutes(now.getMinutes() - now.getTimezoneOffset());
  // In the visitor's time zone.
  $("sign-up-date-of-birth").max = now.toISOString().slice(0, 10);
};

/** Keeps the address for the next view, so that it is typed once. It does not become part of the page's URL. */
function rememberEmail(email) {
  for (const input of document.querySelectorAll("input[name=email]")) input.value = email;
}

whenSubmitted("sign-up-form", async (account) => {
  rememberEmail(account.email);
  await services.createAccount(account);
  $("sign-up-form").reset();
  go("signed-up", say("signed_up", account));
});

whenSubmitted("password-form", async ({ email }) => {
  rememberEmail(email);
  await services.sendCode(email);
  // Does not say whether there is an account.
  go("new-password", say("code_sent", { email }));
});

whenSubmitted("new-password-form", async ({ email, code, password }) => {
  await services.setPassword(email, code.replace(/\s/g, ""), password);
  $("new-password-form").reset();
  rememberEmail(email);
  go("sign-in", say("password_saved"));
});

whenSubmitted("sign-in-form", async ({ email, password }) => {
  await services.signIn(email, password);
  $("sign-in-form").reset();
  goOn();
});

/** Signs the user out, and forgets what was typed. */
export function signOut(notice) {
  for (const form of document.forms) form.reset();
  leave(notice);
}

$("sign-out").addEventListener("click", () => signOut(say("signed_out")));

for (const box of document.querySelectorAll("[data-shows]")) {
  const input = $(box.dataset.shows);
  box.addEventListener("change", () => {
    input.type = box.checked ? "text" : "password";
  });
  input.form.addEventListener("reset", () => {
    input.type = "password";
  });
}
