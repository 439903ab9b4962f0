// What all views share: which one is shown, messages, lists, and the names of advisors. One view is shown at a time, as
// the address's hash says: `#view` or `#view?parameters`.

import { fill, knows, nameDocument, say } from "./language.js";
import { clearProblems, onSubmit } from "./form.js";
import { ADVISORS } from "./school.js";
import * as services from "./services.js";

const $ = (id) => document.getElementById(id);

fill(document, say);

const choosePassword = (text) => ({ href: "#password", text: say(text) });

/** What refusals say beside their texts: the field, and what helps. */
const MEANINGS = {
  INVALID_EMAIL: { field: "email" },
  ACCOUNT_EXISTS: { field: "email", link: choosePassword("choose_password_for_it") },
  NotAuthorizedException: { link: choosePassword("choose_new_password") },
  PasswordResetRequiredException: { link: choosePassword("choose_password") },
  CodeMismatchException: { field: "code" },
  ExpiredCodeException: { field: "code", link: choosePassword("send_another") },
  CodeDeliveryFailureException: { field: "email" },
  InvalidPasswordException: { field: "password" },
};

const meaning = (code, otherwise) => (knows(code) ? say(code) : otherwise);

/** The problems to show for a refusal. If the token is refused, the student is sent to the sign-in, and told there. */
export function explain(error) {
  if (!(error instanceof services.Refusal)) throw error;
  if (error.code === "UNAUTHORIZED") {
    leave(say("session_ended"));
    return [];
  }
  if (error.problems.length) {
    return error.problems.map(({ field, code, message }) => ({ field, message: meaning(code, message) }));
  }
  const { field, link } = MEANINGS[error.code] ?? {};
  const message = meaning(error.code, say("UNKNOWN"));
  return [{ field, link, message: field ? message : withReference(message, error) }];
}

/** Adds the number of the request's line in the API's log, for people who help. */
function withReference(message, { requestId: request_id }) {
  return request_id ? say("reference", { message, request_id }) : message;
}

export function whenSubmitted(id, send) {
  $(id).dataset.problems = say("problems");
  onSubmit($(id), send, explain);
}

// Removes the previous message, which could contradict the next one. Runs before the forms handle the event.
addEventListener("submit", () => notify(""), { capture: true });

// ---- Views

/** What to do when a view is shown, by the view's id; it gets the address's parameters. */
export const whenShown = {};
/** What to forget when the visitor signs out: functions without parameters. */
export const whenLeaving = [];
let nextNotice = "";
/** Where a visitor wanted to go, and goes after signing in. */
let wanted;

export const addressOf = (view, parameters) => `${view}?${new URLSearchParams(parameters)}`.replace(/\?$/, "");

export function notify(text) {
  $("notice").textContent = text;
}

export function go(address, notice = "") {
  nextNotice = notice;
  if (location.hash === `#${address}`) show();
  else location.hash = address;
}

/** Where the visitor goes after signing in. */
export const goOn = () => go(wanted ?? home());

function home() {
  if (!services.isSignedIn()) return "sign-in";
  return services.isStaff() ? "week" : "appointments";
}

/** A part of the page that is for nobody in particular is for everybody. */
function isForVisitor(element) {
  switch (element.dataset.for) {
    case "visitor":
      return !services.isSignedIn();
    case "student":
      return services.isSignedIn();
    // Staff may book, too, but have no accounts.
    case "student only":
      return services.isSignedIn() && !services.isStaff();
    case "staff":
      return services.isStaff();
    default:
      return true;
  }
}

function show() {
  const address = location.hash.slice(1);
  const [asked, parameters] = address.split("?");
  const views = [...document.querySelectorAll("main > section")];
  const found = views.find((view) => view.id === asked) ?? $("not-found");
  if (!asked || !isForVisitor(found)) {
    if (asked && found.dataset.for !== "visitor") wanted = address;
    // Replaces the step in the history: going back would lead here again.
    location.replace(`#${home()}`);
    return;
  }
  for (const view of views) view.hidden = view !== found;
  for (const form of document.forms) clearProblems(form);
  for (const element of document.querySelectorAll("header nav > *")) {
    element.hidden = !isForVisitor(element);
    element.ariaCurrent = element.hash === `#${asked}` ? "page" : null;
  }
  const name = services.userName();
  $("who").textContent = name ? say("signed_in_as", { name }) : "";
  const title = $(`${found.id}-title`);
  nameDocument(title.textContent);
  notify(nextNotice);
  nextNotice = "";
  scrollTo(0, 0);
  title.focus({ preventScroll: true });
  whenShown[found.id]?.(new URLSearchParams(parameters));
}

export function leave(notice) {
  services.signOut();
  $("question").close();
  for (const forget of whenLeaving) forget();
  for (const option of document.querySelectorAll("option[data-found]")) option.remove();
  wanted = undefined;
  go("sign-in", notice);
}

// ---- Lists that are loaded in pages

/**
 * Loads a page with `load`, which returns whether there are more. The button `more` is for the next page, or for the
 * same page again after a failure; `status` then shows the message `failed`.
 */
export async function loadWith(more, status, failed, load) {
  more.ariaDisabled = "true";
  try {
    more.hidden = !(await load());
    more.textContent = say("show_more");
  } catch (error) {
    explain(error);
    more.hidden = false;
    more.textContent = say("try_again");
    status.textContent = withReference(failed, error);
  } finally {
    more.ariaDisabled = null;
  }
}

/** Calls `load` when the button is pressed, unless it is loading. */
export function whenPressed(button, load) {
  button.addEventListener("click", () => {
    if (!button.ariaDisabled) load();
  });
}

export function paragraph(className, ...content) {
  const made = document.createElement("p");
  made.className = className;
  made.append(...content);
  return made;
}

/** A button whose name says more than its text, because a list has many of them. */
export function quietButton(text, label, press) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = text;
  made.ariaLabel = label;
  made.addEventListener("click", press);
  return made;
}

// ---- Questions

let question;

/** Asks before something that can't be undone. `act` does it, and may throw what `explain` knows; `done` shows it. */
export function ask(asked) {
  question = asked;
  $("question-title").textContent = asked.title;
  $("question-what").textContent = asked.what;
  $("question-answer").textContent = asked.button;
  $("question-form").dataset.busy = asked.busy;
  $("question").showModal();
}

whenSubmitted("question-form", async () => {
  const asked = question;
  await asked.act();
  // The dialog may ask something else by now.
  if (question === asked) $("question").close();
  asked.done();
});

$("keep").addEventListener("click", () => $("question").close());
$("question").addEventListener("close", () => $("question-form").reset());

// ---- Advisors

/** The advisors' names by their identifiers: the school's own, and those that were found. */
export const advisorNames = new Map(Object.entries(ADVISORS));

/** Functions of rooms that know more advisors. Each adds the names of those that exist to the names above. */
export const findAdvisors = [];

/** Finds names that are not known yet, and returns the identifiers that have one now. */
export async function findNames(ids) {
  const unknown = [...new Set(ids)].filter((id) => !advisorNames.has(id));
  await Promise.allSettled(findAdvisors.map((find) => find(unknown)));
  return unknown.filter((id) => advisorNames.has(id));
}

export function offerChoices(select, choices) {
  for (const [value, text] of choices) select.add(new Option(text, value));
}

/** Selects an advisor, who may be one that only other rooms know. Returns whether there is such an advisor. */
export async function chooseAdvisor(select, id) {
  await findNames(id ? [id] : []);
  select.querySelector("[data-found]")?.remove();
  if (advisorNames.has(id) && ![...select.options].some(({ value }) => value === id)) {
    const found = new Option(advisorNames.get(id), id);
    found.dataset.found = "";
    select.add(found);
  }
  select.value = advisorNames.has(id) ? id : "";
  return select.value !== "";
}

// ---- The first view

/** Adds what the deployed rooms beside the root have for the pages. */
async function addRooms() {
  const rooms = await services.rooms();
  await Promise.all(rooms.map((room) => import(`./${room}/room.js`)));
}

/** Shows the view that the address names, once the rooms are there: the view may be one of theirs. */
export async function start() {
  // Without them, everything else works.
  await addRooms().catch(console.error);
  addEventListener("hashchange", show);
  show();
}
