// Forms: one request at a time. Problems are shown at their fields, and in a summary above.

/**
 * Calls `send` with the typed values when a complete form is submitted. `send` may throw. `explain` returns the problems to
 * show for an error, each `{ field?, message }`, or throws an error that it doesn't know.
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
    const empty = [...form.elements].filter((field) => field.required && field.value.trim() === "");
    if (empty.length) {
      showProblems(
        form,
        empty.map((field) => ({ field: field.name, message: field.dataset.empty })),
      );
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

export function clearProblems(form) {
  form.querySelector(".summary")?.remove();
  for (const error of form.querySelectorAll(".error")) {
    const field = document.getElementById(error.dataset.for);
    field.ariaInvalid = null;
    field.removeAttribute("aria-describedby");
    error.remove();
  }
}

function showProblems(form, problems) {
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
    if (field) showAtField(form.elements[field], message);
  }
  summary.focus();
}

function summaryItem(form, { field: name, message }) {
  const item = document.createElement("li");
  if (!name) {
    item.append(message);
    return item;
  }
  const field = form.elements[name];
  const jump = document.createElement("a");
  jump.href = `#${field.id}`;
  // The summary names the field; beside the field, the message is enough.
  const label = field.labels[0].textContent;
  jump.textContent = message.toLowerCase().includes(label.toLowerCase()) ? message : `${label}: ${message}`;
  jump.addEventListener("click", (event) => {
    event.preventDefault();
    field.focus();
  });
  item.append(jump);
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
  field.setAttribute("aria-describedby", error.id);
}
