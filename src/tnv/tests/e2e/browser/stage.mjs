// What the browser tests stand on: a Chromium of their own, a log of everything it asks for and complains about, and
// steps that are taken again and again.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(`${process.env.E2E_TOOLS}/`);
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"];

/** Runs a test in a fresh browser and exits; says `step ...` as it goes on. */
export async function stage(run, options = {}) {
  const folder = await mkdtemp(join(tmpdir(), "tnv-browser-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS, viewport: { width: 1200, height: 800 },
    permissions: ["clipboard-read", "clipboard-write"], locale: "en-GB", ...options,
  });
  const stage = new Stage(context);
  let failure;
  try {
    await stage.open();
    await run(stage);
    stage.assertQuiet();
  } catch (error) {
    failure = error;
    await stage.page.screenshot({ path: join(process.env.SHOTS, `failed-${options.name ?? "page"}.png`) }).catch(() => {});
    console.error(stage.complaints.join("\n"));
  }
  await context.close();
  await rm(folder, { recursive: true, force: true });
  if (failure) {
    console.error(failure);
    process.exit(1);
  }
}

export class Stage {
  /** What should not have been: errors of the console, exceptions, requests to anywhere else. */
  complaints = [];
  /** Refusals that a step expects, by status: the browser logs them by itself. */
  expected = new Set();

  constructor(context) {
    this.context = context;
    this.gateway = process.env.GATEWAY;
    this.hub = process.env.HUB;
    this.node = process.env.NODE;
  }

  async open() {
    this.page = this.context.pages()[0] ?? (await this.context.newPage());
    const { page } = this;
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const text = message.text();
      if ([...this.expected].some((status) => text.includes(`status of ${status} `))) return;
      this.complaints.push(`console: ${text} ${message.location().url}`);
    });
    page.on("pageerror", (error) => this.complaints.push(`exception: ${error}`));
    page.on("dialog", (dialog) => (dialog.type() === "beforeunload" ? dialog.accept() : dialog.dismiss()));
    this.context.on("request", (request) => {
      const url = new URL(request.url());
      if (![this.gateway, this.hub, this.node].includes(url.origin) && !["data:", "blob:"].includes(url.protocol)) this.complaints.push(`request: ${url}`);
    });
    this.cdp = await this.context.newCDPSession(page);
    // The pages of hub and nodes are opened by their scripts.
    if (!this.gateway) return;
    await page.goto(`${this.gateway}/`);
    await this.at("library").waitFor();
  }

  /** The nodes with a test id. */
  at(id, options) {
    const found = this.page.getByTestId(id);
    return options ? found.filter(options) : found;
  }

  row(name) {
    return this.at("row", { hasText: name });
  }

  step(text) {
    console.log("step", text);
  }

  assertQuiet() {
    assert.deepEqual(this.complaints, []);
  }

  /** Drops files from disk onto the page, as a hand would. */
  async drop(files, { x = 600, y = 400 } = {}) {
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) await this.cdp.send("Input.dispatchDragEvent", { type, x, y, data });
  }

  /** Limits what the page sends, in bytes a second; 0 = no limit. */
  async throttle(rate) {
    await this.cdp.send("Network.enable");
    await this.cdp.send("Network.emulateNetworkConditions",
      { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: rate || -1 });
  }

  async until(what, ask, timeout = 30_000) {
    const end = Date.now() + timeout;
    for (;;) {
      const answer = await ask();
      if (answer) return answer;
      assert.ok(Date.now() < end, `still waiting: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** The film on the stage. */
  media() {
    return this.at("media").evaluate(({ currentTime, readyState, duration, paused, seeking, videoWidth, error }) =>
      ({ currentTime, readyState, duration, paused, seeking, videoWidth, error: error?.message }));
  }

  /** Waits until a film shows moving pictures. */
  async plays() {
    const first = await this.until("a picture", async () => {
      const film = await this.media().catch(() => undefined);
      return film?.readyState >= 3 && film.videoWidth > 0 && film;
    });
    await this.until("time to pass", async () => (await this.media()).currentTime > first.currentTime + 0.1);
    return this.media();
  }

  /** Drags the film to a position by its slider and waits for `seeked`. */
  async seek(seconds) {
    const film = await this.at("media").evaluateHandle((media) => media);
    await film.evaluate((media) => {
      media.hadSeeked = new Promise((resolve) => media.addEventListener("seeked", () => resolve(true), { once: true }));
    });
    await this.at("seek").evaluate((slider, at) => {
      slider.value = String(at);
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }, seconds);
    await film.evaluate((media) => media.hadSeeked);
    const { currentTime, readyState, error } = await this.media();
    assert.equal(error, undefined);
    assert.ok(Math.abs(currentTime - seconds) < 1.5, `${currentTime} s instead of ${seconds} s`);
    assert.ok(readyState >= 2, `a picture at ${seconds} s: readyState ${readyState}`);
  }

  /** No serious fault for those who use a keyboard or a screen reader. */
  async assertAccessible(view) {
    await this.page.evaluate(axe.source);
    const { violations } = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, nodes }) => `${view}: ${id}: ${nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`).join("\n")}`);
    assert.deepEqual(told, []);
  }

  /** The view that is open, in light and dark, on a desk and in a narrow hand: it fits, and axe-core finds no serious fault. */
  async assertLooks(view) {
    const { page } = this;
    const before = page.viewportSize();
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const [device, width] of [["desk", 1200], ["hand", 360]]) {
        await page.setViewportSize({ width, height: 800 });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(wide <= 0, `${view} is ${wide} pixels too wide on ${device}`);
        await this.assertAccessible(`${view}, ${device}, ${colorScheme}`);
        await this.shot(`${view}-${device}-${colorScheme}`);
      }
    }
    await page.setViewportSize(before);
  }

  shot(name) {
    return this.page.screenshot({ path: join(process.env.SHOTS, `${name}.png`) });
  }
}

export { assert };
