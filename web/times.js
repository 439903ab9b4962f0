// Times in time zones, by the browser's own tz database.

import { language, say } from "./language.js";
import { TIME_ZONE } from "./school.js";

const DAY_MILLISECONDS = 86_400_000;

/** The visitor's own zone. */
const OWN_ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Formats are slow to make. */
const formats = new Map();

function formatOf(locale, options) {
  const key = JSON.stringify([locale, options]);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale, options));
  return formats.get(key);
}

/** What a clock in the zone shows, to the minute: `2030-05-06T09:00`. */
export function wallClock(time, timeZone) {
  const options = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" };
  const parts = formatOf("en-GB", { ...options, hourCycle: "h23", timeZone }).formatToParts(time);
  const { year, month, day, hour, minute } = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${year}-${month}-${day}T${hour}:${minute}`;
}

/**
 * The first time at which a clock in the zone shows this, in milliseconds since 1970; undefined if none does, because clocks
 * are put forward over it.
 */
export function timeAt(wall, timeZone) {
  const asUtc = Date.parse(`${wall}Z`);
  // What the zone is ahead of UTC does not change twice in two days.
  const ahead = [-DAY_MILLISECONDS, DAY_MILLISECONDS].map((difference) => {
    const time = asUtc + difference;
    return Date.parse(`${wallClock(time, timeZone)}Z`) - time;
  });
  const times = ahead.map((milliseconds) => asUtc - milliseconds).sort((one, other) => one - other);
  return times.find((time) => wallClock(time, timeZone) === wall);
}

/** As the APIs write times: `2030-05-06T09:00:00Z`. */
export const inUtc = (time) => `${new Date(time).toISOString().slice(0, 16)}:00Z`;

/** The date so many days later; dates are such as `2030-05-06`. */
export const daysAfter = (date, days) =>
  new Date(Date.parse(date) + days * DAY_MILLISECONDS).toISOString().slice(0, 10);

/** From 1, Monday, to 7. */
export const weekdayOf = (date) => new Date(date).getUTCDay() || 7;

/** A date in words, without a time zone. */
export const formatDate = (date, options) => formatOf(language, { ...options, timeZone: "UTC" }).format(new Date(date));

/** The zone's common name, because its identifier, e.g. Asia/Calcutta, may be unusual there. */
export function zoneName(timeZone) {
  const parts = formatOf(language, { timeZoneName: "longGeneric", timeZone }).formatToParts();
  return parts.find(({ type }) => type === "timeZoneName").value;
}

/** The slot's zone; the school's if the slot has none that the browser knows. */
export function zoneOf({ time_zone = TIME_ZONE }) {
  try {
    formatOf(language, { timeZone: time_zone });
    return time_zone;
  } catch {
    return TIME_ZONE;
  }
}

/**
 * A slot or an appointment in words, by the clock of its own zone: `time` until its end, if that is known. `own` is the
 * start by the visitor's clock, if that shows another time, with the weekday if that is another, too.
 */
export function inWords(slot) {
  const timeZone = zoneOf(slot);
  const start = new Date(slot.starts_at);
  const format = formatOf(language, { timeStyle: "short", timeZone });
  const words = {
    date: formatOf(language, { dateStyle: "full", timeZone }).format(start),
    start: format.format(start),
    zone: zoneName(timeZone),
  };
  words.time = slot.duration_minutes
    ? format.formatRange(start, new Date(start.getTime() + slot.duration_minutes * 60_000))
    : words.start;
  const [day, clock] = wallClock(start, timeZone).split("T");
  const [ownDay, ownClock] = wallClock(start, OWN_ZONE).split("T");
  if (ownDay !== day || ownClock !== clock) {
    const time = formatOf(language, { timeStyle: "short", timeZone: OWN_ZONE }).format(start);
    const weekday = formatOf(language, { weekday: "short", timeZone: OWN_ZONE }).format(start);
    words.own = ownDay === day ? time : `${weekday} ${time}`;
    words.ownZone = zoneName(OWN_ZONE);
  }
  return words;
}

/** A paragraph's text about zones, if the visitor's clock shows another time; otherwise empty. */
export function zonesInWords({ zone, own, ownZone }) {
  return own ? `${say("zone", { zone })}. ${say("own_time", { time: own, zone: ownZone })}.` : "";
}
