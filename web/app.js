// The views, and their actions. One view is shown at a time, as the address's hash says: `#view` or `#view?parameters`.

import { clearProblems, onSubmit } from "./form.js";
import { ADVISORS, PROGRAMMES, TIMES } from "./school.js";
import * as services from "./services.js";

const $ = (id) => document.getElementById(id);

const CHOOSE_PASSWORD = { href: "#password", text: "Choose a password" };
const WEAK_PASSWORD =
  "Use at least 12 characters, with a capital letter, a small letter and a digit, and no space at the beginning or end.";

/** The messages for refusals, by the codes of the APIs and of Cognito. */
const MEANINGS = {
  TRY_AGAIN: { message: "We can't do this at the moment. What you entered is kept: try again soon." },
  BAD_REQUEST_BODY: { message: "We can't accept some of this. Check what you entered." },
  ACCOUNT_EXISTS: {
    field: "email",
    message: "There is an account with this address already.",
    link: { ...CHOOSE_PASSWORD, text: "Choose a password for it" },
  },
  PAST: { field: "date", message: "Choose a date and a time that are still to come." },
  NOT_FOUND: { field: "time", message: "The advisor has no appointments at this time. Choose another." },
  SLOT_TAKEN: { field: "time", message: "This time is taken. Choose another." },
  TOO_LATE: { message: "It is too late for this." },
  OTHER_BOOKING: { field: "time", message: "You have another appointment at this time." },
  TOO_MANY_BOOKINGS: { message: "You have as many appointments in this month as you may have." },
  NotAuthorizedException: {
    message: "The e-mail address or the password is wrong. After many attempts, you have to wait for a while.",
    link: { ...CHOOSE_PASSWORD, text: "Choose a new password" },
  },
  PasswordResetRequiredException: { message: "You need a new password.", link: CHOOSE_PASSWORD },
  CodeMismatchException: { field: "code", message: "This is not the last code that we sent." },
  ExpiredCodeException: {
    field: "code",
    message: "This code is no longer valid.",
    link: { href: "#password", text: "Send another one" },
  },
  CodeDeliveryFailureException: { field: "email", message: "We can't send e-mail there at the moment. Try again later." },
  InvalidPasswordException: { field: "password", message: WEAK_PASSWORD },
  LimitExceededException: { message: "There were too many attempts. Wait for a while, then try again." },
  TooManyFailedAttemptsException: { message: "There were too many attempts. Wait for a while, then try again." },
  TooManyRequestsException: { message: "There are too many requests at the moment. Try again soon." },
};
const UNKNOWN = { message: "This did not work. Check what you entered, reload the page, and try again." };

/** The problems to show for a refusal. If the token is refused, the student is sent to the sign-in, and told there. */
export function explain(error) {
  if (!(error instanceof services.Refusal)) throw error;
  if (error.code === "UNAUTHORIZED") {
    leave("You have been signed out, so this could not be done. Sign in again.");
    return [];
  }
  if (error.problems.length) return error.problems;
  const meaning = MEANINGS[error.code] ?? UNKNOWN;
  return [meaning.field ? meaning : { ...meaning, message: withReference(meaning.message, error) }];
}

/** Adds the number of the request's line in the API's log, for people who help. */
function withReference(message, { requestId }) {
  return requestId ? `${message} When you ask for help, give the number ${requestId}.` : message;
}

export const whenSubmitted = (id, send) => onSubmit($(id), send, explain);

// Removes the previous message, which could contradict the next one. Runs before the forms handle the event.
addEventListener("submit", () => notify(""), { capture: true });

// ---- Views

/** What to do when a view is shown, by the view's id; it gets the address's parameters. */
export const whenShown = { appointments: showBooking };
let nextNotice = "";
/** Where a visitor wanted to go, and goes after signing in. */
let wanted;

function notify(text) {
  $("notice").textContent = text;
}

function go(address, notice = "") {
  nextNotice = notice;
  if (location.hash === `#${address}`) show();
  else location.hash = address;
}

/** `2026-11-29`, in the visitor's time zone. */
function today() {
  const now = new Date();
  now.setMinutes(now.getMinutes() - now.getTimezoneOffset());
  return now.toISOString().slice(0, 10);
}

function show() {
  const address = location.hash.slice(1);
  const [asked, parameters] = address.split("?");
  const signedIn = services.isSignedIn();
  const visitor = signedIn ? "student" : "visitor";
  const views = [...document.querySelectorAll("main > section")];
  const found = views.find((view) => view.id === asked);
  // A view that is for nobody in particular is for both.
  if (!found || (found.dataset.for ?? visitor) !== visitor) {
    if (found?.dataset.for === "student") wanted = address;
    // Replaces the step in the history: going back would lead here again.
    location.replace(signedIn ? "#appointments" : "#sign-in");
    return;
  }
  for (const view of views) view.hidden = view.id !== asked;
  for (const form of document.forms) clearProblems(form);
  $("sign-up-date-of-birth").max = today();
  $("booking-date").min = today();
  for (const element of document.querySelectorAll("nav > *")) {
    element.hidden = (element.dataset.for ?? visitor) !== visitor;
    element.ariaCurrent = element.hash === `#${asked}` ? "page" : null;
  }
  const title = $(`${asked}-title`);
  document.title = `${title.textContent} · Registrar`;
  notify(nextNotice);
  nextNotice = "";
  scrollTo(0, 0);
  title.focus({ preventScroll: true });
  whenShown[asked]?.(new URLSearchParams(parameters));
}

/** Keeps the address for the next view, so that it is typed once. It does not become part of the page's URL. */
function rememberEmail(email) {
  for (const input of document.querySelectorAll("input[name=email]")) input.value = email;
}

function leave(notice) {
  services.signOut();
  $("cancellation").close();
  forgetAppointments();
  $("booking-advisor").querySelector("[data-found]")?.remove();
  wanted = undefined;
  go("sign-in", notice);
}

// ---- Account

whenSubmitted("sign-up-form", async (account) => {
  rememberEmail(account.email);
  await services.createAccount(account);
  $("sign-up-form").reset();
  go("signed-up", `An e-mail is on its way to ${account.email}.`);
});

whenSubmitted("password-form", async ({ email }) => {
  rememberEmail(email);
  await services.sendCode(email);
  // Does not say whether there is an account.
  go("new-password", `If there is an account with the address ${email}, a code is on its way to it.`);
});

whenSubmitted("new-password-form", async ({ email, code, password }) => {
  await services.setPassword(email, code.replace(/\s/g, ""), password);
  $("new-password-form").reset();
  rememberEmail(email);
  go("sign-in", "Your password is set. Sign in with it.");
});

whenSubmitted("sign-in-form", async ({ email, password }) => {
  await services.signIn(email, password);
  $("sign-in-form").reset();
  go(wanted ?? "appointments");
});

$("sign-out").addEventListener("click", () => {
  for (const form of document.forms) form.reset();
  leave("You have signed out.");
});

for (const box of document.querySelectorAll("[data-shows]")) {
  const input = $(box.dataset.shows);
  box.addEventListener("change", () => {
    input.type = box.checked ? "text" : "password";
  });
  input.form.addEventListener("reset", () => {
    input.type = "password";
  });
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
    more.textContent = "Show more";
  } catch (error) {
    explain(error);
    more.hidden = false;
    more.textContent = "Try again";
    status.textContent = withReference(failed, error);
  } finally {
    more.ariaDisabled = null;
  }
}

// ---- Advisors

/** The advisors' names by their identifiers: the school's own, and those that were found. */
export const advisorNames = new Map(Object.entries(ADVISORS));

/** Functions of rooms that know more advisors. Each adds the names of those that exist to the names above. */
export const findAdvisors = [];

async function findNames(ids) {
  const unknown = [...new Set(ids)].filter((id) => !advisorNames.has(id));
  await Promise.allSettled(findAdvisors.map((find) => find(unknown)));
  return unknown.filter((id) => advisorNames.has(id));
}

// ---- Appointments

/** The appointments of all loaded pages, by keys that sort them by time. */
const appointments = new Map();
/** The start of the next page; the first page has none. */
let nextPage;
let toCancel;

const key = ({ starts_at, advisor_id }) => `${starts_at}~${advisor_id}`;

const dateFormat = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "full" });
const timeFormat = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "short" });

function inWords({ advisor_id, starts_at }) {
  const start = new Date(starts_at);
  return {
    advisor: advisorNames.get(advisor_id) ?? advisor_id,
    date: dateFormat.format(start),
    time: timeFormat.format(start),
  };
}

function inOneLine(appointment) {
  const { advisor, date, time } = inWords(appointment);
  return `${advisor}, ${date} at ${time}`;
}

export function paragraph(className, ...content) {
  const made = document.createElement("p");
  made.className = className;
  made.append(...content);
  return made;
}

function item(appointment) {
  const { advisor, date, time } = inWords(appointment);
  const made = document.createElement("li");
  made.dataset.key = key(appointment);
  made.tabIndex = -1;
  made.append(paragraph("title", date), paragraph("slot", `${time} with ${advisor}`));
  if (appointment.topic) made.append(paragraph("topic", appointment.topic));
  if (new Date(appointment.starts_at) < Date.now()) {
    made.className = "past";
    return made;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Cancel";
  button.ariaLabel = `Cancel ${inOneLine(appointment)}`;
  button.addEventListener("click", () => {
    toCancel = appointment;
    $("cancellation-what").textContent = `${inOneLine(appointment)}.`;
    $("cancellation").showModal();
  });
  made.append(button);
  return made;
}

function showAppointments(status) {
  const sorted = [...appointments].sort(([one], [other]) => (one < other ? -1 : 1));
  $("list").replaceChildren(...sorted.map(([, appointment]) => item(appointment)));
  $("list").hidden = sorted.length === 0;
  $("list-status").textContent = status || (sorted.length ? "" : "You have no appointments.");
}

function focusAppointment(wanted) {
  [...$("list").children].find(({ dataset }) => wanted(dataset.key))?.focus();
}

function forgetAppointments() {
  appointments.clear();
  nextPage = undefined;
  $("more").hidden = true;
  showAppointments("Loading…");
}

function loadPage() {
  return loadWith($("more"), $("list-status"), "Your appointments can't be shown at the moment.", async () => {
    const page = await services.list(nextPage);
    for (const appointment of page.appointments) appointments.set(key(appointment), appointment);
    nextPage = page.next;
    showAppointments();
    nameAdvisors(page.appointments);
    return nextPage;
  });
}

/** Replaces identifiers that the list shows by names; it does not wait for them. */
async function nameAdvisors(shown) {
  const found = await findNames(shown.map(({ advisor_id }) => advisor_id));
  for (const old of $("list").children) {
    const appointment = appointments.get(old.dataset.key);
    // Replacing an element would take the focus away from it.
    if (!found.includes(appointment.advisor_id) || old.contains(document.activeElement)) continue;
    old.replaceWith(item(appointment));
  }
}

function reloadAppointments() {
  forgetAppointments();
  return loadPage();
}

$("more").addEventListener("click", async () => {
  if ($("more").ariaDisabled) return;
  const before = new Set(appointments.keys());
  await loadPage();
  focusAppointment((key) => !before.has(key));
});

/** With the parameter `advisor`, the student came to book an appointment with that advisor. */
async function showBooking(parameters) {
  reloadAppointments();
  const id = parameters.get("advisor");
  if (!id) return;
  await findNames([id]);
  if (!advisorNames.has(id)) return;
  const select = $("booking-advisor");
  select.querySelector("[data-found]")?.remove();
  if (![...select.options].some(({ value }) => value === id)) {
    const found = new Option(advisorNames.get(id), id);
    found.dataset.found = "";
    select.add(found);
  }
  select.value = id;
  select.focus();
}

whenSubmitted("booking-form", async ({ advisor_id, date, time, topic }) => {
  const start = new Date(`${date}T${time}`);
  if (!(start > Date.now())) throw new services.Refusal("PAST");
  const starts_at = start.toISOString().replace(".000Z", "Z");
  const booked = await services.book({ advisor_id, starts_at, topic: topic.trim() || undefined });
  // Loading the list could miss it, because the index follows the table with a delay.
  appointments.set(key(booked), booked);
  $("booking-form").reset();
  showAppointments();
  notify(`Booked: ${inOneLine(booked)}.`);
  focusAppointment((shown) => shown === key(booked));
});

whenSubmitted("cancellation-form", async () => {
  const appointment = toCancel;
  try {
    await services.cancel(appointment);
  } catch (error) {
    // The appointment is already gone.
    if (error.code !== "NOT_FOUND") throw error;
  }
  appointments.delete(key(appointment));
  // The dialog may ask about another appointment by now.
  if (toCancel === appointment) $("cancellation").close();
  showAppointments();
  notify(`Cancelled: ${inOneLine(appointment)}.`);
  $("appointments-title").focus();
});

$("keep").addEventListener("click", () => $("cancellation").close());
$("cancellation").addEventListener("close", () => $("cancellation-form").reset());

// ---- The choices, and the first view

function offer(select, choices) {
  for (const [value, text] of choices) select.add(new Option(text, value));
}

offer($("sign-up-programme"), Object.entries(PROGRAMMES));
offer($("booking-advisor"), Object.entries(ADVISORS));
offer(
  $("booking-time"),
  TIMES.map((time) => [time, time]),
);
// The zone's identifier, e.g. Asia/Calcutta, may be unusual there, so the page shows the zone's name.
const zoneFormat = new Intl.DateTimeFormat(document.documentElement.lang, { timeZoneName: "longGeneric" });
const { value: zone } = zoneFormat.formatToParts().find(({ type }) => type === "timeZoneName");
$("booking-time-hint").textContent = `In your time zone, ${zone}.`;

/** Adds what the deployed rooms beside the root have for the pages. */
async function addRooms() {
  const rooms = await services.rooms();
  await Promise.all(rooms.map((room) => import(`./${room}/room.js`)));
}

// They come first, because the address may name a view of theirs; without them, everything else works. Not `await`: a
// room's module imports this one, so each would wait for the other.
addRooms()
  .catch(console.error)
  .then(() => {
    addEventListener("hashchange", show);
    show();
  });
