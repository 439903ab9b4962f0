// Calendar files: RFC 5545.

/** The same for each file about this appointment, also for those that are sent by e-mail. */
export const uidOf = ({ advisor_id, starts_at }, student_id) => `${advisor_id}~${starts_at}~${student_id}@registrar`;

/** A date-time in UTC: 20300506T090000Z. */
const stamp = (time) => new Date(time).toISOString().replace(/[-:]|\.\d+/g, "");

/** A value of type TEXT. No other control character may be in it. */
const text = (value) =>
  value
    .replace(/[\\;,]/g, "\\$&")
    .replace(/\r\n?|\n/g, "\\n")
    .replace(/[\u0000-\u0008\u000a-\u001f\u007f]/g, "");

/** A line of at most 75 octets, and its rest in lines that begin with a space. */
function fold(line) {
  const encoder = new TextEncoder();
  let folded = "";
  let octets = 0;
  for (const character of line) {
    const more = encoder.encode(character).length;
    if (octets + more > 75) {
      folded += "\r\n ";
      octets = 1;
    }
    folded += character;
    octets += more;
  }
  return folded;
}

/** A file with one appointment. `summary` is its title. */
export function calendarFile({ starts_at, duration_minutes, place, topic }, uid, summary) {
  const start = Date.parse(starts_at);
  const lines = [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Registrar//Pages//EN",
    "METHOD:PUBLISH",
    "BEGIN:VEVENT",
    `UID:${text(uid)}`,
    `DTSTAMP:${stamp(Date.now())}`,
    `DTSTART:${stamp(start)}`,
    ...(duration_minutes ? [`DTEND:${stamp(start + duration_minutes * 60_000)}`] : []),
    `SUMMARY:${text(summary)}`,
    ...(place ? [`LOCATION:${text(place)}`] : []),
    ...(topic ? [`DESCRIPTION:${text(topic)}`] : []),
    "END:VEVENT",
    "END:VCALENDAR",
  ];
  return lines.map((line) => `${fold(line)}\r\n`).join("");
}

/** Lets the browser save a calendar file under this name. */
export function save(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file], { type: "text/calendar;charset=utf-8" }));
  link.download = name;
  link.click();
  // The browser has begun to read it; a minute is enough for the rest.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
