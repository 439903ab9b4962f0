// The view of a student's own account: what the school knows, corrections, and the deletion.

import { signOut } from "./account.js";
import { ask, loadWith, notify, offerChoices, whenLeaving, whenPressed, whenShown, whenSubmitted } from "./app.js";
import { cancelUpcoming } from "./appointments.js";
import { say } from "./language.js";
import { PROGRAMMES } from "./school.js";
import * as services from "./services.js";
import { formatDate } from "./times.js";

const $ = (id) => document.getElementById(id);

const form = $("account-form");

offerChoices(
  form.elements.programme,
  PROGRAMMES.map((id) => [id, say(`programme-${id}`)]),
);

function showAccount(account) {
  $("account-email").textContent = account.email;
  $("account-date-of-birth").textContent = formatDate(account.date_of_birth, { dateStyle: "long" });
  $("account-number").textContent = account.student_id;
  for (const name of ["given_name", "family_name", "programme"]) form.elements[name].value = account[name];
  $("account-details").hidden = false;
}

function forget() {
  $("account-details").hidden = true;
  for (const fact of document.querySelectorAll("#account-details dd")) fact.textContent = "";
  form.reset();
  $("account-again").hidden = true;
}

function load() {
  $("account-status").textContent = say("loading");
  return loadWith($("account-again"), $("account-status"), say("account_failed"), async () => {
    try {
      showAccount(await services.showAccount());
      $("account-status").textContent = "";
    } catch (error) {
      if (error.code !== "NOT_FOUND") throw error;
      $("account-status").textContent = say("no_account");
    }
    return false;
  });
}

whenShown.account = () => {
  forget();
  load();
};

whenLeaving.push(forget);

whenPressed($("account-again"), load);

whenSubmitted("account-form", async (changes) => {
  showAccount(await services.correctAccount(changes));
  notify(say("account_saved"));
  $("account-title").focus();
});

$("delete-account").addEventListener("click", () =>
  ask({
    title: say("delete_title"),
    what: say("delete_what"),
    button: say("delete_it"),
    busy: say("delete_busy"),
    act: async () => {
      await cancelUpcoming();
      await services.deleteAccount();
    },
    done: () => signOut(say("account_deleted")),
  }),
);
