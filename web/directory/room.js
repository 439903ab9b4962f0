// The directory on the pages: a search for advisors, an advisor's view, and the names of all advisors.

import { addressOf, advisorNames, explain, findAdvisors, loadWith, paragraph, whenPressed, whenShown, whenSubmitted } from "../app.js";
import { fill, nameDocument, speaker } from "../language.js";
import { request } from "../services.js";
import { TEXTS } from "./texts.js";

const $ = (id) => document.getElementById(id);
const get = (path) => request("directory_url", "GET", path);

const say = speaker(TEXTS);

/** Adds to the page, with texts. */
function insert(element, place, html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  fill(made.content, say);
  element[place](made.content);
}

insert(document.querySelector("nav"), "prepend", `<a href="#directory" data-text="find"></a>`);

insert(
  $("booking-advisor"),
  "before",
  `<p class="hint"><span data-text="someone_else"></span> <a href="#directory" data-text="find"></a></p>`,
);

insert(
  document.querySelector("main"),
  "append",
  `<section id="directory" aria-labelledby="directory-title" hidden>
    <h1 id="directory-title" tabindex="-1" data-text="find"></h1>
    <p class="lead" data-text="lead"></p>
    <form id="directory-form" role="search" aria-labelledby="directory-title" data-text-data-busy="busy" novalidate>
      <div class="pair">
        <div class="field">
          <label for="directory-q" data-text="q"></label>
          <input id="directory-q" name="q" maxlength="100" autocapitalize="none" autocomplete="off" spellcheck="false" />
        </div>
        <div class="field">
          <label for="directory-department" data-text="department"></label>
          <select id="directory-department" name="department"><option value="" data-text="all_departments"></option></select>
        </div>
      </div>
      <button type="submit" data-text="search"></button>
    </form>
    <h2 id="directory-results" data-text="advisors"></h2>
    <p class="progress" id="directory-status" role="status"></p>
    <ol class="list" id="directory-list" aria-labelledby="directory-results"></ol>
    <p><button type="button" class="quiet" id="directory-more" hidden></button></p>
  </section>

  <section id="advisor" aria-labelledby="advisor-title" hidden>
    <h1 id="advisor-title" tabindex="-1" data-text="advisor"></h1>
    <p class="progress" id="advisor-status" role="status"></p>
    <p><button type="button" class="quiet" id="advisor-again" hidden></button></p>
    <div id="advisor-details" hidden>
      <p class="lead" id="advisor-departments"></p>
      <p><a class="button" id="advisor-book" data-text="book"></a></p>
      <dl id="advisor-contact"></dl>
      <h2 id="advisor-courses-title" data-text="courses"></h2>
      <ul class="list" id="advisor-courses" aria-labelledby="advisor-courses-title"></ul>
    </div>
    <p class="aside"><a id="advisor-back" href="#directory" data-text="find_another"></a></p>
  </section>`,
);

const linkTo = (view, parameters) => `#${addressOf(view, parameters)}`;
const departmentsOf = ({ departments }) => departments.map(({ name }) => name).join(", ");

function learnName({ id, given_name, family_name }) {
  const name = `${given_name} ${family_name}`;
  advisorNames.set(id, name);
  return name;
}

findAdvisors.push((ids) =>
  Promise.allSettled(ids.map(async (id) => learnName(await get(`/advisors/${encodeURIComponent(id)}`)))),
);

// ---- The search

/** The search whose results are shown: its `q` and `department`, and where its next page starts. */
let shown = {};

function item(advisor) {
  const made = document.createElement("li");
  made.tabIndex = -1;
  const link = document.createElement("a");
  link.href = linkTo("advisor", { id: advisor.id });
  link.textContent = learnName(advisor);
  made.append(paragraph("title", link), paragraph("", departmentsOf(advisor)));
  return made;
}

function inWords(advisors) {
  if (shown.next) return say("first_found", { advisors });
  if (advisors) return advisors === 1 ? say("one_found") : say("found", { advisors });
  return say("none_found");
}

function loadPage() {
  const search = shown;
  const list = $("directory-list");
  const failed = say("search_failed");
  return loadWith($("directory-more"), $("directory-status"), failed, async () => {
    let page;
    try {
      const after = search.next ? { after: search.next } : {};
      page = await get(`/advisors?${new URLSearchParams({ ...search.fields, ...after })}`);
    } catch (error) {
      if (search === shown) throw error;
    }
    // Otherwise, this is the answer to an earlier search.
    if (search === shown) {
      search.next = page.next;
      list.append(...page.advisors.map(item));
      $("directory-status").textContent = inWords(list.children.length);
    }
    return shown.next;
  });
}

/** Shows the results of a search, unless they are shown. Fields without a value don't count. */
async function search(fields) {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value?.trim()));
  const address = linkTo("directory", given);
  $("advisor-back").href = address;
  if (address === shown.address && $("directory-list").hasChildNodes()) return;
  shown = { fields: given, address };
  $("directory-list").replaceChildren();
  $("directory-more").hidden = true;
  $("directory-status").textContent = say("loading");
  await loadPage();
}

async function offerDepartments() {
  const select = $("directory-department");
  if (select.length > 1) return;
  const { departments } = await get("/departments");
  select.append(...departments.map(({ id, name }) => new Option(name, id)));
}

whenShown.directory = async (parameters) => {
  const [q, department] = [parameters.get("q") ?? "", parameters.get("department") ?? ""];
  $("directory-q").value = q;
  search({ q, department });
  // Without the departments to choose from, the other field still finds their advisors.
  await offerDepartments().catch(explain);
  $("directory-department").value = department;
};

whenSubmitted("directory-form", async (fields) => {
  const searched = search(fields);
  // Unlike a new hash, this leaves the focus where it is.
  history.pushState(null, "", shown.address);
  await searched;
});

whenPressed($("directory-more"), async () => {
  const before = $("directory-list").children.length;
  await loadPage();
  $("directory-list").children[before]?.focus();
});

// ---- An advisor

function fact(name, ...content) {
  const [term, value] = ["dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = name;
  value.append(...content);
  return [term, value];
}

function nameAdvisor(name) {
  $("advisor-title").textContent = name;
  nameDocument(name);
}

function showAdvisor(advisor) {
  nameAdvisor(learnName(advisor));
  $("advisor-departments").textContent = departmentsOf(advisor);
  $("advisor-book").href = linkTo("book", { advisor: advisor.id });
  const mail = document.createElement("a");
  mail.href = `mailto:${encodeURIComponent(advisor.email).replace("%40", "@")}`;
  mail.textContent = advisor.email;
  $("advisor-contact").replaceChildren(
    ...(advisor.office ? fact(say("office"), advisor.office) : []),
    ...fact(say("email"), mail),
  );
  $("advisor-courses").replaceChildren(
    ...advisor.courses.map(({ title }) => {
      const made = document.createElement("li");
      made.append(paragraph("", title));
      return made;
    }),
  );
  $("advisor-courses").hidden = $("advisor-courses-title").hidden = advisor.courses.length === 0;
  $("advisor-details").hidden = false;
}

let shownAdvisor;

whenShown.advisor = (parameters) => {
  shownAdvisor = parameters.get("id") ?? "";
  nameAdvisor(advisorNames.get(shownAdvisor) ?? say("advisor"));
  $("advisor-details").hidden = true;
  $("advisor-status").textContent = say("loading");
  return loadAdvisor();
};

function loadAdvisor() {
  const id = shownAdvisor;
  return loadWith($("advisor-again"), $("advisor-status"), say("advisor_failed"), async () => {
    let advisor;
    try {
      advisor = await get(`/advisors/${encodeURIComponent(id)}`);
    } catch (error) {
      if (error.code !== "NOT_FOUND") throw error;
    }
    // Otherwise, another advisor has been chosen meanwhile.
    if (id !== shownAdvisor) return;
    $("advisor-status").textContent = advisor ? "" : say("no_such_advisor");
    if (advisor) showAdvisor(advisor);
  });
}

whenPressed($("advisor-again"), loadAdvisor);
