// Pasted or opened text as a table, and what its columns probably are.

import { csv } from "./elements.js";

/** @typedef {number | string | boolean | null} Cell */
/** @typedef {{columns: Map<string, Cell[]>, n: number}} Table */

const MISSING = new Set(["", "na", "nan", "null", "none", "n/a"]);
const ROLES = {
  predictions: /^(y_?)?(pred(iction)?s?|hat|prob(ability|abilities|s)?|proba|scores?|logits?|forecasts?|outputs?|estimates?|model\w*|p)$/i,
  targets: /^(y|y_?true|targets?|labels?|truth|actuals?|observed|observations?|class(es)?|outcome)$/i,
  weights: /^(w|weights?|sample_?weights?)$/i,
};

/** @param {string} text @returns {Table} CSV, TSV or JSON as columns; an Error says what is wrong */
export function parsed(text) {
  const trimmed = text.trim();
  if (!trimmed) throw new Error("Paste a table: names of columns in the first line, then a line for each sample.");
  return /^[[{]/.test(trimmed) ? ofJson(trimmed) : ofLines(trimmed);
}

/** @param {string} text @returns {Table} */
function ofJson(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new Error(`This begins as JSON and is none: ${/** @type {Error} */ (error).message}`);
  }
  if (Array.isArray(document)) {
    if (!document.every((row) => row && typeof row === "object" && !Array.isArray(row))) throw new Error("A list in JSON is a list of objects, one for each sample.");
    const names = [...new Set(document.flatMap((row) => Object.keys(row)))];
    return spread(names.map((name) => [name, document.map((row) => row[name] ?? null)]));
  }
  if (Array.isArray(document.columns) && Array.isArray(document.data)) return spread(document.columns.map((/** @type {string} */ name, /** @type {number} */ index) => [String(name), document.data.map((/** @type {Cell[]} */ row) => row[index] ?? null)]));
  return spread(Object.entries(document).filter(([, column]) => Array.isArray(column)));
}

/** @param {[string, any[]][]} columns of which one may hold rows of numbers: it becomes several @returns {Table} */
export function spread(columns) {
  /** @type {Map<string, Cell[]>} */
  const found = new Map();
  for (const [name, column] of columns) {
    if (!Array.isArray(column[0])) found.set(name, column);
    else column[0].forEach((_, index) => found.set(`${name}_${index}`, column.map((row) => row[index] ?? null)));
  }
  const n = Math.max(0, ...[...found.values()].map((column) => column.length));
  if (!n) throw new Error("There are no rows.");
  const short = [...found].find(([, column]) => column.length !== n);
  if (short) throw new Error(`The column ${short[0]} has ${short[1].length} values, another ${n}.`);
  return { columns: found, n };
}

/** @param {string} text @returns {Table} */
function ofLines(text) {
  const first = text.split(/\r?\n/, 1)[0];
  const delimiter = ["\t", ";", ","].find((candidate) => first.includes(candidate)) ?? ",";
  const lines = split(text, delimiter);
  const headed = lines[0].some((cell) => Number.isNaN(Number(cell.trim())) && !MISSING.has(cell.trim().toLowerCase()));
  const names = headed ? lines[0].map((name, index) => name.trim() || `column ${index + 1}`) : lines[0].map((_, index) => ["prediction", "target", "weight"][index] ?? `column ${index + 1}`);
  const rows = headed ? lines.slice(1) : lines;
  if (!rows.length) throw new Error("There is a line of names and no row below it.");
  const odd = rows.findIndex((row) => row.length !== names.length);
  if (odd >= 0) throw new Error(`Row ${odd + 1} has ${rows[odd].length} values, and there are ${names.length} columns.`);
  return spread(names.map((name, index) => [name, valued(rows.map((row) => row[index].trim()))]));
}

/** @param {string[]} texts @returns {Cell[]} numbers where all of a column are, words otherwise */
function valued(texts) {
  const empty = (/** @type {string} */ text) => MISSING.has(text.toLowerCase());
  if (texts.every((text) => empty(text) || !Number.isNaN(Number(text)))) return texts.map((text) => (empty(text) ? null : Number(text)));
  if (texts.every((text) => /^(true|false)$/i.test(text))) return texts.map((text) => text.toLowerCase() === "true");
  return texts.map((text) => text || null);
}

/** @param {string} text @param {string} delimiter @returns {string[][]} cells, quoted or not */
function split(text, delimiter) {
  /** @type {string[][]} */
  const rows = [[]];
  let cell = "";
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const letter = text[index];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[index + 1] === '"') cell += text[++index];
      else quoted = false;
    } else if (letter === '"' && !cell.trim()) (cell = ""), (quoted = true);
    else if (letter === delimiter) rows.at(-1)?.push(cell), (cell = "");
    else if (letter === "\n") rows.at(-1)?.push(cell), (cell = ""), rows.push([]);
    else if (letter !== "\r") cell += letter;
  }
  rows.at(-1)?.push(cell);
  return rows.filter((row) => row.length > 1 || row[0].trim());
}

/** @param {Table} table @returns {string} as CSV */
export function csvOf(table) {
  const names = [...table.columns.keys()];
  return csv([names, ...Array.from({ length: table.n }, (_, index) => names.map((name) => table.columns.get(name)?.[index]))]).slice(0, -1);
}

/** @param {Table} table @returns {string[]} what can be chosen: columns, and those that are numbered as one */
export function choices(table) {
  const names = [...table.columns.keys()];
  /** @type {Map<string, string[]>} */
  const numbered = new Map();
  for (const name of names) {
    const stem = /^(.*?)[_. ]?\d+$/.exec(name)?.[1];
    if (stem) numbered.set(stem, [...(numbered.get(stem) ?? []), name]);
  }
  return [...names, ...[...numbered.values()].filter((group) => group.length > 1).map((group) => group.join(","))];
}

/**
 * Which column probably has a role: by its name, else the first that is left.
 * @param {Table} table @param {string} role @param {string[]} taken @param {boolean} many whether a row of columns is wanted
 */
export function guessed(table, role, taken, many) {
  const names = [...table.columns.keys()].filter((name) => !taken.includes(name));
  const exact = names.find((name) => name === role);
  if (exact) return exact;
  const pattern = /** @type {Record<string, RegExp>} */ (ROLES)[role];
  if (role === "weights") return names.find((name) => pattern.test(name)) ?? "";
  const groups = choices(table).filter((choice) => choice.includes(",") && !choice.split(",").some((name) => taken.includes(name)));
  const stem = (/** @type {string} */ choice) => choice.split(",")[0].replace(/[_. ]?\d+$/, "");
  if (many && groups.length) return groups.find((group) => stem(group) === role || pattern?.test(stem(group))) ?? groups[0];
  return names.find((name) => pattern?.test(name)) ?? names.find((name) => !ROLES.targets.test(name) && typeof table.columns.get(name)?.[0] === "number") ?? names[0] ?? "";
}
