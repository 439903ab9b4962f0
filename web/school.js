// The school's own choices. The APIs get the identifiers; the page shows the names.

export const ADVISORS = {
  "ada-lovelace": "Ada Lovelace",
  "alan-turing": "Alan Turing",
  "grace-hopper": "Grace Hopper",
};

/** The API accepts the same programmes. */
export const PROGRAMMES = {
  "computer-science": "Computer science",
  history: "History",
  literature: "Literature",
  mathematics: "Mathematics",
  physics: "Physics",
};

/** The times at which appointments begin, in the visitor's time zone. */
export const TIMES = [9, 10, 11, 12, 13, 14, 15, 16].flatMap((hour) => {
  const hours = String(hour).padStart(2, "0");
  return [`${hours}:00`, `${hours}:30`];
});
