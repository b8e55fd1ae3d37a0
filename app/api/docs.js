// Swagger UI with what it lacks: the scheme of the reader, a filter that finds losses, and two error answers instead of seven.

const OF_LOSSES = new Set(["evaluate", "analyze", "train", "list_losses", "describe_loss", "draw_curve", "compare", "recommend", "check_gradient"]);
const SHORTEST = 2;

const dark = matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();

/** @type {string[]} names and aliases of all losses */
let losses = [];
fetch("v1/losses")
  .then((response) => response.json())
  .then((catalogue) => {
    losses = catalogue.losses.flatMap((/** @type {any} */ loss) => [loss.name, ...loss.aliases]).map((/** @type {string} */ name) => name.toLowerCase());
  })
  .catch(() => {});

/** @param {any} groups the operations by tag @param {string} phrase @returns {any} those with the phrase, or for the loss that it names */
function opsFilter(groups, phrase) {
  const words = phrase.toLowerCase();
  const loss = words.length >= SHORTEST && losses.some((name) => name.includes(words));
  const fits = (/** @type {any} */ entry) => {
    const operation = entry.get("operation");
    if (loss && OF_LOSSES.has(operation.get("operationId"))) return true;
    return [entry.get("path"), operation.get("operationId"), operation.get("summary"), operation.get("description")].some((text) => (text ?? "").toLowerCase().includes(words));
  };
  return groups.map((/** @type {any} */ group, /** @type {string} */ tag) => (tag.includes(words) ? group : group.update("operations", (/** @type {any} */ all) => all.filter(fits)))).filter((/** @type {any} */ group) => group.get("operations").size);
}

/** @param {any} answer the document as it comes @returns {any} with names filled in, and two rows for errors instead of one for each status */
function shortened(answer) {
  if (!answer.url.endsWith("openapi.json") || !answer.text) return answer;
  const document = JSON.parse(answer.text);
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path)) {
      // Swagger UI fills in an example, and not the first of several
      for (const parameter of operation.parameters ?? []) if (parameter.in === "path") parameter.example = parameter.schema?.examples?.[0];
      if (!operation.responses?.["4XX"]) continue;
      for (const status of Object.keys(operation.responses)) if (/^[45]\d\d$/.test(status)) delete operation.responses[status];
    }
  }
  answer.text = answer.data = JSON.stringify(document);
  answer.obj = answer.body = document;
  return answer;
}

/** @type {any} */ (window).SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  filter: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  plugins: [() => ({ fn: { opsFilter } })],
  responseInterceptor: shortened,
});
