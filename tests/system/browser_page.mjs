// Runs examples/browser/index.html in Node: a document of a few elements, and otherwise the page as it is.
// Arguments: the page, the SDK's bundle, the hub's address, a token. Each line of standard input is clicked.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import vm from "node:vm";
import WebSocket from "ws";

const [page, sdk, url, token] = process.argv.slice(2);
const scripts = [...readFileSync(page, "utf8").matchAll(/<script>(.*?)<\/script>/gs)];

const log = {
  get textContent() { return ""; },
  set textContent(line) { process.stdout.write(line); },
};
const elements = { log, url: { value: url }, token: { value: "" }, connect: {}, cut: {} };

Object.assign(globalThis, {
  WebSocket,
  document: { getElementById: (id) => elements[id] },
  location: { hash: "#" + token },
});
vm.runInThisContext(readFileSync(sdk, "utf8"));
for (const [, text] of scripts) vm.runInThisContext(text);

createInterface({ input: process.stdin })
  .on("line", (id) => elements[id].onclick())
  .on("close", () => process.exit());
