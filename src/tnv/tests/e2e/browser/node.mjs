// A node's page: what it holds, its configuration, its service, its log. node.mjs PACKAGE

import { assert, stage } from "./stage.mjs";

const [packagePath] = process.argv.slice(2);

await stage(async (stage) => {
  const { page, node } = stage;
  const button = (name) => page.getByRole("button", { name, exact: true });
  const state = (text) => page.locator("#state").getByText(text, { exact: true }).waitFor();
  const said = (text) => page.locator("#toasts").getByText(text).first().waitFor();
  const config = async () => (await page.request.get(`${node}/api/config`)).json();
  const served = async () => (await page.request.get(`${node}${packagePath}`)).status();
  const field = (name) => page.locator(`[name="${name}"]`);

  stage.step("status");
  await page.goto(`${node}/`);
  await state("Running");
  await page.getByRole("row", { name: /m1/ }).getByText("Active").waitFor();
  await page.locator("#log").getByText(/m1/).first().waitFor();
  await page.locator("#facts").getByText("Synced", { exact: true }).waitFor();
  await field("storage.maxSize").waitFor();
  await stage.assertLooks("node");
  assert.equal(await served(), 200);

  stage.step("mistakes");
  const before = await config();
  const wrong = { syncInterval: "soon", "storage.maxSize": "-1", "heartbeat.interval": "0", publicPort: "70000", mainServerUrl: "ftp://x" };
  for (const [name, value] of Object.entries(wrong)) await field(name).fill(value);
  stage.expected.add(400);
  stage.expected.add(422);
  await button("Save").click();
  await said("There are mistakes; nothing was saved");
  for (const name of Object.keys(wrong)) {
    assert.equal(await field(name).getAttribute("aria-invalid"), "true", name);
    assert.notEqual(await page.locator(`[id="key-${name}-mistake"]`).textContent(), "", name);
  }
  assert.equal(await page.locator("[aria-invalid]").count(), Object.keys(wrong).length);
  await stage.assertLooks("node-mistakes");
  stage.expected.clear();
  assert.deepEqual(await config(), before, "nothing was saved");

  stage.step("change");
  await button("Discard changes").click();
  await field("storage.maxSize").fill(String(3 * 2 ** 30));
  await field("region").fill("north");
  await button("Save").click();
  await said("Configuration updated");
  await page.locator("#facts").getByText(/ 3 GiB/).waitFor();
  assert.deepEqual([(await config()).storage.maxSize, (await config()).region], [3 * 2 ** 30, "north"]);

  stage.step("stop");
  await button("Stop service").click();
  await state("Stopped");
  assert.equal(await served(), 503);
  console.log("stopped");
  await button("Start service").click();
  await state("Running");
  assert.equal(await served(), 200);

  stage.step("chinese");
  await page.locator("#language").selectOption("zh");
  await state("运行中");
  await page.getByRole("heading", { name: "会议包" }).waitFor();
  await page.getByText("同步成功").first().waitFor();
  await button("保存").waitFor();
  await stage.assertLooks("node-chinese");
  await page.reload();
  await state("运行中");
  await page.locator("#language").selectOption("en");
  await state("Running");
  console.log("done");
}, { name: "node" });
