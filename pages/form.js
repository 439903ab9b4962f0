// Forms: one request at a time. Problems are shown at their fields, and in a summary above.

// The browser reads a date without a time as UTC.
const dateFormat = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeZone: "UTC" });

/**
 * Calls `send` with the typed values when a complete form is submitted. `send` may throw. `explain` returns the problems to
 * show for an error, each `{ field?, message, link? }`, or throws an error that it doesn't know.
 */
export function onSubmit(form, send, explain) {
  const button = form.querySelector("button[type=submit]");
  const status = document.createElement("p");
  status.className = "status";
  status.role = "status";
  button.after(status);

  // The second click of a double click may come after the answer to the first.
  button.addEventListener("click", (event) => {
    if (event.detail > 1) event.preventDefault();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // `disabled` would take the focus away.
    if (button.ariaDisabled) return;
    clearProblems(form);
    const problems = [...form.elements].flatMap(problemsOf);
    if (problems.length) {
      showProblems(form, problems);
      return;
    }
    button.ariaDisabled = "true";
    status.textContent = form.dataset.busy;
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (error) {
      showProblems(form, explain(error));
    } finally {
      button.ariaDisabled = null;
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
  if (field.validity.rangeUnderflow || field.validity.rangeOverflow) {
    const [first, last] = [field.min, field.max].map((date) => dateFormat.format(new Date(date)));
    return { field: field.name, message: `Choose a date from ${first} to ${last}.` };
  }
  return [];
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
  title.textContent = "There is a problem";
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
