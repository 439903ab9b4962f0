// The views of students: their appointments, and an advisor's free times to book.

import {
  addressOf,
  advisorNames,
  ask,
  chooseAdvisor,
  explain,
  findNames,
  go,
  loadWith,
  notify,
  offerChoices,
  paragraph,
  quietButton,
  whenLeaving,
  whenPressed,
  whenShown,
  whenSubmitted,
} from "./app.js";
import { calendarFile, save, uidOf } from "./calendar.js";
import { say } from "./language.js";
import { ADVISORS } from "./school.js";
import * as services from "./services.js";
import { inUtc, inWords, zonesInWords } from "./times.js";

const $ = (id) => document.getElementById(id);

const advisorOf = ({ advisor_id }) => advisorNames.get(advisor_id) ?? advisor_id;

function inOneLine(appointment) {
  const { date, start } = inWords(appointment);
  return say("one_line", { advisor: advisorOf(appointment), date, time: start });
}

// ---- Upcoming appointments

/** The appointments of all loaded pages, and those that were booked here, by keys that sort them by time. */
const appointments = new Map();
/** What was booked here. Loading the list could miss it, because the index follows the table with a delay. */
const booked = new Map();
/** When the list was loaded, and the start of its next page; the first page has none. */
let loadedAt, nextPage;
/** The key of the appointment that gets the focus when it is shown. */
let toFocus;

const key = ({ starts_at, advisor_id }) => `${starts_at}~${advisor_id}`;

function item(appointment) {
  const words = inWords(appointment);
  const made = document.createElement("li");
  made.dataset.key = key(appointment);
  made.tabIndex = -1;
  made.append(
    paragraph("title", words.date),
    paragraph("slot", say("time_with", { time: words.time, advisor: advisorOf(appointment) })),
  );
  for (const [className, text] of [
    ["", appointment.place],
    ["hint", zonesInWords(words)],
    ["topic", appointment.topic],
  ]) {
    if (text) made.append(paragraph(className, text));
  }
  return made;
}

function upcomingItem(appointment) {
  const made = item(appointment);
  const what = inOneLine(appointment);
  const actions = document.createElement("div");
  actions.className = "actions";
  actions.append(
    quietButton(say("add"), say("add_what", { what }), () => addToCalendar(appointment)),
    quietButton(say("cancel"), say("cancel_what", { what }), () =>
      ask({
        title: say("cancel_title"),
        what: `${what}.`,
        button: say("cancel_it"),
        busy: say("cancel_busy"),
        act: () => cancel(appointment),
        done: () => showCancelled(appointment),
      }),
    ),
  );
  made.append(actions);
  return made;
}

async function addToCalendar(appointment) {
  try {
    const known = appointment.duration_minutes ? appointment : { ...appointment, ...(await services.details(appointment)) };
    const summary = say("calendar_summary", { advisor: advisorOf(appointment) });
    const file = calendarFile(known, uidOf(known, services.studentId()), summary);
    save(file, `${known.starts_at.slice(0, 10)}.ics`);
  } catch (error) {
    const [problem] = explain(error);
    if (problem) notify(problem.message);
  }
}

async function cancel(appointment) {
  try {
    await services.cancel(appointment);
  } catch (error) {
    // The appointment is already gone.
    if (error.code !== "NOT_FOUND") throw error;
  }
}

/** Appointments by their keys, as pairs, in the order of time. */
const inOrder = (byKey) => [...byKey].sort(([one], [other]) => (one < other ? -1 : 1));

/** Cancels all appointments to come. Throws a refusal that names the next one if it is too late for it; then all stay. */
export async function cancelUpcoming() {
  const from = inUtc(Date.now());
  const upcoming = new Map([...booked].filter(([, { starts_at }]) => starts_at >= from));
  let after;
  do {
    const page = await services.listAppointments({ from, limit: 100, after });
    for (const appointment of page.appointments) upcoming.set(key(appointment), appointment);
    after = page.next;
  } while (after);
  // The next first: if it is not too late for this one, it is for none.
  for (const [key, appointment] of inOrder(upcoming)) {
    try {
      await cancel(appointment);
      booked.delete(key);
    } catch (error) {
      if (error.code !== "TOO_LATE") throw error;
      await findNames([appointment.advisor_id]);
      const message = say("delete_too_late", { what: inOneLine(appointment) });
      throw new services.Refusal(error.code, { problems: [{ message }] });
    }
  }
}

function showCancelled(appointment) {
  appointments.delete(key(appointment));
  booked.delete(key(appointment));
  showAppointments();
  notify(say("cancelled", { what: inOneLine(appointment) }));
  $("appointments-title").focus();
}

function showAppointments(status) {
  const sorted = inOrder(appointments);
  $("list").replaceChildren(...sorted.map(([, appointment]) => upcomingItem(appointment)));
  $("list").hidden = sorted.length === 0;
  $("list-status").textContent = status || (sorted.length ? "" : say("no_appointments"));
}

function focusAppointment(wanted) {
  [...$("list").children].find(({ dataset }) => wanted(dataset.key))?.focus();
}

/** Replaces an appointment that the list shows; it could have been cancelled meanwhile. */
function replaceItem(appointment) {
  const old = [...$("list").children].find(({ dataset }) => dataset.key === key(appointment));
  // Replacing an element would take the focus away from what is in it.
  if (old && old !== document.activeElement && old.contains(document.activeElement)) return;
  const focused = old === document.activeElement;
  const made = upcomingItem(appointment);
  old?.replaceWith(made);
  if (focused) made.focus({ preventScroll: true });
}

function keep(appointment) {
  if (!appointments.has(key(appointment))) return;
  const known = { ...appointments.get(key(appointment)), ...appointment };
  appointments.set(key(known), known);
  replaceItem(known);
}

/** Adds names, durations and places, which the list of the API does not have; the list does not wait for them. */
async function complete(page) {
  findNames(page.map(({ advisor_id }) => advisor_id)).then((found) => {
    for (const appointment of page) if (found.includes(appointment.advisor_id)) keep(appointment);
  });
  const unknown = page.filter((appointment) => !appointments.get(key(appointment)).duration_minutes);
  await Promise.allSettled(unknown.map(async (appointment) => keep(await services.details(appointment))));
}

function loadUpcoming() {
  return loadWith($("more"), $("list-status"), say("appointments_failed"), async () => {
    const { appointments: page, next } = await services.listAppointments({ from: loadedAt, after: nextPage });
    for (const appointment of page) {
      appointments.set(key(appointment), { ...appointment, ...booked.get(key(appointment)) });
      booked.delete(key(appointment));
    }
    nextPage = next;
    showAppointments();
    complete(page);
    return next;
  });
}

function forgetAppointments() {
  appointments.clear();
  nextPage = undefined;
  loadedAt = inUtc(Date.now());
  $("more").hidden = true;
  $("past-list").replaceChildren();
  $("past-list").hidden = true;
  $("past-status").textContent = "";
  $("past-more").hidden = false;
  $("past-more").textContent = say("show_past");
}

whenLeaving.push(() => {
  booked.clear();
  forgetAppointments();
  showAppointments();
});

whenShown.appointments = async () => {
  forgetAppointments();
  for (const [key, appointment] of booked) appointments.set(key, appointment);
  if (booked.size) showAppointments();
  else showAppointments(say("loading"));
  focusAppointment((key) => key === toFocus);
  await loadUpcoming();
  focusAppointment((key) => key === toFocus);
  toFocus = undefined;
};

whenPressed($("more"), async () => {
  const before = new Set(appointments.keys());
  await loadUpcoming();
  focusAppointment((key) => !before.has(key));
});

// ---- Past appointments, the latest first

async function loadPast() {
  const past = [];
  let after;
  do {
    const page = await services.listAppointments({ limit: 100, after });
    past.push(...page.appointments.filter(({ starts_at }) => starts_at < loadedAt));
    // Pages are in the order of time: one with an appointment to come is the last.
    after = page.appointments.at(-1)?.starts_at < loadedAt ? page.next : undefined;
  } while (after);
  return past.reverse();
}

whenPressed($("past-more"), () =>
  loadWith($("past-more"), $("past-status"), say("appointments_failed"), async () => {
    $("past-status").textContent = say("loading");
    const past = await loadPast();
    await findNames(past.map(({ advisor_id }) => advisor_id));
    $("past-list").replaceChildren(...past.map(item));
    $("past-list").hidden = past.length === 0;
    $("past-status").textContent = past.length ? "" : say("no_past");
    ($("past-list").firstElementChild ?? $("past-title")).focus();
    return false;
  }),
);

// ---- Free times

offerChoices($("booking-advisor"), Object.entries(ADVISORS));

/** The slots that are shown, and where their next page starts. */
let slots = [];
let nextSlots;
let shownAdvisor;

function timeButton(slot) {
  const words = inWords(slot);
  const made = document.createElement("button");
  made.type = "submit";
  made.className = "quiet";
  made.name = "starts_at";
  made.value = slot.starts_at;
  made.append(words.start);
  if (words.own) {
    const own = document.createElement("small");
    own.textContent = words.own;
    made.append(" ", own);
  }
  const label = say("book_time", { time: words.start, date: words.date });
  made.ariaLabel = words.own ? `${label}. ${say("own_time", { time: words.own, zone: words.ownZone })}` : label;
  return made;
}

function slotGroup(group) {
  const [first] = group;
  const made = document.createElement("div");
  const list = document.createElement("ul");
  list.className = "times";
  list.append(
    ...group.map((slot) => {
      const item = document.createElement("li");
      item.append(timeButton(slot));
      return item;
    }),
  );
  if (first.duration_minutes) {
    made.append(paragraph("", say("minutes_at", { minutes: first.duration_minutes, place: first.place })));
  }
  made.append(list);
  return made;
}

/** Slots by day and then by place, in the order of time. */
function showSlots() {
  const days = Map.groupBy(slots, (slot) => inWords(slot).date);
  $("slots").replaceChildren(
    ...[...days].flatMap(([date, ofDay]) => {
      const title = document.createElement("h3");
      title.textContent = date;
      const groups = Map.groupBy(ofDay, ({ duration_minutes, place }) => `${duration_minutes} ${place}`);
      return [title, ...[...groups.values()].map(slotGroup)];
    }),
  );
  $("slots-status").textContent = slots.length ? hint() : say(shownAdvisor ? "no_free_times" : "choose_first");
}

function hint() {
  const all = slots.map(inWords);
  const { zone, ownZone: own } = all.find(({ own }) => own) ?? all[0];
  return `${say("free_times_hint")} ${own ? say("times_in_both", { zone, own }) : say("times_in", { zone })}`;
}

function forgetSlots() {
  slots = [];
  nextSlots = undefined;
  $("slots-more").hidden = true;
  $("slots").replaceChildren();
}

function loadSlots() {
  const advisor = shownAdvisor;
  return loadWith($("slots-more"), $("slots-status"), say("free_times_failed"), async () => {
    const page = await services.listFreeSlots(advisor, { limit: 50, after: nextSlots });
    // Otherwise, another advisor has been chosen meanwhile.
    if (advisor === shownAdvisor) {
      slots.push(...page.slots);
      nextSlots = page.next;
      showSlots();
    }
    return nextSlots;
  });
}

function reloadSlots() {
  forgetSlots();
  if (!shownAdvisor) {
    showSlots();
    return undefined;
  }
  $("slots-status").textContent = say("loading");
  return loadSlots();
}

/** With the parameter `advisor`, the student came to book an appointment with that advisor. */
whenShown.book = async (parameters) => {
  const select = $("booking-advisor");
  const wanted = parameters.get("advisor");
  shownAdvisor = undefined;
  forgetSlots();
  const found = await chooseAdvisor(select, wanted);
  shownAdvisor = select.value;
  if (found) select.focus();
  reloadSlots();
};

$("booking-advisor").addEventListener("change", () => {
  shownAdvisor = $("booking-advisor").value;
  // Unlike a new hash, this leaves the focus where it is.
  history.replaceState(null, "", `#${addressOf("book", shownAdvisor ? { advisor: shownAdvisor } : {})}`);
  reloadSlots();
});

whenLeaving.push(() => {
  shownAdvisor = undefined;
  forgetSlots();
});

whenPressed($("slots-more"), async () => {
  const before = slots.length;
  await loadSlots();
  $("slots").querySelector(`[value="${slots[before]?.starts_at}"]`)?.focus();
});

/** Refusals after which a slot is not free any more, and others that depend on the slot. */
const GONE = ["SLOT_GONE", "SLOT_TAKEN", "TOO_LATE"];
const REFUSED = ["OTHER_BOOKING", "TOO_MANY_BOOKINGS"];

whenSubmitted("booking-form", async ({ advisor_id, starts_at, topic }) => {
  const slot = slots.find((slot) => slot.starts_at === starts_at);
  let answer;
  try {
    answer = await services.book({ advisor_id, starts_at, topic: topic.trim() || undefined });
  } catch (error) {
    const code = error.code === "NOT_FOUND" ? "SLOT_GONE" : error.code;
    if (![...GONE, ...REFUSED].includes(code)) throw error;
    if (GONE.includes(code)) {
      slots = slots.filter((other) => other !== slot);
      showSlots();
    }
    const { date, start } = inWords(slot);
    throw new services.Refusal(code, { problems: [{ message: `${date}, ${start}: ${say(code)}` }] });
  }
  const appointment = { topic: topic.trim() || undefined, ...slot, ...answer };
  booked.set(key(appointment), appointment);
  toFocus = key(appointment);
  $("booking-topic").value = "";
  go("appointments", say("booked", { what: inOneLine(appointment) }));
});
