// A request as a whole program in six languages; where the service wants a key, it comes from the environment.

const PYTHON_KEY = ', "Authorization": "Bearer " + os.environ["CRITERION_KEY"]';

/** Quotes in a JSON string, such that a language's own quotation does not end. @param {string} text @param {string} mark */
const escaped = (text, mark) => text.replaceAll(mark, [...mark].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""));

/** @type {Record<string, (url: string, body: string, number: string, keyed: boolean) => string>} a whole program in each language, printing the number */
export const LANGUAGES = {
  curl: (url, body, _, keyed) => `curl -sS ${url} -H 'Content-Type: application/json'${keyed ? ' -H "Authorization: Bearer $CRITERION_KEY"' : ""} --data-binary @- <<'JSON'\n${body}\nJSON\n`,
  Python: (url, body, number) => {
    const [, service, call] = /** @type {string[]} */ (/^(.*)\/v1\/(\w+)$/.exec(url));
    return `import json\n\nfrom app.client import Criterion  # pip install criterion[client]; a key comes from CRITERION_KEY\n\nbody = json.loads(r"""${escaped(body, '"""')}""")\nprint(Criterion("${service}", timeout=60).${call}(**body).${number})\n`;
  },
  "Python (httpx)": (url, body, number, keyed) =>
    `${keyed ? "import os\n\n" : ""}import httpx\n\nbody = r"""${escaped(body, '"""')}"""\nanswer = httpx.post("${url}", headers={"Content-Type": "application/json"${keyed ? PYTHON_KEY : ""}}, content=body, timeout=60)\nif answer.is_error:\n    raise SystemExit(answer.json()["detail"])\nprint(answer.json()${field(number, (name) => `["${name}"]`)})\n`,
  JavaScript: (url, body, number, keyed) =>
    `const body = ${body};\nconst response = await fetch("${url}", {\n  method: "POST",\n  headers: { "Content-Type": "application/json"${keyed ? ", Authorization: `Bearer ${process.env.CRITERION_KEY}`" : ""} },\n  body: JSON.stringify(body),\n});\nconst answer = await response.json();\nif (!response.ok) throw new Error(answer.detail);\nconsole.log(answer.${number});\n`,
  R: (url, body, number, keyed) =>
    `library(httr2)\n\nanswer <- request("${url}") |>\n  req_body_raw(r"---(${body})---", type = "application/json") |>\n${keyed ? '  req_auth_bearer_token(Sys.getenv("CRITERION_KEY")) |>\n' : ""}  req_error(body = \\(response) resp_body_json(response)$detail) |>\n  req_perform() |>\n  resp_body_json(simplifyVector = TRUE)\nprint(answer${field(number, (name) => `$${name}`)}, digits = 17)\n`,
  Go: (url, body, number, keyed) => {
    const names = number.split(".");
    const type = names.reduceRight((inner, name) => `struct{ ${name[0].toUpperCase()}${name.slice(1)} ${inner} \`json:"${name}"\` }`, "*float64");
    const path = names.map((name) => name[0].toUpperCase() + name.slice(1)).join(".");
    return `package main\n\nimport (\n\t"encoding/json"\n\t"fmt"\n\t"io"\n\t"log"\n\t"net/http"\n${keyed ? '\t"os"\n' : ""}\t"strings"\n)\n\nfunc main() {\n\tbody := \`${escaped(body, "`")}\`\n\trequest, err := http.NewRequest("POST", "${url}", strings.NewReader(body))\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\trequest.Header.Set("Content-Type", "application/json")\n${keyed ? '\trequest.Header.Set("Authorization", "Bearer "+os.Getenv("CRITERION_KEY"))\n' : ""}\tresponse, err := http.DefaultClient.Do(request)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tdefer response.Body.Close()\n\tcontent, err := io.ReadAll(response.Body)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tvar problem struct{ Detail string }\n\tif response.StatusCode != http.StatusOK {\n\t\tjson.Unmarshal(content, &problem)\n\t\tlog.Fatal(problem.Detail)\n\t}\n\tvar answer ${type} // nil where it is infinite\n\tif err := json.Unmarshal(content, &answer); err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tfmt.Println(*answer.${path})\n}\n`;
  },
  Java: (url, body, _, keyed) =>
    `import java.net.URI;\nimport java.net.http.HttpClient;\nimport java.net.http.HttpRequest;\nimport java.net.http.HttpResponse;\n\npublic class Evaluate {\n    public static void main(String[] arguments) throws Exception {\n        String body = """\n            ${escaped(body.replaceAll("\\", "\\\\"), '"""').replaceAll("\\u0022", "\\\\u0022")}""";\n        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();\n        var request = HttpRequest.newBuilder(URI.create("${url}"))\n            .header("Content-Type", "application/json")\n${keyed ? '            .header("Authorization", "Bearer " + System.getenv("CRITERION_KEY"))\n' : ""}            .POST(HttpRequest.BodyPublishers.ofString(body))\n            .build();\n        var response = client.send(request, HttpResponse.BodyHandlers.ofString());\n        if (response.statusCode() != 200) throw new RuntimeException(response.body());\n        System.out.println(response.body());\n    }\n}\n`,
};

/** @param {string} path @param {(name: string) => string} step @returns {string} a field within fields, as a language has it */
const field = (path, step) => path.split(".").map(step).join("");
