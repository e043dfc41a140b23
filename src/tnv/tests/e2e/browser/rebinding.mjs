// A page of a name that its owner made to point to the gateway. rebinding.mjs

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.E2E_TOOLS}/`)("playwright-core");
const { port } = new URL(process.env.GATEWAY);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.example 127.0.0.1"],
});

/** What a page of this name is told, by request. */
async function told(name) {
  const page = await browser.newPage();
  await page.goto(`http://${name}:${port}/`);
  await page.getByTestId("library").waitFor();
  const statuses = await page.evaluate(async () => {
    const list = await fetch("/api/files", { referrerPolicy: "no-referrer" });
    const upload = await fetch("/files?name=planted", { method: "POST", body: "x", referrerPolicy: "no-referrer" });
    return [list.status, upload.status];
  });
  const text = await page.getByTestId("library").innerText();
  await page.close();
  return { statuses, text };
}

const evil = await told("evil.example");
assert.deepEqual(evil.statuses, [421, 421]);
assert.ok(evil.text.includes("hosts"), `the page tells what to set: ${evil.text}`);
for (const name of ["127.0.0.1", "localhost", "media.example"]) assert.deepEqual((await told(name)).statuses, [200, 201], name);
await browser.close();
console.log("done");
