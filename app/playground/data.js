// Your data: what it costs by the loss, how sure that is, which rows cause it, and whether another model is better.

import { at, change, onChange } from "./address.js";
import { byId, control, exact, fault, h, labelled, rested, say, written } from "./elements.js";
import { captioned, colour, columned, draw, framed, onLook, quantity, room, theme, VEGA_LITE, walked } from "./figure.js";
import { bare, chooseLoss, chosenLoss, suggest } from "./look.js";
import { ofNpz } from "./npz.js";
import { constant, json, lane, onReturn, Problem, trying } from "./service.js";
import { choices, csvOf, guessed, parsed, spread } from "./table.js";
import { takeaway } from "./takeaway.js";

/** @typedef {import("./address.js").Fields} Fields */
/** @typedef {import("./table.js").Table} Table */
/** @typedef {import("./table.js").Cell} Cell */

const EXAMPLE = "prediction,label\n2.5,3.0\n0.0,-0.5\n8.0,2.0\n4.1,4.4\n5.2,5.0\n1.9,2.6";
const REST_MS = 300;
const EARLY_MS = 250;
const LINK_BYTES = 4096;
const MOST_ROWS = 5000;
const MOST_BARS = 120;
const SUMS = new Set(["weighted_sum", "multi_task"]);

let text = "";
/** Whether the text is the reader's own, or the example that suits the loss. */
let own = false;
/** Whether there is something new in the box that has not been taken yet: until then nothing else is put there. */
let typing = false;
/** @type {Table | null} */
let table = null;
/** @type {any} */
let entry = null;
/** @type {{evaluation: any, analysis: any, numerical: (number | null)[] | null, check: any, comparison: any, body: Fields} | null} */
let found = null;
let sorted = false;
const turn = lane();

export async function data() {
  const paste = control("paste");
  const typed = rested(() => take(paste.value), REST_MS);
  paste.addEventListener("input", () => {
    typing = true;
    typed();
  });
  if (paste.value.trim()) take(paste.value); // pasted before this was loaded
  files();
  stage();
  takeaway(byId("data-take"), "losses", { request: () => (found ? { path: "v1/evaluate", body: found.body, number: "value" } : null), drawing: () => (found ? { path: "v1/analyze", body: analyzed(found.body) } : null), rows: sampleRows, answer: () => found && { evaluation: found.evaluation, analysis: found.analysis } });
  onChange((source) => source === "probe" || void show());
  onLook(() => void redraw());
  onReturn(() => void show());
  await show();
}

/** @param {string} next text that has been pasted, typed or opened */
function take(next) {
  typing = false;
  text = next;
  own = next.trim() !== "";
  const small = new TextEncoder().encode(next).length <= LINK_BYTES;
  byId("paste-hint").textContent = small ? "CSV, TSV or JSON with names for the columns, or drop a file here, npz too. It stays in this tab and goes to this service only." : "More than 4 kB: it is not in the link, so a link to this page shows the example instead.";
  change({ data: small && own ? next : null }, { source: "data" });
}

function files() {
  const file = control("file");
  byId("open-file").addEventListener("click", () => file.click());
  file.addEventListener("change", () => file.files?.[0] && void open(file.files[0]));
  const section = byId("data");
  section.addEventListener("dragover", (event) => {
    event.preventDefault();
    section.classList.add("dropping");
  });
  section.addEventListener("dragleave", () => section.classList.remove("dropping"));
  section.addEventListener("drop", (event) => {
    event.preventDefault();
    section.classList.remove("dropping");
    const dropped = event.dataTransfer?.files[0];
    if (dropped) void open(dropped);
  });
}

/** @param {File} file */
async function open(file) {
  try {
    const content = file.name.endsWith(".npz") ? csvOf(await ofNpz(await file.arrayBuffer())) : await file.text();
    for (const key of ["predictions", "targets", "weights", "compare", "groups"]) change({ [`data.${key}`]: null });
    control("paste").value = content;
    take(content);
    say(`${file.name} is open`);
  } catch (error) {
    fault("paste", `${file.name}: ${/** @type {Error} */ (error).message}`);
  }
}

function stage() {
  const status = (/** @type {string} */ name, /** @type {string} */ id, /** @type {Record<string, unknown>} */ more = {}) => h("div", { role: "status", "aria-label": name, id, ...more });
  byId("data-stage").replaceChildren(
    status("Value", "value", { class: "figures" }),
    h("p", { class: "fault", id: "data-fault", role: "alert" }),
    framed("bars", "Per-sample loss"),
    status("Conclusion", "conclusion", { class: "words" }),
    h("div", { class: "tablebox", id: "samples", tabindex: -1 }),
    h("p", { class: "quiet", id: "samples-words" }),
    framed("analysis", "Where the loss comes from"),
    h("div", { id: "recommended", class: "fields" }),
  );
  byId("bars").hidden = byId("analysis").hidden = true;
  walked(byId("bars"), () => (found?.evaluation.per_sample ?? []).map((/** @type {number | null} */ loss, /** @type {number} */ index) => `Sample ${index + 1}: loss ${written(loss)}`));
  walked(byId("analysis"), () => (byId("analysis-caption").textContent ?? "").split(/(?<=\.) /));
}

// --- columns by role

/** @typedef {{key: string, label: string, path: string[], none: boolean, many: boolean}} Role path: where it belongs in the request */

/** @returns {Role[]} the roles that this loss has */
function rolesOf() {
  const side = (/** @type {string} */ name, /** @type {string} */ label) => {
    const declared = entry[name];
    if (!declared) return [];
    const example = entry.example_request[name]; // which has rows of several numbers where the loss takes such
    if (Array.isArray(declared)) return [{ key: `data.${name}`, label: `${label} column`, path: [name], none: false, many: Array.isArray(example?.[0]) }];
    return Object.keys(declared).map((part) => ({ key: `data.${name}.${part}`, label: `${part} column`, path: [name, part], none: false, many: Array.isArray(example?.[part]?.[0]) }));
  };
  const more = (/** @type {string} */ name, /** @type {string} */ label) => ({ key: `data.${name}`, label, path: [name], none: true, many: false });
  return [...side("predictions", "Predictions"), ...side("targets", "Targets"), more("weights", "Weights column"), more("compare", "Compare with column"), more("groups", "Groups column")];
}

/** @param {Role[]} roles @returns {Map<string, string>} the columns that they have, chosen or guessed */
function assigned(roles) {
  const options = choices(/** @type {Table} */ (table));
  /** @type {Map<string, string>} */
  const columns = new Map();
  for (const role of roles) if (options.includes(at(role.key))) columns.set(role.key, at(role.key));
  // targets are known by their names more often than predictions are
  for (const role of [...roles].sort((a, b) => Number(b.path[0] === "targets") - Number(a.path[0] === "targets"))) {
    if (columns.has(role.key) || (role.none && role.path[0] !== "weights") || at(role.key) === "none") continue;
    const taken = [...columns.values()].flatMap((column) => column.split(","));
    columns.set(role.key, guessed(/** @type {Table} */ (table), role.path.at(-1) ?? "", taken, role.many));
  }
  return columns;
}

/** @param {Role[]} roles @param {Map<string, string>} columns */
function showRoles(roles, columns) {
  const options = choices(/** @type {Table} */ (table));
  const host = byId("roles");
  const focused = document.activeElement?.id;
  host.replaceChildren(
    ...roles.map((role) => {
      const id = role.key.replaceAll(".", "-");
      const title = (/** @type {string} */ choice) => (choice.includes(",") ? `${choice.split(",")[0]} … ${choice.split(",").at(-1)}` : choice);
      const box = h("select", { id, "aria-describedby": `${id}-fault` }, role.none && h("option", { value: "" }, "none"), ...options.map((choice) => h("option", { value: choice }, title(choice))));
      box.value = columns.get(role.key) ?? "";
      const named = at(role.key);
      const gone = !named || named === "none" || options.includes(named) ? "" : `There is no column “${named}” in this table.`;
      box.addEventListener("change", () => change({ [role.key]: box.value || (role.path[0] === "weights" ? "none" : null) }, { push: true }));
      return labelled(role.label, box, gone);
    }),
  );
  if (focused) document.getElementById(focused)?.focus();
}

/** @param {string} choice @returns {any[]} a column, or rows of several */
function values(choice) {
  const columns = choice.split(",").map((name) => table?.columns.get(name) ?? []);
  return columns.length === 1 ? columns[0] : columns[0].map((_, index) => columns.map((column) => column[index]));
}

/** @param {Role[]} roles @param {Map<string, string>} columns @returns {Fields} the body of an evaluation */
function bodyOf(roles, columns) {
  const loss = chosenLoss();
  /** @type {Fields} */
  const body = { loss: bare(loss) };
  for (const role of roles) {
    const column = columns.get(role.key);
    if (!column || role.path[0] === "compare" || role.path[0] === "groups") continue;
    const [side, part] = role.path;
    const array = values(column);
    if (side === "weights") body.sample_weight = array;
    else if (part) body[side] = { .../** @type {Fields} */ (body[side] ?? {}), [part]: array };
    else body[side] = array;
  }
  const targets = body.targets;
  if (Array.isArray(targets) && targets.some((value) => typeof value === "string")) body.classes = [...new Set(targets.map(String))].sort();
  const arrays = [body.predictions, targets].flat();
  if (arrays.includes(null)) body.missing = "drop";
  return body;
}

/** @param {Fields} body @returns {Fields} the same for an analysis, by groups where there are some */
function analyzed(body) {
  const column = at("data.groups");
  return column && table?.columns.has(column) ? { ...body, groups: { [column]: values(column).map((value) => (value === null ? "missing" : value)) } } : body;
}

// --- asking

/** @param {string} next @param {boolean} mine */
function put(next, mine) {
  own = mine;
  if (next === text) return;
  text = next;
  control("paste").value = next;
}

/** @returns {string | null} a table that suits the loss: the usual one where it takes any number, else that of the catalogue */
function exampleOf() {
  const real = (/** @type {any} */ side) => Array.isArray(side) && (!side.length || ["real", "value"].includes(side[0].name));
  if (entry.name !== "multi_task" && real(entry.predictions) && real(entry.targets)) return EXAMPLE;
  const { predictions, targets } = entry.example_request;
  const flat = (/** @type {any} */ array) => Array.isArray(array) && !array.some((row) => Array.isArray(row) && row.some(Array.isArray));
  const columns = (/** @type {any} */ side, /** @type {string} */ name) => /** @type {[string, any][]} */ (side === undefined ? [] : Array.isArray(side) ? [[name, side]] : Object.entries(side));
  const all = [...columns(predictions, "prediction"), ...columns(targets, "target")];
  if (entry.name === "multi_task" || !all.every(([, array]) => flat(array))) return null;
  return csvOf(spread(all));
}

async function show() {
  const signal = turn();
  if (typing) return;
  const given = at("data");
  if (given && given !== text) put(given, true);
  await trying(
    signal,
    async () => {
      entry = await constant(`v1/losses/${encodeURIComponent(String(chosenLoss().name))}`);
      if (signal.aborted || typing) return;
      if (!own) {
        const example = exampleOf();
        if (example === null) return untabled(`What ${entry.name} takes is no table of rows: send it to v1/evaluate as JSON.`);
        put(example, false);
      }
      try {
        table = parsed(text);
        fault("paste", "");
      } catch (error) {
        return untabled("", /** @type {Error} */ (error).message);
      }
      const roles = rolesOf();
      const columns = assigned(roles);
      showRoles(roles, columns);
      const body = bodyOf(roles, columns);
      byId("data-stage").setAttribute("aria-busy", "true");
      const advice = recommend(body, signal);
      try {
        await measure(body, columns, signal);
      } finally {
        if (!signal.aborted) byId("data-stage").removeAttribute("aria-busy");
      }
      await advice;
    },
    (problem) => refuse(problem),
  );
}

/** @param {Fields} body @param {Map<string, string>} columns @param {AbortSignal} signal */
async function measure(body, columns, signal) {
  const outputs = entry.differentiable ? ["value", "per_sample", "gradient"] : ["value", "per_sample"];
  const evaluation = await json("v1/evaluate", { body: { ...body, outputs }, signal });
  fault("data", "");
  const aside = (/** @type {Promise<any>} */ asked) => asked.catch((error) => (error instanceof Problem ? error : Promise.reject(error)));
  const shown = async (/** @type {any} */ rest) => {
    if (signal.aborted) return;
    found = { analysis: null, check: null, numerical: null, comparison: null, evaluation, body, ...rest };
    tell();
    await redraw();
  };
  const early = setTimeout(shown, EARLY_MS); // what takes longer is not waited for
  const [analysis, check, numerical, comparison] = await Promise.all([
    SUMS.has(entry.name) ? new Problem({ detail: "An analysis takes one loss." }, 422) : aside(json("v1/analyze", { body: analyzed(body), signal })),
    evaluation.gradient === undefined || SUMS.has(entry.name) ? null : aside(json("v1/check-gradient", { body: checked(body, evaluation), signal })),
    evaluation.gradient === undefined ? null : differences(body, evaluation, signal),
    compared(body, columns, signal),
  ]);
  clearTimeout(early);
  await shown({ analysis, check, numerical, comparison });
}

/** @param {Fields} body @param {any} evaluation @returns {Fields} */
function checked({ loss, missing: _missing, ...body }, evaluation) {
  return { reference: loss, ...body, gradient: evaluation.gradient };
}

/**
 * The gradient by differences of the service's own losses, where each sample has one prediction.
 * @param {Fields} body @param {any} evaluation @param {AbortSignal} signal @returns {Promise<(number | null)[] | null>}
 */
async function differences(body, evaluation, signal) {
  const predictions = body.predictions;
  if (!Array.isArray(predictions) || typeof predictions[0] !== "number" || entry.coupling !== "sample" || entry.mean !== "mean" || predictions.includes(null)) return null;
  const steps = predictions.map((value) => 1e-5 * Math.max(1, Math.abs(value)));
  const moved = (/** @type {number} */ sign) => json("v1/evaluate", { body: { ...body, predictions: predictions.map((value, index) => value + sign * steps[index]), outputs: ["per_sample"] }, signal });
  try {
    const [up, down] = await Promise.all([moved(1), moved(-1)]);
    const weights = /** @type {number[] | undefined} */ (body.sample_weight);
    return steps.map((step, index) => ((up.per_sample[index] - down.per_sample[index]) / (2 * step)) * ((weights?.[index] ?? 1) / evaluation.divisor));
  } catch (error) {
    if (error instanceof Problem) return null; // a step leaves what the loss takes
    throw error;
  }
}

/** @param {Fields} body @param {Map<string, string>} columns @param {AbortSignal} signal */
async function compared({ predictions, ...body }, columns, signal) {
  const other = columns.get("data.compare");
  if (!other || !Array.isArray(predictions)) return null;
  const { loss, ...more } = body;
  const own = columns.get("data.predictions") ?? "predictions";
  try {
    return await json("v1/compare", { body: { losses: [loss], models: { [own]: predictions, [other]: values(other) }, ...more }, signal });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    fault("data-compare", error.message);
    return null;
  }
}

/** @param {Fields} body @param {AbortSignal} signal which losses suit, said even where this one does not */
async function recommend(body, signal) {
  const host = byId("recommended");
  const plain = (/** @type {any} */ side) => Array.isArray(side) && !side.some((value) => Array.isArray(value) || value === null);
  if (!plain(body.targets)) return unadvised();
  const asked = { targets: body.targets, ...(plain(body.predictions) ? { predictions: body.predictions } : {}), ...(body.classes ? { classes: body.classes } : {}), limit: 3 };
  await trying(
    signal,
    async () => {
      const answer = await json("v1/recommend", { body: asked, signal });
      const found = answer.recommendations.map((/** @type {any} */ { loss, why, against }) => {
        const settings = Object.entries(loss).filter(([name]) => name !== "name").map(([name, value]) => `${name} ${value}. `);
        return { name: loss.name, group: "Recommended", about: settings.join("") + why.at(-1), words: "", loss: bare(loss), against: against[0] ?? "" };
      });
      suggest(found);
      host.replaceChildren(
        h("h3", {}, "Losses that suit these targets"),
        answer.note ? h("p", {}, answer.note) : "",
        ...answer.traits.map((/** @type {any} */ trait) => h("p", { class: "quiet" }, trait.text)),
        h("ul", { class: "advice" }, ...found.map((/** @type {any} */ one) => h("li", { class: "suit" }, h("button", { type: "button", onclick: () => chooseLoss(one.loss) }, `Use ${one.name}`), h("span", { class: "hint" }, `${one.about} ${one.against}`)))),
      );
    },
    unadvised,
  );
}

function unadvised() {
  suggest([]);
  byId("recommended").replaceChildren();
}

// --- what is wrong

/** @param {Problem} problem beside the column that it is about */
function refuse(problem) {
  clear("The loss is shown once the data fits it.");
  const pointer = problem.faults[0]?.pointer ?? "";
  const key = ["data-predictions", "data-targets", "data-weights"].find((id) => pointer.startsWith(`/${{ "data-predictions": "predictions", "data-targets": "targets", "data-weights": "sample_weight" }[id]}`) && document.getElementById(id));
  fault(key ?? "data", problem.message);
}

/** @param {string} why @param {string} [wrong] there is no table: nothing can be said of it */
function untabled(why, wrong = "") {
  fault("paste", wrong);
  unadvised();
  clear(why);
}

/** @param {string} why */
function clear(why) {
  found = null;
  byId("value").replaceChildren(h("p", { class: "quiet" }, why));
  for (const id of ["conclusion", "samples", "bars-plot", "analysis-plot"]) byId(id).replaceChildren();
  byId("samples-words").textContent = "";
  for (const id of ["bars", "analysis"]) {
    byId(id).hidden = true;
    byId(`${id}-caption`).textContent = "";
  }
}

// --- in words

function tell() {
  if (!found) return;
  const { evaluation, analysis, check, comparison } = found;
  const one = (/** @type {string} */ label, /** @type {string} */ value, kind = "") => h("div", {}, h("span", { class: "label" }, label), h("b", { class: kind }, value));
  const error = analysis instanceof Problem ? null : (analysis?.standard_error ?? null);
  const taken = evaluation.targets_encoding;
  byId("value").replaceChildren(
    one(`${entry.mean} ${entry.name}`, exact(evaluation.value), "value"),
    ...(error === null ? [] : [one("standard error", `± ${written(error, 4)}`)]),
    one("samples", String(evaluation.n_samples)),
    ...(evaluation.n_missing ? [one("left out, as numbers are missing", String(evaluation.n_missing))] : []),
    ...(taken ? [one("targets taken as", typeof taken === "string" ? taken.replaceAll("_", " ") : Object.values(taken).join(", "))] : []),
  );
  /** @type {(string | false | undefined)[]} */
  const sentences = [];
  if (comparison) sentences.push(comparison.losses[0].conclusion);
  if (analysis instanceof Problem) sentences.push(analysis.message);
  else if (analysis) {
    const ends = analysis.interval?.[analysis.interval.recommended];
    sentences.push(ends && `With ${100 * analysis.interval.confidence} % confidence the loss on other samples of this kind lies between ${written(ends[0], 4)} and ${written(ends[1], 4)}.`, analysis.concentration?.sentence, analysis.interval?.note);
  }
  sentences.push(...(evaluation.warnings ?? []));
  const numerical = check && !(check instanceof Problem) ? check.numerical : null;
  const gradient = numerical && `The gradient ${numerical.agrees ? "agrees" : "does not agree"} with the numerical one at ${numerical.n_checked} ${numerical.n_checked === 1 ? "place" : "places"}${numerical.n_at_kinks ? `, ${numerical.n_at_kinks} at kinks left aside` : ""}${typeof numerical.max_relative_error === "number" ? `: they differ by ${written(numerical.max_relative_error, 2)} of their size at most` : ""}.`;
  byId("conclusion").replaceChildren(...sentences.filter(Boolean).map((sentence) => h("p", {}, String(sentence))), ...(gradient ? [h("p", { class: "quiet" }, gradient)] : []));
  showTable();
}

/** @returns {{names: string[], editable: string[], rows: (Cell | undefined)[][]}} the samples as they are shown */
function samples() {
  const { evaluation, numerical } = /** @type {NonNullable<typeof found>} */ (found);
  const roles = rolesOf();
  const columns = assigned(roles);
  const used = [...new Set(roles.flatMap((role) => (columns.get(role.key) ?? "").split(",")))].filter((name) => table?.columns.has(name));
  const flat = evaluation.gradient && Array.isArray(evaluation.gradient) && !Array.isArray(evaluation.gradient[0]) ? evaluation.gradient : null;
  const names = [...used, "loss", ...(flat ? ["gradient"] : []), ...(numerical ? ["numerical"] : [])];
  const rows = evaluation.per_sample.map((/** @type {number | null} */ loss, /** @type {number} */ index) => [index + 1, ...used.map((name) => table?.columns.get(name)?.[index]), loss, ...(flat ? [flat[index]] : []), ...(numerical ? [numerical[index]] : [])]);
  return { names, editable: used, rows };
}

function showTable() {
  const { names, editable, rows } = samples();
  const place = names.indexOf("loss") + 1;
  const ordered = sorted ? [...rows].sort((a, b) => Number(b[place] ?? Infinity) - Number(a[place] ?? Infinity)) : rows;
  const most = ordered.slice(0, MOST_ROWS);
  const order = h("button", { type: "button", "aria-pressed": String(sorted), onclick: () => ((sorted = !sorted), showTable()) }, sorted ? "loss ↓" : "loss");
  const texts = most.map((row) => row.map((value, index) => (index === 0 ? String(value) : value === null ? (index < place ? "" : "infinite") : typeof value === "number" ? written(value) : String(value))));
  const decimals = (/** @type {string} */ text) => /^−?\d+(\.\d+)?$/.exec(text)?.[1]?.length ?? 0;
  const widest = ["", ...names].map((_, index) => Math.max(0, ...texts.map((row) => decimals(row[index]))));
  const after = (/** @type {string} */ text, /** @type {number} */ index) => "\u2008".slice(0, Number(widest[index] > 0 && !decimals(text))) + "\u2007".repeat(Math.max(0, widest[index] - (decimals(text) || 1))); // room for a point and for digits
  const body = h("tbody", {}, ...texts.map((row) => h("tr", {}, ...row.map((text, index) => h("td", { tabindex: -1, "data-column": editable[index - 1] ?? null, "data-row": row[0], "data-after": after(text, index) || null }, text)))));
  const grid = h("table", { "aria-label": "Samples" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "#"), ...names.map((name) => h("th", { scope: "col" }, name === "loss" ? order : name)))), body);
  const first = body.querySelector("td");
  if (first) first.tabIndex = 0;
  body.addEventListener("keydown", moved);
  body.addEventListener("dblclick", (event) => edit(/** @type {HTMLElement} */ (event.target)));
  byId("samples").replaceChildren(grid);
  byId("samples-words").textContent = rows.length > MOST_ROWS ? `${rows.length.toLocaleString("en")} rows, of which ${MOST_ROWS.toLocaleString("en")} are shown.` : "Enter or a double click changes a cell of your columns.";
}

/** @param {KeyboardEvent} event one cell of the table is a stop; arrows go to the others */
function moved(event) {
  const cell = /** @type {HTMLTableCellElement} */ (event.target);
  if (cell.isContentEditable) return;
  const row = /** @type {HTMLTableRowElement} */ (cell.parentElement);
  const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-99, 0], End: [99, 0] }[event.key] ?? [0, 0];
  if (event.key === "Enter" || event.key === "F2") {
    event.preventDefault();
    edit(cell);
  } else if (across || down) {
    event.preventDefault();
    const rows = /** @type {HTMLTableSectionElement} */ (row.parentElement).rows;
    const next = rows[Math.min(Math.max(row.sectionRowIndex + down, 0), rows.length - 1)].cells[Math.min(Math.max(cell.cellIndex + across, 0), row.cells.length - 1)];
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** @param {HTMLElement} cell */
function edit(cell) {
  const column = table?.columns.get(cell.dataset.column ?? "");
  const index = Number(cell.dataset.row) - 1;
  if (!column) return;
  const before = cell.textContent ?? "";
  cell.textContent = String(column[index] ?? "");
  cell.contentEditable = "plaintext-only";
  cell.focus();
  getSelection()?.selectAllChildren(cell);
  const end = (/** @type {boolean} */ keep) => {
    cell.contentEditable = "false";
    cell.onblur = cell.onkeydown = null;
    const typed = (cell.textContent ?? "").trim().replace("−", "-");
    if (!keep || typed === String(column[index] ?? "")) return void (cell.textContent = before);
    column[index] = typed === "" ? null : Number.isNaN(Number(typed)) ? typed : Number(typed);
    const paste = control("paste");
    paste.value = csvOf(/** @type {Table} */ (table));
    take(paste.value);
  };
  cell.onblur = () => end(true);
  cell.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter");
    cell.focus();
  };
}

// --- pictures

async function redraw() {
  if (!found) return;
  byId("bars").hidden = false;
  if (found.analysis) byId("analysis").hidden = false;
  await Promise.all([drawBars(), drawAnalysis()]);
}

async function drawBars() {
  const { evaluation } = /** @type {NonNullable<typeof found>} */ (found);
  const host = byId("bars-plot");
  const all = evaluation.per_sample.map((/** @type {number | null} */ loss, /** @type {number} */ index) => ({ sample: index + 1, loss, gradient: Array.isArray(evaluation.gradient) && typeof evaluation.gradient[index] === "number" ? evaluation.gradient[index] : null }));
  const finite = all.filter((/** @type {any} */ row) => row.loss !== null);
  const few = finite.length > MOST_BARS ? [...finite].sort((a, b) => b.loss - a.loss).slice(0, MOST_BARS).sort((a, b) => a.sample - b.sample) : finite;
  const worst = finite.reduce((/** @type {any} */ most, /** @type {any} */ row) => (row.loss > (most?.loss ?? -Infinity) ? row : most), null);
  captioned("bars", "Per-sample loss", `${few.length < finite.length ? `The ${few.length} largest of ${finite.length} samples` : `${finite.length} samples`}; the largest loss is that of sample ${worst?.sample}: ${written(worst?.loss, 4)}${all.length > finite.length ? `; ${all.length - finite.length} infinite` : ""}.`);
  const across = room(host);
  const sample = { field: "sample", type: "ordinal", title: "sample", axis: { labelAngle: 0, labelOverlap: true, grid: false } };
  const size = Math.max(1, Math.min(40, (0.7 * across) / Math.max(few.length, 1)));
  const panel = (/** @type {string} */ field, /** @type {number} */ height, /** @type {string} */ token, /** @type {boolean} */ last) => ({
    width: across,
    height,
    mark: { type: "bar", color: colour(token), size },
    encoding: { x: { ...sample, title: last ? "sample" : null, axis: last ? sample.axis : { ...sample.axis, labels: false } }, y: { ...quantity(field, field, { minExtent: 44, tickCount: field === "loss" ? 4 : 3 }), scale: {} }, tooltip: [{ field: "sample" }, { field: "loss", format: ".6~g" }, { field: "gradient", format: ".6~g" }] },
  });
  const pulls = few.some((/** @type {any} */ row) => row.gradient !== null);
  await draw(host, { data: { values: few }, vconcat: [panel("loss", 140, "--s1", !pulls), ...(pulls ? [panel("gradient", 90, "--control", true)] : [])], spacing: 10 });
}

async function drawAnalysis() {
  const { analysis, body } = /** @type {NonNullable<typeof found>} */ (found);
  const host = byId("analysis-plot");
  if (analysis instanceof Problem) byId("analysis").hidden = true;
  if (!analysis || analysis instanceof Problem) return;
  const definition = await json(`v1/analyze?theme=${theme()}`, { body: analyzed(body), accept: VEGA_LITE });
  const spec = counted(definition);
  captioned("analysis", "Where the loss comes from", spec.description, false);
  await draw(host, columned(spec, host));
}

/** @param {import("./figure.js").Spec} definition @returns {import("./figure.js").Spec} with samples counted from 1, as the table here does */
const counted = (definition) => JSON.parse(JSON.stringify(definition), (key, value) => (/^(name|description)$/.test(key) && typeof value === "string" ? value.replace(/\bsample (is )?(\d+)/, (_, is = "", index) => `sample ${is}${Number(index) + 1}`) : value));

/** @returns {(string | number | null)[][]} the samples as a table */
function sampleRows() {
  const { names, rows } = samples();
  return [["sample", ...names], ...rows.map((row) => row.map((value) => (typeof value === "boolean" ? String(value) : value ?? null)))];
}
