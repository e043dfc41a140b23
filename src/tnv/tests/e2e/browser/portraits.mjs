// The two pictures in the README: a film that plays, in the dark; the library while something arrives, in the light.
// portraits.mjs FILM, which is uploaded slowly.

import { stage } from "./stage.mjs";

const [film] = process.argv.slice(2);

await stage(async (stage) => {
  const { page } = stage;
  stage.step("dark");
  await page.emulateMedia({ colorScheme: "dark" });
  await stage.row("Sample clip").getByTestId("row-link").click();
  await stage.plays();
  await stage.seek(13);
  await page.keyboard.press("k");
  await stage.until("a pause", async () => (await stage.media()).paused);
  if (await stage.at("consent").isVisible()) await stage.at("consent-no").click();
  await page.mouse.move(500, 300);
  await page.evaluate(() => document.activeElement?.blur());
  await page.waitForTimeout(500);
  await stage.shot("page-dark");

  stage.step("light");
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(`${stage.gateway}/#/`);
  await stage.throttle(3 << 20);
  await stage.drop([film]);
  await stage.until("some progress", async () => /^(4[5-9]|[5-9]\d)%/.test((await stage.at("upload-status").textContent().catch(() => "")) ?? ""));
  await page.mouse.move(2, 700);
  await page.evaluate(() => document.activeElement?.blur());
  await stage.shot("page-light");
  await stage.throttle(0);
  console.log("done");
}, { viewport: { width: 1200, height: 780 }, name: "portraits" });
