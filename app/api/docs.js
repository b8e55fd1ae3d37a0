// Swagger UI with what it lacks: the scheme of the reader, a filter that finds losses, and a document that it opens at once.

const OF_LOSSES = new Set(["evaluate", "analyze", "train", "list_losses", "describe_loss", "draw_curve", "compare", "recommend", "check_gradient"]);
const SHORTEST = 2;
const MOST_MEMBERS = 20;

const dark = matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();

/** @type {string[]} of each loss, its name and its aliases */
let losses = [];

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

/** @param {any} parameter what Swagger UI fills in an example of: of a name the first, and nothing of what only files need or nobody has to say */
function prefilled(parameter) {
  if (parameter.in === "path") parameter.example = parameter.schema?.examples?.[0];
  else if (parameter.in) parameter.example = parameter.schema?.type === "object" ? {} : "";
}

/** @param {any} answer the document as it comes @returns {any} with names filled in, two rows for errors instead of one for each status, and names for long unions */
function shortened(answer) {
  if (!answer.url.endsWith("openapi.json") || !answer.text) return answer;
  const document = JSON.parse(answer.text);
  const examples = Object.entries(document.paths["/v1/evaluate"].post.requestBody.content["application/json"].examples);
  losses = examples.map(([name, { description }]) => `${name} ${description?.split("Also called ")[1] ?? ""}`.toLowerCase());
  const named = Object.values(document.components.schemas).filter((schema) => schema.properties?.name?.const);
  const summaries = Object.fromEntries(named.map((schema) => [schema.properties.name.const, schema.description]));
  for (const [name, example] of examples) example.description = [summaries[name], example.description].filter(Boolean).join(" ");
  Object.values(document.components.parameters ?? {}).forEach(prefilled);
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path)) {
      for (const parameter of operation.parameters ?? []) prefilled(parameter);
      if (!operation.responses?.["4XX"]) continue;
      for (const status of Object.keys(operation.responses)) if (/^[45]\d\d$/.test(status)) delete operation.responses[status];
    }
  }
  const { schemas } = document.components;
  const refs = (/** @type {any} */ schema) => (schema.oneOf ?? []).map((/** @type {any} */ one) => one.$ref?.split("/").at(-1)).filter((/** @type {string} */ name) => schemas[name]?.properties?.name?.const);
  const long = Object.values(schemas).map((schema) => ({ schema, members: refs(schema) })).filter(({ members }) => members.length > MOST_MEMBERS);
  for (const { schema, members } of long) {
    // hundreds of members side by side are read by nobody, and would take seconds to resolve each time that an operation opens
    delete schema.oneOf;
    Object.assign(schema, { type: "object", required: ["name"], properties: { name: { type: "string", enum: members.map((/** @type {string} */ name) => schemas[name].properties.name.const) } }, additionalProperties: {}, description: "A name, or an object with the name and parameters beside it." });
  }
  for (const { members } of long) for (const name of members) delete schemas[name];
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
