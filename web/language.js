// The visitor's language, and the texts of the pages in it.

import { TEXTS } from "./texts.js";

const spoken = (tag) => tag.split("-")[0];

/** The first of the visitor's languages that the pages have, with the visitor's region, which formats follow. */
export const language = navigator.languages.find((tag) => Object.hasOwn(TEXTS, spoken(tag))) ?? "en-GB";
document.documentElement.lang = language;

/** A function that returns the text with a key, in which `{names}` are replaced by values. */
export const speaker =
  (texts) =>
  (key, values = {}) =>
    texts[spoken(language)][key].replace(/\{(\w+)\}/g, (braces, name) => values[name] ?? braces);

export const say = speaker(TEXTS);

/** Whether the pages have a text with this key; for keys that others choose. */
export const knows = (key) => Object.hasOwn(TEXTS[spoken(language)], key ?? "");

/** Fills in texts: `data-text="key"` names an element's content, and `data-text-title="key"` its attribute `title`. */
export function fill(root, say) {
  for (const element of root.querySelectorAll("*")) {
    for (const { name, value } of [...element.attributes]) {
      if (name === "data-text") element.textContent = say(value);
      else if (name.startsWith("data-text-")) element.setAttribute(name.slice("data-text-".length), say(value));
    }
  }
}

export function nameDocument(title) {
  document.title = `${title} · Registrar`;
}
