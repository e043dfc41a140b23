// Every view in light and dark, on a desk and in a hand: axe-core finds no serious fault, nothing runs off the screen,
// and the pictures of docs/img are taken. looks.mjs

import { assert, stage } from "./stage.mjs";

const SIZES = { desk: { width: 1200, height: 780 }, hand: { width: 390, height: 844 } };

await stage(async (stage) => {
  const { page } = stage;
  for (const scheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    for (const [device, size] of Object.entries(SIZES)) {
      await page.setViewportSize(size);
      const look = async (view) => {
        stage.step(`${view} ${device} ${scheme}`);
        // Fades have come to their end.
        await page.waitForTimeout(400);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(wide <= 0, `${view} is ${wide} pixels too wide on ${device}`);
        await stage.shot(`${view}-${device}-${scheme}`);
        await stage.assertAccessible(`${view}, ${device}, ${scheme}`);
      };
      await page.goto(`${stage.gateway}/`);
      await page.reload();
      await stage.at("row").first().waitFor();
      await look("library");
      await stage.at("row").first().getByTestId("row-menu").click();
      await look("menu");
      await stage.at("menu-delete").click();
      await look("question");
      await stage.at("delete-cancel").click();
      await stage.at("row", { hasText: ".mp4" }).first().getByTestId("row-link").click();
      await stage.plays();
      await page.keyboard.press("k");
      await stage.until("a pause", async () => (await stage.media()).paused);
      await stage.seek(8);
      const beyond = await stage.at("controls").evaluate((bar) => {
        const edge = bar.getBoundingClientRect().right;
        const controls = [...bar.querySelectorAll("button, select")].filter((node) => node.offsetParent);
        return controls.filter((node) => node.getBoundingClientRect().right > edge).map((node) => node.getAttribute("aria-label"));
      });
      assert.deepEqual(beyond, [], `controls beyond the edge on ${device}`);
      // Where one stopped is worth remembering: the page asks.
      await stage.at("consent").waitFor();
      await look("player");
      const [left, right] = await stage.at("consent").evaluate((box) => {
        const sides = box.getBoundingClientRect();
        return [sides.left, document.documentElement.clientWidth - sides.right];
      });
      assert.ok(left > 15.5 && right > 15.5, `the question is ${left} and ${right} pixels from the edges on ${device}`);
      await page.goto(`${stage.gateway}/#/cluster`);
      await stage.at("storage").first().waitFor();
      await look("cluster");
    }
  }

  stage.step("chinese");
  await page.setViewportSize(SIZES.desk);
  await page.goto(`${stage.gateway}/`);
  await stage.at("language").click();
  await stage.until("the language", () => page.evaluate(() => document.documentElement.lang.startsWith("zh")));
  await stage.shot("library-chinese");
  await stage.assertAccessible("library in Chinese");
  await stage.at("language").click();

  stage.step("keyboard");
  await page.goto(`${stage.gateway}/`);
  await stage.at("row").first().waitFor();
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "search");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await stage.at("shortcuts-dialog").waitFor();
  await stage.assertAccessible("shortcuts");
  await page.keyboard.press("Escape");
  const reached = new Set();
  for (let n = 0; n < 40; n += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement?.dataset?.testid));
  }
  for (const id of ["search", "choose", "theme", "language", "row-link", "row-menu"]) assert.ok(reached.has(id), `${id} by Tab`);
  console.log("done");
}, { name: "looks" });
