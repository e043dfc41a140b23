// Drops two films, reloads in the middle, and goes on; searches, plays, seeks, switches, copies, deletes.
// library.mjs FILM CHINESE_FILM

import { assert, stage } from "./stage.mjs";

const [film, chinese] = process.argv.slice(2);
const nameOf = (path) => path.split("/").at(-1);
const percent = (text) => Number(/(\d+)%/.exec(text)?.[1] ?? -1);

await stage(async (stage) => {
  const { page } = stage;

  stage.step("drop");
  await stage.throttle(4 << 20);
  await stage.drop([film, chinese]);
  await stage.until("two uploads", async () => (await stage.at("upload").count()) === 2);
  const mine = stage.at("upload", { hasText: nameOf(film) });
  const seen = new Set();
  await stage.until("progress", async () => {
    const at = percent((await mine.getByTestId("upload-status").textContent()) ?? "");
    if (at > 0) seen.add(at);
    // More than one piece has been taken by the gateway.
    return seen.size >= 4 && at >= 45;
  });
  assert.deepEqual([...seen], [...seen].sort((a, b) => a - b), "progress goes forth only");
  await stage.shot("uploading");

  stage.step("reload in the middle");
  assert.equal(await stage.at("row").count(), 0, "nothing is complete yet");
  await page.reload();
  await stage.at("upload").nth(1).waitFor();
  const kept = await stage.at("upload").evaluateAll((rows) => rows.map((row) => row.dataset.state));
  assert.deepEqual(kept, ["lost", "lost"]);
  const patches = [];
  page.on("request", (request) => request.method() === "PATCH" && patches.push(Number(request.headers()["upload-offset"])));
  await stage.throttle(0);
  await stage.drop([film, chinese]);
  await stage.until("both to be complete", async () => (await stage.at("row").count()) === 2, 60_000);
  assert.ok(Math.max(...patches.slice(0, 2)) >= 8 << 20, `it goes on where it stood: ${patches}`);
  await stage.until("all done", async () => (await stage.at("upload").evaluateAll((rows) => rows.every((row) => row.dataset.state === "done"))));
  await stage.at("tray-clear").click();

  stage.step("search");
  await stage.row(nameOf(chinese)).waitFor();
  await stage.at("search").fill(nameOf(chinese).slice(0, 2));
  await stage.until("one row", async () => (await stage.at("row").count()) === 1);
  await stage.row(nameOf(chinese)).waitFor();
  await stage.at("search").fill("nothing is called that");
  await stage.until("no row", async () => (await stage.at("row").count()) === 0);
  await stage.at("search").fill("");
  await stage.until("both rows", async () => (await stage.at("row").count()) === 2);
  await stage.at("sort-name").click();
  await stage.until("the order", async () => (await stage.at("row").first().textContent()).includes(nameOf(film)));

  stage.step("play and seek");
  await stage.row(nameOf(film)).getByTestId("row-link").click();
  await stage.plays();
  for (const seconds of [20, 3, 27, 10.5, 0.5, 15]) await stage.seek(seconds);
  await stage.plays();
  await page.keyboard.press("k");
  await stage.until("a pause", async () => (await stage.media()).paused);
  const { currentTime } = await stage.media();
  await page.keyboard.press("ArrowLeft");
  await stage.until("five seconds back", async () => Math.abs((await stage.media()).currentTime - (currentTime - 5)) < 0.5);
  await stage.shot("playing");

  stage.step("a link at a time");
  await stage.at("copy-time").click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /#\/play\/[^?]+\?t=\d+$/);
  assert.ok(link.startsWith(`${stage.gateway}/`), link);

  stage.step("six quick switches");
  for (let n = 0; n < 6; n += 1) {
    await stage.at("around").nth(n % 2 === 0 ? 1 : 0).click();
    await page.waitForTimeout(n * 30);
  }
  const last = await stage.plays();
  assert.ok(last.duration > 25);
  assert.ok((await stage.at("player-title").textContent()).includes(nameOf(film)), "the last choice is what plays");
  assert.equal(await page.locator("video").count(), 1);
  await page.goto(link.replace(/t=\d+$/, "t=21"));
  await page.reload();
  await stage.until("the time of the link", async () => Math.abs(((await stage.media().catch(() => ({}))).currentTime ?? 0) - 21) < 3);

  stage.step("copy");
  await stage.at("back").click();
  const row = stage.row(nameOf(chinese));
  await row.hover();
  await row.getByTestId("row-copy").click();
  const url = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(url.startsWith(`${stage.gateway}/files/`), url);
  console.log("copied", url);
  await row.getByTestId("row-menu").click();
  await stage.at("menu-wget").click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^wget -c -O '.*\.mp4' 'http:/);
  await row.getByTestId("row-menu").click();
  const [playlist] = await Promise.all([page.waitForEvent("download"), stage.at("menu-vlc").click()]);
  assert.ok(playlist.suggestedFilename().endsWith(".m3u"), playlist.suggestedFilename());

  stage.step("delete");
  await row.getByTestId("row-menu").click();
  await stage.at("menu-delete").click();
  await stage.at("delete-cancel").click();
  assert.equal(await stage.at("row").count(), 2);
  await row.getByTestId("row-menu").click();
  await stage.at("menu-delete").click();
  await stage.at("delete-confirm").click();
  await stage.until("one row", async () => (await stage.at("row").count()) === 1);
  await page.reload();
  await stage.until("one row", async () => (await stage.at("row").count()) === 1);
  console.log("done");
}, { name: "library" });
