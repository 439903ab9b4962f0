// The documentation of the APIs. Nothing is sent to them: a visitor's token stays with the other pages.

const { apis } = await (await fetch("config.json")).json();
for (const room of apis) {
  const domNode = document.createElement("div");
  document.getElementById("apis").append(domNode);
  // Without `validatorUrl: null`, Swagger UI would tell a server of its own the address.
  globalThis.SwaggerUIBundle({ url: `api/${room}.json`, domNode, supportedSubmitMethods: [], validatorUrl: null });
}
