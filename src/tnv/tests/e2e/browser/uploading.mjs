// Uploads that are waited for, cancelled, refused and chosen again. uploading.mjs LARGE SMALL FILM, of which the film is in
// the library already.

import { assert, stage } from "./stage.mjs";

const [large, small, film] = process.argv.slice(2);
const nameOf = (path) => path.split("/").at(-1);
const SLOW = 2 << 20;

await stage(async (stage) => {
  const { page } = stage;
  const row = (path) => stage.at("upload", { hasText: nameOf(path) });
  const is = (path, state) => stage.until(`${nameOf(path)} to be ${state}`, async () => (await row(path).getAttribute("data-state", { timeout: 5000 })) === state, 60_000);
  const isFolded = async () => (await stage.at("tray-fold").getAttribute("aria-expanded")) === "false";
  const progress = (path) => stage.until("progress", async () => /^[1-9]\d?%/.test(await row(path).getByTestId("upload-status").textContent()));
  const online = () => page.evaluate(() => dispatchEvent(new Event("online")));
  const records = () => page.evaluate(() => localStorage.getItem("tnv.uploads"));
  const ofUploads = (url) => new URL(url).pathname.startsWith("/tus/");
  const sent = [];
  page.on("request", (request) => ofUploads(request.url()) && sent.push(request));
  const sentBy = (method) => sent.filter((request) => request.method() === method);

  stage.step("what runs stands first");
  await stage.throttle(SLOW);
  await stage.drop([small, large]);
  await is(small, "done");
  await is(large, "running");
  await stage.until("the running one to be first", async () => (await stage.at("upload").first().getAttribute("data-state")) === "running");
  assert.equal(await isFolded(), false);
  await stage.assertAccessible("uploads");
  await stage.at("row", { hasText: nameOf(film) }).getByTestId("row-link").click();
  await stage.until("to be folded beside a film", isFolded);
  const [tray, controls] = [await stage.at("tray").boundingBox(), await stage.at("fullscreen").boundingBox()];
  assert.ok(tray.x > controls.x + controls.width || tray.y > controls.y + controls.height, "the tray leaves the player alone");
  await stage.at("back").click();

  stage.step("the wrong file");
  await stage.at("tray-fold").click();
  await progress(large);
  await page.reload();
  await is(large, "lost");
  const choose = async (path) => {
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), row(large).getByTestId("upload-toggle").click()]);
    await chooser.setFiles(path);
  };
  await choose(small);
  await stage.at("toast").getByText(`This is not the ${nameOf(large)}`).waitFor();
  assert.equal(await stage.at("upload").count(), 1);
  await stage.throttle(0);
  await choose(large);
  await is(large, "done");
  await stage.until("to be folded when all is done", isFolded);
  await stage.at("tray-clear").click();

  stage.step("what is there already");
  await stage.drop([film]);
  await is(film, "done");
  await row(film).getByText("was in the library already").waitFor();
  await stage.at("tray-clear").click();

  stage.step("cancelled on its way");
  for (const status of [404, 423, 502]) stage.expected.add(status);
  await stage.throttle(SLOW);
  sent.length = 0;
  let refusals = 1;
  await page.route(ofUploads, (route) => (route.request().method() === "DELETE" && refusals-- > 0 ? route.fulfill({ status: 423 }) : route.fallback()));
  await stage.drop([large]);
  await progress(large);
  const [begun] = sentBy("PATCH").map((request) => request.url());
  await row(large).getByTestId("upload-remove").click();
  const head = async (url) => (await fetch(url, { method: "HEAD", headers: { "tus-resumable": "1.0.0" } })).status;
  await stage.until("nothing to be left", async () => (await head(begun)) === 404);
  assert.ok(sentBy("DELETE").length >= 2, "a gateway that is still at work is asked again");
  await stage.until("nothing to be remembered", async () => (await records()) === null);

  stage.step("cancelled while it begins");
  let answer;
  const answered = new Promise((resolve) => (answer = resolve));
  let location;
  await page.route(ofUploads, async (route) => {
    if (route.request().method() !== "POST") return route.fallback();
    const response = await route.fetch();
    location = new URL(response.headers().location, stage.gateway).href;
    await answered;
    return route.fulfill({ response });
  });
  await stage.drop([large]);
  await stage.until("an upload to be begun", () => location);
  assert.equal(await head(location), 200);
  await row(large).getByTestId("upload-remove").click();
  answer();
  await stage.until("nothing to be left", async () => (await head(location)) === 404);
  await page.unrouteAll();
  await stage.throttle(0);

  stage.step("refused");
  const refuse = async (status, times) => {
    let left = times;
    await page.route(ofUploads, (route) => (route.request().method() === "PATCH" && left-- > 0 ? route.fulfill({ status }) : route.fallback()));
    sent.length = 0;
    await stage.drop([small]);
  };
  await refuse(502, Infinity);
  await stage.until("patience to end", async () => (await online(), (await row(small).getAttribute("data-state")) === "failed"));
  assert.equal(sentBy("PATCH").length, 6);
  await page.unrouteAll();
  await row(small).getByTestId("upload-toggle").click();
  await is(small, "done");
  await stage.at("tray-clear").click();
  await row(small).waitFor({ state: "detached" });
  await refuse(423, 8);
  await stage.until("to be done after a wait", async () => (await online(), (await row(small).getAttribute("data-state")) === "done"));
  assert.equal(sentBy("PATCH").length, 9);
  console.log("done");
}, { name: "uploading" });
