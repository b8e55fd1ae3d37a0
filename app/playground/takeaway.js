// What can be taken away from a panel: its request in six languages, its numbers, its picture.

import { csv, h, save } from "./elements.js";
import { LANGUAGES } from "./programs.js";
import { ask, hasKey, Lost, Problem } from "./service.js";
import { theme } from "./figure.js";

/** @typedef {{path: string, body: unknown, number: string}} Request number: the field of the answer that is printed */
/**
 * @typedef {{request: () => Request | null, rows: () => (string | number | null | undefined)[][], answer: () => unknown,
 *   drawing: () => string | {path: string, body: unknown} | import("./figure.js").View | null}} Source
 */

/** @param {HTMLElement} host @param {string} name of the files @param {Source} source */
export function takeaway(host, name, source) {
  const id = host.id;
  const language = h("select", { id: `${id}-language` }, ...Object.keys(LANGUAGES).map((text) => h("option", {}, text)));
  const form = h("select", { id: `${id}-form` }, ...["CSV", "JSON", "SVG", "PNG"].map((text) => h("option", {}, text)));
  const done = h("span", { role: "status" });
  const code = h("pre", { tabindex: 0, "aria-label": "The request as code" });
  const shown = h("details", {}, h("summary", {}, "Request"), code);
  const program = () => {
    const request = source.request();
    return request ? LANGUAGES[language.value](new URL(request.path, document.baseURI).href.split("#")[0], JSON.stringify(request.body), request.number, hasKey()) : "";
  };
  const tell = (/** @type {string} */ text) => {
    done.textContent = text;
    setTimeout(() => (done.textContent = ""), 4000);
  };
  const show = () => shown.open && (code.textContent = program() || "Nothing has been asked yet.");
  shown.addEventListener("toggle", show);
  language.addEventListener("change", show);
  const copy = h("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    const text = program();
    if (!text) return tell("Nothing has been asked yet");
    try {
      await navigator.clipboard.writeText(text);
      tell("Copied");
    } catch {
      shown.open = true;
      code.textContent = text;
      getSelection()?.selectAllChildren(code);
      tell("The browser does not let this page copy: the request is selected below");
    }
  });
  const download = h("button", { type: "button" }, "Download");
  download.addEventListener("click", async () => {
    try {
      tell((await downloaded(form.value, name, source)) ? `Saved as ${name}.${form.value.toLowerCase()}` : "There is nothing to save yet");
    } catch (error) {
      if (error instanceof Problem) tell(error.message);
      else if (!(error instanceof Lost)) throw error;
    }
  });
  host.append(h("label", { for: language.id }, "Copy as"), language, copy, h("label", { for: form.id }, "Download as"), form, download, shown, done);
}

/** @param {string} form @param {string} name @param {Source} source @returns {Promise<boolean>} */
async function downloaded(form, name, source) {
  const file = `${name}.${form.toLowerCase()}`;
  if (form === "CSV" || form === "JSON") {
    const answer = source.answer();
    if (answer) save(form === "JSON" ? new Blob([JSON.stringify(answer, null, 1)], { type: "application/json" }) : new Blob([csv(source.rows())], { type: "text/csv" }), file);
    return Boolean(answer);
  }
  const drawing = source.drawing();
  if (!drawing) return false;
  const accept = form === "SVG" ? "image/svg+xml" : "image/png";
  if (typeof drawing === "object" && "toSVG" in drawing) {
    const canvas = await drawing.toCanvas(2);
    save(form === "SVG" ? new Blob([await drawing.toSVG()], { type: accept }) : await new Promise((done) => canvas.toBlob((blob) => blob && done(blob))), file);
    return true;
  }
  const response = typeof drawing === "string" ? await ask(drawing, { accept }) : await ask(`${drawing.path}?theme=${theme()}`, { body: drawing.body, accept });
  save(await response.blob(), file);
  return true;
}

