// The school's own choices. The APIs get the identifiers; the page shows the names.

export const ADVISORS = {
  "ada-lovelace": "Ada Lovelace",
  "alan-turing": "Alan Turing",
  "grace-hopper": "Grace Hopper",
};

/** The API accepts the same programmes; texts.js has their names. */
export const PROGRAMMES = ["computer-science", "history", "literature", "mathematics", "physics"];

/** The zone in which staff offer times, by its name in the tz database. */
export const TIME_ZONE = "Europe/Berlin";
