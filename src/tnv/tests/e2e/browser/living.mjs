// What changes elsewhere: files that come and go while the list is shown, and two tabs that remember one visitor.

import { assert, stage } from "./stage.mjs";

await stage(async (stage) => {
  const { page } = stage;
  const store = (name) => fetch(`${stage.gateway}/files?name=${name}`, { method: "POST", headers: { "content-type": "video/mp4" }, body: "x" });
  const shows = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));

  stage.step("the list");
  await stage.until("all rows", async () => (await stage.at("row").count()) === 40);
  await stage.at("row-link").nth(30).focus();
  const focused = () => page.evaluate(() => [document.activeElement.textContent, Math.round(document.activeElement.getBoundingClientRect().top)]);
  const [name, top] = await focused();
  const url = (await (await store("new.mp4")).json()).url;
  await shows();
  await stage.row("new.mp4").waitFor({ state: "attached" });
  assert.deepEqual(await focused(), [name, top], "scroll and focus stay");
  await fetch(new URL(url, stage.gateway), { method: "DELETE" });
  await shows();
  await stage.row("new.mp4").waitFor({ state: "detached" });
  assert.equal(await stage.at("row").count(), 40);
  assert.deepEqual(await focused(), [name, top]);

  stage.step("two tabs");
  const session = () => page.evaluate(async () => (await fetch("/api/session")).json());
  const remembers = (count) => stage.until(`${count} positions`, async () => Object.keys((await session()).positions).length === count);
  await stage.at("remember").click();
  await stage.until("to be remembered", async () => (await session()).allowed);
  const watch = async (tab, film) => {
    await tab.goto(`${stage.gateway}/#/`);
    await tab.getByTestId("row").filter({ hasText: film }).getByTestId("row-link").click();
    await tab.waitForFunction(() => document.querySelector("video")?.readyState >= 2);
    await tab.evaluate(() => (document.querySelector("video").currentTime = 12));
  };
  const other = await stage.context.newPage();
  await other.goto(`${stage.gateway}/`);
  await watch(page, "one.mp4");
  await remembers(1);
  await watch(other, "two.mp4");
  await remembers(2);
  await watch(page, "three.mp4");
  await remembers(3);
  await stage.at("theme").click();
  await other.evaluate(() => (document.querySelector("video").currentTime = 20));
  await stage.until("what either has done last", async () => {
    const { theme, positions } = await session();
    return theme === "light" && Object.values(positions).some((seconds) => seconds >= 20);
  });
  await stage.at("remember").click();
  await stage.until("to be forgotten", async () => !(await session()).allowed);
  await other.evaluate(() => (document.querySelector("video").currentTime = 5));
  await other.getByTestId("remember").getByText("Remember me").waitFor();
  assert.equal((await session()).allowed, false, "forgotten by one tab is forgotten by all");
  console.log("done");
}, { name: "living" });
