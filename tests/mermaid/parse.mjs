// Reads {name: chart} as JSON on standard input, parses each with both generations of Mermaid, prints the complaints.
import { JSDOM } from "jsdom";

const page = new JSDOM("<!doctype html><body></body>");
globalThis.window = page.window;
globalThis.document = page.window.document;

let text = "";
for await (const part of process.stdin) text += part;
const charts = JSON.parse(text);
const problems = [];
const seen = {};
for (const name of ["mermaid", "mermaid-10"]) {
  const mermaid = (await import(name)).default;
  mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
  seen[name] = 0;
  for (const [chart, source] of Object.entries(charts)) {
    try {
      await mermaid.parse(source);
      seen[name] += 1;
    } catch (error) {
      problems.push({ with: name, chart, source, error: String(error.message ?? error).slice(0, 500) });
    }
  }
}
process.stdout.write(JSON.stringify({ seen, problems }));
