// The view of staff: an advisor's week, and the slots that they offer and withdraw. The API checks who is staff.

import {
  addressOf,
  ask,
  chooseAdvisor,
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
import { say } from "./language.js";
import { ADVISORS, TIME_ZONE } from "./school.js";
import * as services from "./services.js";
import { daysAfter, formatDate, inUtc, inWords, timeAt, wallClock, weekdayOf, zoneName, zoneOf } from "./times.js";

const $ = (id) => document.getElementById(id);

const today = () => wallClock(Date.now(), TIME_ZONE).slice(0, 10);
const mondayOf = (date) => daysAfter(date, 1 - weekdayOf(date));

// ---- A week

/** The advisor and the Monday that are shown. */
let shown = {};
/** The week's slots, by their start; those that are taken have a `student_id`. */
const slots = new Map();

const weekInWords = (monday) => {
  const words = [monday, daysAfter(monday, 6)].map((date) => formatDate(date, { dateStyle: "long" }));
  return words.join(" – ");
};

function item(slot) {
  const words = inWords(slot);
  const made = document.createElement("li");
  made.tabIndex = -1;
  made.dataset.key = slot.starts_at;
  made.append(
    paragraph("title", words.time),
    paragraph(slot.student_id ? "slot" : "free", slot.student_id ? (slot.student_email ?? slot.student_id) : say("free")),
  );
  for (const [className, text] of [
    ["topic", slot.topic],
    ["", slot.place],
    ["hint", zoneOf(slot) === TIME_ZONE ? "" : say("zone", words)],
  ]) {
    if (text) made.append(paragraph(className, text));
  }
  if (Date.parse(slot.starts_at) < Date.now()) {
    made.className = "past";
    return made;
  }
  const actions = document.createElement("div");
  actions.className = "actions";
  actions.append(quietButton(say("withdraw"), say("withdraw_what", { what: inOneLine(slot) }), () => askToWithdraw(slot)));
  made.append(actions);
  return made;
}

function inOneLine(slot) {
  const { date, time } = inWords(slot);
  return `${date}, ${time}`;
}

function showWeek() {
  const sorted = [...slots.values()].sort((one, other) => (one.starts_at < other.starts_at ? -1 : 1));
  $("week-days").replaceChildren(
    ...[...Map.groupBy(sorted, (slot) => inWords(slot).date)].flatMap(([date, ofDay]) => {
      const title = document.createElement("h2");
      title.textContent = date;
      const list = document.createElement("ol");
      list.className = "list";
      list.append(...ofDay.map(item));
      return [title, list];
    }),
  );
  const booked = sorted.filter(({ student_id }) => student_id).length;
  const sum = { week: weekInWords(shown.monday), booked, free: sorted.length - booked };
  $("week-status").textContent = `${say("week_sum", sum)} ${say("times_in", { zone: zoneName(TIME_ZONE) })}`;
}

/** All that begins in the week; `list` loads a page. */
async function loadAll(list, from, end) {
  const found = [];
  let page = {};
  do {
    page = await list({ from, limit: 100, after: page.next });
    found.push(...(page.slots ?? page.appointments));
  } while (page.next && !(found.at(-1)?.starts_at >= end));
  return found.filter(({ starts_at }) => starts_at < end);
}

function loadWeek() {
  const week = shown;
  $("week-status").textContent = say("loading");
  return loadWith($("week-again"), $("week-status"), say("week_failed"), async () => {
    const [from, end] = [week.monday, daysAfter(week.monday, 7)].map((date) => inUtc(timeAt(`${date}T00:00`, TIME_ZONE)));
    const loaded = await Promise.all([
      loadAll((page) => services.listFreeSlots(week.advisor, page), from, end),
      loadAll((page) => services.listAdvisorAppointments(week.advisor, page), from, end),
    ]);
    // Otherwise, another week has been chosen meanwhile.
    if (week !== shown) return false;
    slots.clear();
    // The index of free slots follows the table with a delay: an appointment tells the newer state.
    for (const slot of loaded.flat()) slots.set(slot.starts_at, slot);
    showWeek();
    return false;
  });
}

const addressOfWeek = (advisor, monday) => addressOf("week", advisor ? { advisor, from: monday } : { from: monday });

offerChoices($("week-advisor"), Object.entries(ADVISORS));

whenShown.week = async (parameters) => {
  const from = parameters.get("from");
  const week = { monday: mondayOf(Number.isNaN(Date.parse(from ?? "")) ? today() : from) };
  shown = week;
  slots.clear();
  $("week-days").replaceChildren();
  $("week-again").hidden = true;
  $("offer-first").min = today();
  $("offer-last").min = today();
  await chooseAdvisor($("week-advisor"), parameters.get("advisor"));
  week.advisor = $("week-advisor").value;
  $("week-before").href = `#${addressOfWeek(week.advisor, daysAfter(week.monday, -7))}`;
  $("week-after").href = `#${addressOfWeek(week.advisor, daysAfter(week.monday, 7))}`;
  if (week.advisor) loadWeek();
  else $("week-status").textContent = say("week_choose");
};

$("week-advisor").addEventListener("change", () => {
  const address = addressOfWeek($("week-advisor").value, shown.monday);
  // Unlike a new hash, this leaves the focus where it is.
  history.replaceState(null, "", `#${address}`);
  whenShown.week(new URLSearchParams(address.split("?")[1]));
});

whenPressed($("week-again"), loadWeek);

// On a phone, the form is below the week. A link to it would change the address's hash, which names the view.
$("to-offer").addEventListener("click", () => $("offer-title").focus());

whenLeaving.push(() => {
  shown = {};
  slots.clear();
  $("week-days").replaceChildren();
  $("week-status").textContent = "";
});

// ---- Withdraw

function askToWithdraw(slot) {
  const { student_id, student_email } = slot;
  const what = inOneLine(slot);
  ask({
    title: say("withdraw_title"),
    what: student_id ? say("withdraw_taken", { what, student: student_email ?? student_id }) : say("withdraw_free", { what }),
    button: say(student_id ? "withdraw_and_cancel" : "withdraw_it"),
    busy: say("withdraw_busy"),
    act: () => withdraw(slot),
    done: () => showWithdrawn(slot),
  });
}

async function withdraw(slot) {
  try {
    await services.withdraw(slot);
  } catch (error) {
    // Others have changed the slot meanwhile: the list shows what it is now.
    if (["SLOT_TAKEN", "SLOT_FREE"].includes(error.code)) loadWeek();
    if (error.code === "SLOT_TAKEN") throw new services.Refusal("SLOT_BOOKED");
    // The slot is already gone.
    if (error.code !== "NOT_FOUND") throw error;
  }
}

function showWithdrawn(slot) {
  slots.delete(slot.starts_at);
  showWeek();
  notify(say("withdrawn", { what: inOneLine(slot) }));
  $("week-title").focus();
}

// ---- Offer

/** The most slots that are offered together: each is a request. */
const MOST_SLOTS = 400;

offerChoices(
  $("offer-weekday"),
  [1, 2, 3, 4, 5, 6, 7].map((day) => [day, formatDate(daysAfter("2024-01-01", day - 1), { weekday: "long" })]),
);
$("offer-hint").textContent = say("offer_hint", { zone: zoneName(TIME_ZONE) });

/** Each wall-clock time at which a slot begins: `2030-05-06T09:00`. */
function wallClocks({ weekday, first, last, from, until, duration_minutes }) {
  const minutesOf = (time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3, 5));
  const starts = [];
  const length = Number(duration_minutes);
  for (let minute = minutesOf(from); minute + length <= minutesOf(until); minute += length) {
    starts.push([minute / 60, minute % 60].map((number) => String(Math.floor(number)).padStart(2, "0")).join(":"));
  }
  if (starts.length === 0) throw problem("until", say("no_slot_fits"));
  const weekdays = weekday.split(" ").map(Number);
  const days = [];
  for (let date = first; date <= last; date = daysAfter(date, 1)) {
    if (weekdays.includes(weekdayOf(date))) days.push(date);
  }
  const sum = days.length * starts.length;
  if (sum > MOST_SLOTS) throw problem("last", say("too_many_slots", { slots: sum, most: MOST_SLOTS }));
  return days.flatMap((date) => starts.map((start) => `${date}T${start}`));
}

const problem = (field, message) => new services.Refusal("PROBLEM", { problems: [{ field, message }] });

whenSubmitted("offer-form", async (fields) => {
  const { advisor_id, first, duration_minutes, place } = fields;
  const walls = wallClocks(fields);
  const skipped = walls.filter((wall) => timeAt(wall, TIME_ZONE) === undefined);
  const starts = walls.map((wall) => timeAt(wall, TIME_ZONE)).filter((time) => time > Date.now());
  if (starts.length === 0) throw problem("last", say("no_such_day"));
  let before = 0;
  for (const start of starts) {
    const slot = { starts_at: inUtc(start), duration_minutes: Number(duration_minutes), place: place.trim() };
    try {
      await services.offer({ advisor_id, ...slot, time_zone: TIME_ZONE });
    } catch (error) {
      // After a failure, all are offered once more.
      if (error.code !== "SLOT_OFFERED") throw error;
      before += 1;
    }
  }
  const notice = [say("offered", { offered: starts.length - before, before })];
  if (skipped.length) {
    const times = skipped.map((wall) => formatDate(`${wall}Z`, { dateStyle: "medium", timeStyle: "short" }));
    notice.push(say("left_out", { times: times.join("; ") }));
  }
  go(addressOfWeek(advisor_id, mondayOf(first)), notice.join(" "));
});
