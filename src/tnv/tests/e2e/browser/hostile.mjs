// Names that look like HTML, a film deleted while it plays, and a gateway that goes away and comes back.
// hostile.mjs GONE BACK: says `away` and waits for the file GONE, with which the gateway has gone; says `noticed` and
// waits for the file BACK.

import { existsSync } from "node:fs";

import { assert, stage } from "./stage.mjs";

const [gone, back] = process.argv.slice(2);

await stage(async (stage) => {
  const { page } = stage;

  stage.step("names");
  await page.evaluate(() => (globalThis.ran = 0));
  const names = await stage.at("row-link").allTextContents();
  assert.ok(names.some((name) => name.includes("<img src=x onerror=")), names.join("\n"));
  for (const name of names) assert.ok(name.length > 0);
  await stage.at("row-link", { hasText: "<img" }).click();
  await stage.at("player-title").waitFor();
  assert.equal(await page.locator("img[src=x]").count(), 0);
  assert.equal(await page.evaluate(() => globalThis.ran), 0, "HTML in a name never runs");
  await stage.at("back").click();

  stage.step("deleting what plays");
  await stage.at("row-link", { hasText: "film" }).first().click();
  await stage.plays();
  await stage.at("delete").click();
  await stage.at("delete-confirm").click();
  await stage.at("library").waitFor();
  await stage.until("the film to be gone", async () => (await stage.at("row", { hasText: "film" }).count()) === 0);
  stage.expected.add(404);
  await page.goto(`${stage.gateway}/#/play/nosuchfile`);
  await stage.at("problem").waitFor();
  await page.goto(`${stage.gateway}/`);
  stage.expected.delete(404);

  stage.step("away");
  // What fails now is told by the browser itself.
  const before = stage.complaints.length;
  console.log("away");
  await stage.until("the gateway to be gone", () => existsSync(gone));
  await stage.at("search").fill("x");
  await stage.at("offline").waitFor({ timeout: 20_000 });
  console.log("noticed");
  await stage.until("the gateway to be back", () => existsSync(back));
  await stage.at("offline").waitFor({ state: "hidden", timeout: 30_000 });
  await stage.at("search").fill("");
  await stage.until("the list", async () => (await stage.at("row").count()) > 0);
  const during = stage.complaints.splice(before);
  assert.ok(during.every((text) => text.includes("ERR_CONNECTION")), during.join("\n"));
  console.log("done");
}, { name: "hostile" });
