// What can be taken away from a panel: its request in six languages, its numbers, its picture.

import { h, save, saveBlob } from "./elements.js";
import { ask, Lost, Problem } from "./service.js";
import { theme } from "./figure.js";

/** @typedef {{path: string, body: unknown, number: string}} Request number: the field of the answer that is printed */
/**
 * @typedef {{request: () => Request | null, rows: () => (string | number | null | undefined)[][], answer: () => unknown,
 *   drawing: () => string | {path: string, body: unknown} | null}} Source
 */

/** Quotes in a JSON string, such that a language's own quotation does not end. @param {string} text @param {string} mark */
const escaped = (text, mark) => text.replaceAll(mark, [...mark].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""));

/** @type {Record<string, (url: string, body: string, number: string) => string>} a whole program in each language, printing the number */
const LANGUAGES = {
  curl: (url, body) => `curl -sS ${url} -H 'Content-Type: application/json' --data-binary @- <<'JSON'\n${body}\nJSON\n`,
  Python: (url, body, number) =>
    `import json\nimport urllib.error\nimport urllib.request\n\nbody = r"""${escaped(body, '"""')}"""\nrequest = urllib.request.Request("${url}", body.encode(), {"Content-Type": "application/json"})\ntry:\n    with urllib.request.urlopen(request) as response:\n        answer = json.load(response)\nexcept urllib.error.HTTPError as error:\n    raise SystemExit(json.load(error)["detail"]) from None\nprint(answer${field(number, (name) => `["${name}"]`)})\n`,
  "Python (httpx)": (url, body, number) =>
    `import httpx\n\nbody = r"""${escaped(body, '"""')}"""\nanswer = httpx.post("${url}", headers={"Content-Type": "application/json"}, content=body, timeout=60)\nif answer.is_error:\n    raise SystemExit(answer.json()["detail"])\nprint(answer.json()${field(number, (name) => `["${name}"]`)})\n`,
  JavaScript: (url, body, number) =>
    `const body = ${body};\nconst response = await fetch("${url}", {\n  method: "POST",\n  headers: { "Content-Type": "application/json" },\n  body: JSON.stringify(body),\n});\nconst answer = await response.json();\nif (!response.ok) throw new Error(answer.detail);\nconsole.log(answer.${number});\n`,
  R: (url, body, number) =>
    `library(httr2)\n\nanswer <- request("${url}") |>\n  req_body_raw(r"---(${body})---", type = "application/json") |>\n  req_error(body = \\(response) resp_body_json(response)$detail) |>\n  req_perform() |>\n  resp_body_json(simplifyVector = TRUE)\nprint(answer${field(number, (name) => `$${name}`)}, digits = 17)\n`,
  Go: (url, body, number) => {
    const names = number.split(".");
    const type = names.reduceRight((inner, name) => `struct{ ${name[0].toUpperCase()}${name.slice(1)} ${inner} \`json:"${name}"\` }`, "*float64");
    const path = names.map((name) => name[0].toUpperCase() + name.slice(1)).join(".");
    return `package main\n\nimport (\n\t"encoding/json"\n\t"fmt"\n\t"io"\n\t"log"\n\t"net/http"\n\t"strings"\n)\n\nfunc main() {\n\tbody := \`${escaped(body, "`")}\`\n\tresponse, err := http.Post("${url}", "application/json", strings.NewReader(body))\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tdefer response.Body.Close()\n\tcontent, err := io.ReadAll(response.Body)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tvar problem struct{ Detail string }\n\tif response.StatusCode != http.StatusOK {\n\t\tjson.Unmarshal(content, &problem)\n\t\tlog.Fatal(problem.Detail)\n\t}\n\tvar answer ${type} // nil where it is infinite\n\tif err := json.Unmarshal(content, &answer); err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tfmt.Println(*answer.${path})\n}\n`;
  },
  Java: (url, body) =>
    `import java.net.URI;\nimport java.net.http.HttpClient;\nimport java.net.http.HttpRequest;\nimport java.net.http.HttpResponse;\n\npublic class Evaluate {\n    public static void main(String[] arguments) throws Exception {\n        String body = """\n            ${escaped(body.replaceAll("\\", "\\\\"), '"""').replaceAll("\\u0022", "\\\\u0022")}""";\n        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();\n        var request = HttpRequest.newBuilder(URI.create("${url}"))\n            .header("Content-Type", "application/json")\n            .POST(HttpRequest.BodyPublishers.ofString(body))\n            .build();\n        var response = client.send(request, HttpResponse.BodyHandlers.ofString());\n        if (response.statusCode() != 200) throw new RuntimeException(response.body());\n        System.out.println(response.body());\n    }\n}\n`,
};

/** @param {string} path @param {(name: string) => string} step @returns {string} a field within fields, as a language has it */
const field = (path, step) => path.split(".").map(step).join("");

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
    return request ? LANGUAGES[language.value](new URL(request.path, document.baseURI).href.split("#")[0], JSON.stringify(request.body), request.number) : "";
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
  if (form === "CSV" || form === "JSON") {
    const answer = source.answer();
    if (!answer) return false;
    if (form === "JSON") save(JSON.stringify(answer, null, 1), "application/json", `${name}.json`);
    else save(source.rows().map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n", "text/csv", `${name}.csv`);
    return true;
  }
  const drawing = source.drawing();
  if (!drawing) return false;
  const accept = form === "SVG" ? "image/svg+xml" : "image/png";
  const response = typeof drawing === "string" ? await ask(drawing, { accept }) : await ask(`${drawing.path}?theme=${theme()}`, { body: drawing.body, accept });
  saveBlob(await response.blob(), `${name}.${form.toLowerCase()}`);
  return true;
}

/** @param {string | number | null | undefined} value */
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
