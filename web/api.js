// The documentation of the APIs. Nothing is sent to them: a visitor's token stays with the other pages.

// Swagger UI skips levels of headings, and makes a landmark of each table.
new MutationObserver(() => {
  for (const heading of document.querySelectorAll("h4.opblock-title")) heading.ariaLevel = 2;
  for (const heading of document.querySelectorAll("h4:not(.opblock-title), h5")) heading.ariaLevel = 3;
  for (const table of document.querySelectorAll("table[role=region]")) table.removeAttribute("role");
}).observe(document.getElementById("apis"), { childList: true, subtree: true });

const { apis } = await (await fetch("config.json")).json();
for (const room of apis) {
  const domNode = document.createElement("div");
  document.getElementById("apis").append(domNode);
  // Without `validatorUrl: null`, Swagger UI would tell a server of its own the address.
  globalThis.SwaggerUIBundle({ url: `api/${room}.json`, domNode, supportedSubmitMethods: [], syntaxHighlight: { activated: false }, validatorUrl: null });
}
