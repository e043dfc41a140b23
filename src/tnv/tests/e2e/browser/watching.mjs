// A film and what is around it: subtitles, the controls on narrow screens, full screen, links at a time, the keyboard, and
// the way back to a search. watching.mjs BAD_SRT BAD_VTT GOOD_SRT, of which the last can be read.

import { assert, stage } from "./stage.mjs";

const [badSrt, badVtt, goodSrt] = process.argv.slice(2);
const nameOf = (path) => path.split("/").at(-1);

await stage(async (stage) => {
  const { page } = stage;
  const open = async (name) => {
    await page.goto(`${stage.gateway}/#/`);
    await stage.row(name).getByTestId("row-link").click();
    return stage.plays();
  };
  const shown = () => stage.at("subtitles").evaluate((select) => select.selectedOptions[0]?.textContent);
  const tracks = (count) => stage.until(`${count} subtitles`, async () => (await stage.at("subtitles").locator("option").count()) === count + 1);

  stage.step("which subtitles");
  for (const language of ["en", "zh"]) {
    await open("Rome.mp4");
    await tracks(2);
    assert.match(await shown(), /^(Subtitles|字幕)$/, `what tells no language, in ${language}`);
    await open("Paris.mp4");
    await tracks(1);
    assert.match(await shown(), /^(Off|关闭)$/, `nothing in a language that the page does not speak, in ${language}`);
    await stage.at("language").click();
  }

  stage.step("subtitles that cannot be read");
  for (const [path, announced] of [[badSrt, "holds no subtitles"], [badVtt, "holds no subtitles"], [goodSrt, "for now"]]) {
    await stage.at("subtitle-input").setInputFiles(path);
    await stage.at("toast").getByText(nameOf(path)).getByText(announced).waitFor();
  }
  await tracks(2);
  await stage.at("toast").getByRole("button").click();
  await stage.until("the subtitles to be beside the film", async () => (await (await fetch(`${stage.gateway}/api/files?prefix=Paris.srt`)).json()).files.length === 1);
  await stage.at("tray-clear").click();

  stage.step("narrow screens");
  await open("Rome.mp4");
  await tracks(2);
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 700 });
    for (const id of ["previous", "play", "next", "mute", "clock", "subtitles", "speed", "pip", "fullscreen"]) {
      const box = await stage.at(id).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= width, `${id} from ${box.x} to ${box.x + box.width} of ${width}`);
    }
    const bar = await page.locator(".bar").boundingBox();
    assert.ok(bar.height < 70, `one row above a player, at ${width}: ${bar.height}`);
    await stage.assertAccessible(`a film with subtitles, ${width} wide`);
  }
  await page.setViewportSize({ width: 1200, height: 800 });

  stage.step("full screen");
  await stage.at("fullscreen").click();
  await stage.until("full screen", () => page.evaluate(() => document.fullscreenElement !== null));
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).scrollbarGutter), "auto");
  await page.keyboard.press("f");
  await stage.until("no full screen", () => page.evaluate(() => document.fullscreenElement === null));

  stage.step("links");
  const [id] = (await (await fetch(`${stage.gateway}/api/files?prefix=Rome.mp4`)).json()).files.map((file) => file.id);
  for (const [time, seconds] of [["12s", 12], ["0m14s", 14], ["0:16", 16], ["18.5", 18.5]]) {
    await page.goto("about:blank");
    await page.goto(`${stage.gateway}/#/play/${id}?t=${time}`);
    await stage.until(`t=${time}`, async () => Math.abs(((await stage.media().catch(() => ({}))).currentTime ?? 0) - seconds) < 2);
  }
  await page.goto("about:blank");
  await page.goto(`${stage.gateway}/#/play/${id}?t=1h`);
  await stage.at("toast").getByText("It ends at 0:30").waitFor();
  await page.goto("about:blank");
  await page.goto(`${stage.gateway}/#/play/sample`);
  await stage.at("player-title").getByText("sample.mp4").waitFor();

  stage.step("keyboard");
  await page.goto(`${stage.gateway}/#/`);
  await stage.row("Rome.mp4").getByTestId("row-link").focus();
  await page.keyboard.press("Enter");
  await stage.plays();
  assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "stage");
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".stage input, .stage button")), "the controls come next");

  stage.step("a search");
  await page.keyboard.press("Escape");
  await stage.at("search").fill("Rome.mp4");
  await stage.until("one row", async () => (await stage.at("row").count()) === 1);
  await stage.at("row-link").click();
  await stage.until("neighbours of a search that has none", async () => (await stage.at("around").count()) > 1);
  await stage.plays();
  await stage.at("copy-wget").click();
  await stage.at("toast").getByText("Copied").waitFor();
  await page.keyboard.press("Escape");
  await stage.at("library").waitFor();
  assert.equal(await stage.at("toast").getByText("Copied").count(), 0, "what was said of a film stays with it");
  assert.equal(await stage.at("search").inputValue(), "Rome.mp4");
  await stage.at("row-link").click();
  await stage.at("back").click();
  assert.equal(await stage.at("search").inputValue(), "Rome.mp4");
  assert.equal(await stage.at("row").count(), 1);
  await stage.at("search").fill("");

  stage.step("a name of spaces");
  await stage.at("row").nth(5).waitFor();
  for (const name of await stage.at("row-link").allTextContents()) assert.notEqual(name.trim(), "");
  console.log("done");
}, { name: "watching" });
