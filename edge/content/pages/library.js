// The library: one page, whose view depends on the student's session.

import { clearProblems, onSubmit } from "./form.js";
import { RETURN_PATH } from "./return-path.mjs";
import * as services from "./services.js";

const $ = (id) => document.getElementById(id);

/** A session with less time left is renewed by a timer, when the tab is shown again, and before a link is followed. */
const RENEWAL_MILLISECONDS = 120_000;
/** Who comes back from a path so soon was refused there. */
const REFUSED_MILLISECONDS = 10_000;

/** The messages for refusals of a sign-in, by Cognito's codes. */
const MEANINGS = {
  INVALID_EMAIL: "This is not an e-mail address.",
  TRY_AGAIN: "We can't sign you in at the moment. What you entered is kept: try again soon.",
  NotAuthorizedException:
    "The e-mail address or the password is wrong. After many attempts, you have to wait for a while.",
  PasswordResetRequiredException: "Choose a new password where you created your account.", // pragma: allowlist secret
  TooManyRequestsException: "There are too many requests at the moment. Try again soon.",
};
const UNKNOWN = "This did not work. Check what you entered, reload the page, and try again.";

function explain(error) {
  if (!(error instanceof services.Refusal)) throw error;
  return [
    {
      field: error.code === "INVALID_EMAIL" ? "email" : undefined,
      message: MEANINGS[error.code] ?? UNKNOWN,
    },
  ];
}

// ---- Views

function hideViews() {
  for (const view of document.querySelectorAll("main > section")) view.hidden = true;
  for (const form of document.forms) clearProblems(form);
  $("sign-out").hidden = !services.isSignedIn();
  $("notice").textContent = "";
  $("progress").textContent = "";
}

function show(view, notice = "") {
  hideViews();
  $(view).hidden = false;
  $("notice").textContent = notice;
  const title = $(`${view}-title`);
  document.title = `${title.textContent} · Registrar`;
  scrollTo(0, 0);
  title.focus({ preventScroll: true });
}

/** Shows that something takes a while. */
function wait(text) {
  hideViews();
  $("progress").textContent = text;
}

/** What the button of the view `unavailable` does. */
let tryAgain;

function showUnavailable(text, again) {
  tryAgain = again;
  $("unavailable-lead").textContent = text;
  show("unavailable");
}

$("try-again").addEventListener("click", () => tryAgain());

const timeFormat = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "short" });
const inWords = (time) => timeFormat.format(new Date(time));

function showNotPaid(paidUntil, notice) {
  $("not-paid-title").textContent = paidUntil ? "Your access has ended" : "Pay the course fee";
  $("not-paid-lead").textContent = paidUntil
    ? `Your course fee was paid until ${inWords(paidUntil)}. To read the course material again, pay the fee for the time after that.`
    : "Course material is for students who have paid the course fee. We have no payment of yours.";
  show("not-paid", notice);
}

/** Shows what helps after a refusal. */
function refuse(error, unpaidNotice) {
  if (!(error instanceof services.Refusal)) throw error;
  if (error.code === "SIGNED_OUT") return;
  stopRenewing();
  forgetMaterial();
  if (error.code === "UNAUTHORIZED") {
    services.signOut();
    show("sign-in", "You have to sign in again.");
  } else if (error.code === "NOT_PAID") {
    showNotPaid(error.paidUntil, unpaidNotice);
  } else {
    const reference = error.requestId ? ` When you ask for help, give the number ${error.requestId}.` : "";
    showUnavailable(`We can't open the course material. Try again soon.${reference}`, enter);
  }
}

// ---- Where the student wants to go: in the page's address, so that a reload keeps it

const setWanted = (path) => history.replaceState(null, "", path ? `/?return=${encodeURIComponent(path)}` : "/");

/** A path of the material; undefined for the library itself, and for everything else. */
function wanted() {
  const path = new URLSearchParams(location.search).get("return");
  return RETURN_PATH.test(path) && !/^\/members\/?$/i.test(path) ? path : undefined;
}

/** The page for refused readers leads here without a query. */
function takeReferrer() {
  const referrer = URL.parse(document.referrer);
  const [navigation] = performance.getEntriesByType("navigation");
  // After a reload, it is still the same.
  if (referrer?.origin === location.origin && navigation?.type === "navigate" && !location.search) {
    setWanted(referrer.pathname);
  }
}

function follow(path) {
  const [last, time] = JSON.parse(sessionStorage.getItem("followed")) ?? [];
  if (path === last && Date.now() - time < REFUSED_MILLISECONDS) {
    $("notice").textContent = "We can't open what you asked for. Look for it in the list.";
    return;
  }
  sessionStorage.setItem("followed", JSON.stringify([path, Date.now()]));
  location.assign(path);
}

// ---- The session

/** When the session ends, in milliseconds since 1970. */
let ends = 0;
/** The session that is being opened. */
let opening;
let timer;

const needsRenewal = () => ends - Date.now() < RENEWAL_MILLISECONDS;

function stopRenewing() {
  clearTimeout(timer);
  ends = 0;
}

function renewInTime() {
  clearTimeout(timer);
  const left = ends - Date.now();
  if (left > 0) timer = setTimeout(renew, Math.max(left - RENEWAL_MILLISECONDS, left / 2, 1_000));
}

/** Opens the session, or renews it. Throws `services.Refusal`. */
async function open() {
  opening ??= services.openSession().finally(() => {
    opening = undefined;
  });
  const session = await opening;
  ends = session.ends;
  $("library-lead").textContent = `Your course fee is paid until ${inWords(session.paidUntil)}.`;
  renewInTime();
}

/** A student notices only what can't be tried again later. */
async function renew() {
  try {
    await open();
  } catch (error) {
    if (error.code === "TRY_AGAIN") renewInTime();
    else refuse(error);
  }
}

/** Opens the session and shows the material; then opens what the student wants. */
async function enter(unpaidNotice = "") {
  wait("Opening the course material…");
  try {
    await open();
    showMaterial(await services.catalog());
  } catch (error) {
    refuse(error, unpaidNotice);
    return;
  }
  const path = wanted();
  setWanted();
  show("library");
  if (path) follow(path);
}

/** Another tab has the same cookies, and would renew them. */
const tabs = new BroadcastChannel("sign-out");
tabs.addEventListener("message", () => {
  if (services.isSignedIn()) signOut();
});

async function signOut() {
  stopRenewing();
  forgetMaterial();
  services.signOut();
  setWanted();
  wait("Signing you out…");
  // The answer to an earlier request would bring the cookies back.
  await opening?.catch(() => {});
  try {
    await services.closeSession();
    show("sign-in", "You have signed out.");
  } catch {
    showUnavailable("You are not signed out: course material can still be read in this browser, for 15 minutes.", signOut);
  }
}

$("sign-out").addEventListener("click", () => {
  $("sign-in-form").reset();
  tabs.postMessage("");
  signOut();
});

$("check-payment").addEventListener("click", () => enter("We have no new payment of yours. It can take a few minutes."));

onSubmit(
  $("sign-in-form"),
  async ({ email, password }) => {
    $("notice").textContent = "";
    await services.signIn(email, password);
    $("sign-in-form").reset();
    await enter();
  },
  explain,
);

$("show-password").addEventListener("change", ({ target }) => {
  $("sign-in-password").type = target.checked ? "text" : "password";
});
$("sign-in-form").addEventListener("reset", () => {
  $("sign-in-password").type = "password";
});

// ---- The material

const KINDS = { audio: "Recording", image: "Picture", text: "Text", video: "Video" };
const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"];

function size(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  const format = { style: "unit", unit: UNITS[power], unitDisplay: power ? "short" : "long", maximumSignificantDigits: 3 };
  return new Intl.NumberFormat(document.documentElement.lang, format).format(bytes / 1000 ** power);
}

function link(path, text) {
  const made = document.createElement("a");
  made.href = path;
  made.textContent = text;
  return made;
}

function item({ path, title, bytes, type }) {
  const kind = type === "application/pdf" ? "PDF" : KINDS[type.split("/")[0]];
  const name = document.createElement("p");
  name.className = "title";
  // The browser can't show other kinds, and would download them.
  name.append(kind ? link(path, title) : title);
  const facts = document.createElement("p");
  facts.textContent = `${kind ?? "File"}, ${size(bytes)}`;
  const download = link(path, "Download");
  download.className = "button quiet";
  download.download = "";
  download.ariaLabel = `Download ${title}`;
  const made = document.createElement("li");
  made.append(name, facts, download);
  return made;
}

function showMaterial(found) {
  $("list").replaceChildren(...found.map(item));
  $("list").hidden = found.length === 0;
  $("empty").hidden = found.length > 0;
}

function forgetMaterial() {
  $("list").replaceChildren();
  $("library-lead").textContent = "";
}

$("list").addEventListener("click", async (event) => {
  const followed = event.target.closest("a");
  // Another tab would not wait.
  const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey;
  if (!followed || isElsewhere || !needsRenewal()) return;
  event.preventDefault();
  try {
    await open();
    // A copy, so that this is not called again.
    followed.cloneNode().click();
  } catch (error) {
    setWanted(followed.pathname);
    refuse(error);
  }
});

// ---- The first view, and what happens while nobody looks

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && ends && needsRenewal()) renew();
});

addEventListener("pageshow", ({ persisted }) => {
  // The browser shows the page as it was, though the student has signed out since.
  if (persisted && !services.isSignedIn()) signOut();
});

takeReferrer();
if (services.isSignedIn()) enter();
else show("sign-in");
