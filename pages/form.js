// Forms: one request at a time. Problems are shown at their fields, and in a summary above. The texts are attributes of the
// page: `data-problems` and `data-busy` of a form, `data-empty` and `data-range` of a field.

/**
 * Calls `send` with the typed values when a complete form is submitted. `send` may throw. `explain` returns the problems to
 * show for an error, each `{ field?, message, link? }`, or throws an error that it doesn't know.
 */
export function onSubmit(form, send, explain) {
  const status = form.querySelector(".status") ?? document.createElement("p");
  if (!status.isConnected) {
    status.className = "status";
    status.role = "status";
    form.querySelector("button[type=submit]").after(status);
  }
  let sending = false;

  // The second click of a double click may come after the answer to the first.
  form.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest("button[type=submit]")) event.preventDefault();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    clearProblems(form);
    const problems = [...form.elements].flatMap(problemsOf);
    if (problems.length) {
      showProblems(form, problems);
      return;
    }
    sending = true;
    // `disabled` would take the focus away.
    event.submitter.ariaDisabled = "true";
    status.textContent = form.dataset.busy;
    try {
      await send(Object.fromEntries(new FormData(form, event.submitter)));
    } catch (error) {
      showProblems(form, explain(error));
    } finally {
      sending = false;
      event.submitter.ariaDisabled = null;
      status.textContent = "";
    }
  });
  form.addEventListener("reset", () => clearProblems(form));
}

/** Problems that need no request. A date that is entered in part is empty. */
function problemsOf(field) {
  if (field.required && field.value.trim() === "") {
    return { field: field.name, message: field.dataset.empty };
  }
  const { rangeUnderflow, rangeOverflow, stepMismatch } = field.validity;
  if (rangeUnderflow || rangeOverflow || stepMismatch) return { field: field.name, message: rangeOf(field) };
  return [];
}

/** `{first}` and `{last}` are the dates of the range. */
function rangeOf({ min, max, dataset }) {
  // The browser reads a date without a time as UTC.
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeZone: "UTC" });
  const inWords = (date) => format.format(new Date(date));
  return dataset.range.replace("{first}", () => inWords(min)).replace("{last}", () => inWords(max));
}

export function clearProblems(form) {
  form.querySelector(".summary")?.remove();
  for (const error of form.querySelectorAll(".error")) {
    const field = document.getElementById(error.dataset.for);
    const described = field.getAttribute("aria-describedby").replace(error.id, "").trim();
    field.ariaInvalid = null;
    if (described) field.setAttribute("aria-describedby", described);
    else field.removeAttribute("aria-describedby");
    error.remove();
  }
}

function showProblems(form, problems) {
  if (problems.length === 0) return;
  const summary = document.createElement("div");
  summary.className = "summary";
  summary.tabIndex = -1;
  summary.role = "alert";
  const title = document.createElement("h2");
  title.id = `${form.id}-problems`;
  title.textContent = form.dataset.problems;
  summary.setAttribute("aria-labelledby", title.id);
  const items = document.createElement("ul");
  items.append(...problems.map((problem) => summaryItem(form, problem)));
  summary.append(title, items);
  form.prepend(summary);
  for (const { field, message } of problems) {
    if (form.elements[field]) showAtField(form.elements[field], message);
  }
  summary.focus();
}

function summaryItem(form, { field: name, message, link }) {
  const item = document.createElement("li");
  const field = form.elements[name];
  if (field) {
    const jump = document.createElement("a");
    jump.href = `#${field.id}`;
    // The summary names the field; beside the field, the message is enough.
    const name = field.labels[0].textContent;
    jump.textContent = message.toLowerCase().includes(name.toLowerCase()) ? message : `${name}: ${message}`;
    jump.addEventListener("click", (event) => {
      // A link to the field would change the address's hash, which names the view.
      event.preventDefault();
      field.focus();
    });
    item.append(jump);
  } else {
    item.append(message);
  }
  if (link) {
    const elsewhere = document.createElement("a");
    elsewhere.href = link.href;
    elsewhere.textContent = link.text;
    item.append(" ", elsewhere);
  }
  return item;
}

function showAtField(field, message) {
  const error = document.createElement("p");
  error.className = "error";
  error.id = `${field.id}-error`;
  error.dataset.for = field.id;
  error.textContent = message;
  field.before(error);
  field.ariaInvalid = "true";
  field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") ?? ""} ${error.id}`.trim());
}
