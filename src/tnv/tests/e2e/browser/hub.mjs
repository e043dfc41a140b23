// A meeting from its first word to its package, on the hub's page. hub.mjs FILE FILE DOWNLOAD

import { basename } from "node:path";
import { assert, stage } from "./stage.mjs";

const [first, second, target] = process.argv.slice(2);

await stage(async (stage) => {
  const { page, hub, node } = stage;
  const button = (name) => page.getByRole("button", { name, exact: true });
  const view = (name) => page.getByRole("navigation").getByRole("link", { name, exact: true });
  const has = (text) => page.getByText(text).first().waitFor();

  stage.step("create");
  await page.goto(`${hub}/`);
  await has("There are no meetings yet.");
  await stage.assertLooks("hub-empty");
  await button("New meeting").click();
  await stage.assertLooks("hub-dialog");
  await page.getByLabel("Id", { exact: true }).fill("active");
  await page.getByLabel("Title").fill("Budget <b>2026</b>");
  await page.getByLabel("About").fill("About money.\nAnd time.");
  await page.getByLabel("Agenda").fill("One\nTwo");
  stage.expected.add(400);
  await button("Create").click();
  await has(/no meeting can be called active/);
  stage.expected.delete(400);
  await page.getByLabel("Id", { exact: true }).fill("budget");
  await button("Create").click();
  await page.getByRole("heading", { name: "Budget <b>2026</b>" }).waitFor();
  await has("About money.\nAnd time.");

  stage.step("drop");
  const box = await page.getByText("Drop files or folders here").boundingBox();
  await stage.drop([first, second], { x: box.x + box.width / 2, y: box.y + box.height / 2 });
  for (const file of [first, second]) await page.getByRole("link", { name: basename(file), exact: true }).waitFor();

  stage.step("start");
  await button("Start").click();
  await button("End").waitFor();
  await has(/nodes that hold it: 1/);
  await stage.assertLooks("hub-meeting");

  stage.step("nodes");
  await view("Nodes").click();
  const row = page.getByRole("row", { name: /node-x/ });
  await row.getByText("online").waitFor();
  await stage.assertLooks("hub-nodes");

  stage.step("node");
  await page.goto(`${node}/static/index.html`);
  await page.getByRole("row", { name: /Budget <b>2026<\/b>/ }).getByText("Active").waitFor();
  await page.goBack();

  stage.step("download");
  await view("Meetings").click();
  await page.getByRole("link", { name: /Budget/ }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download", exact: true }).click()]);
  assert.equal(download.suggestedFilename(), "meeting_budget.zip");
  await download.saveAs(target);
  await button("Copy").click();
  await has("Copied");
  const command = await stage.at("fetch-command").textContent();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
  console.log("command", command);

  stage.step("audit");
  await view("Downloads").click();
  await has("sent to a node");
  await stage.assertLooks("hub-downloads");

  stage.step("interface");
  await page.goto(`${hub}/docs`);
  await has("A new meeting");
  for (const summary of await page.locator("summary").all()) await summary.click();
  await stage.assertLooks("hub-docs");

  stage.step("chinese");
  await page.goto(`${hub}/#/meeting/budget`);
  await button("中文").click();
  await view("会议").waitFor();
  await has(/版本/);
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-Hans");
  await stage.assertLooks("hub-chinese");
  await page.reload();
  await button("English").click();
  await view("Meetings").waitFor();

  stage.step("end");
  await button("End").click();
  await button("Start").waitFor();
  await button("Delete").first().click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await has("There are no meetings yet.");
  console.log("done");
}, { name: "hub", acceptDownloads: true });
