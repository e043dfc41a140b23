// The cluster: groups, storages, their space, and rates from two polls of their counters.

import { getJson } from "./api.js";
import { animate, drawChart, WINDOW } from "./chart.js";
import { byId, el } from "./dom.js";
import { formatBytes, formatRate, formatSpan } from "./format.js";
import { t } from "./i18n.js";

const PERIOD = 2000;
/** Storages report less often than one polls: a rate is taken over these seconds, or it would jump. */
const SPAN = 6;
/** Bytes per second below which a chart does not zoom in: noise is not traffic. */
const FLOOR = 50_000;

/** By storage: its samples of counters, and the rates made of them. */
const histories = new Map();
let state;
let stop;
let charts = [];

export function openCluster() {
	const closing = new AbortController();
	stop = () => closing.abort();
	render();
	const poll = async () => {
		if (closing.signal.aborted) return;
		if (!document.hidden) {
			try {
				take(await getJson("/api/cluster", { signal: closing.signal }));
				byId("cluster").classList.remove("stale");
			} catch (failure) {
				if (failure.name === "AbortError") return;
				byId("cluster").classList.add("stale");
			}
			render();
		}
		const timer = setTimeout(poll, PERIOD);
		closing.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
	};
	poll();
	const still = animate(drawCharts);
	closing.signal.addEventListener("abort", still);
	document.addEventListener("tnv:language", render, { signal: closing.signal });
}

export function closeCluster() {
	stop?.();
	charts = [];
	byId("cluster").replaceChildren();
}

const seconds = () => performance.now() / 1000;
// Not the id alone: storages that share a volume have the same one.
const keyOf = ({ id, host, address }) => `${id} ${host} ${address}`;
const all = () => (state?.groups ?? []).flatMap((group) => group.storages ?? []);
/** Of groups, whose trackers count a shared volume once, or of the load of one storage. */
const sum = (holders, field) => holders.reduce((total, holder) => total + (holder[field] ?? 0), 0);

function take(next) {
	state = next;
	const at = seconds();
	for (const storage of all()) {
		const history = histories.get(keyOf(storage)) ?? { samples: [], in: [], out: [] };
		histories.set(keyOf(storage), history);
		const { bytes_in: received = 0, bytes_out: sent = 0 } = storage.load ?? {};
		const last = history.samples.at(-1);
		// Counters that fell, or a tab that slept, begin a new measurement.
		if (last && (received < last.received || sent < last.sent || at - last.at > 4 * SPAN)) history.samples = [];
		history.samples.push({ at, received, sent });
		while (history.samples.length > 2 && at - history.samples[1].at >= SPAN) history.samples.shift();
		const [first] = history.samples;
		const span = at - first.at;
		if (!span) continue;
		history.in.push({ at, rate: (received - first.received) / span });
		history.out.push({ at, rate: (sent - first.sent) / span });
		for (const rates of [history.in, history.out]) while (rates[0].at < at - WINDOW - 10) rates.shift();
	}
}

/** The rates of many storages added up, poll by poll. */
function total(way) {
	const sums = new Map();
	for (const storage of all()) {
		for (const { at, rate } of histories.get(keyOf(storage))?.[way] ?? []) sums.set(at, (sums.get(at) ?? 0) + rate);
	}
	return [...sums].sort(([a], [b]) => a - b).map(([at, rate]) => ({ at, rate }));
}

function render() {
	const section = byId("cluster");
	const storages = all();
	const groups = state?.groups ?? [];
	// Whoever is about to copy an address keeps the selection.
	if (!getSelection().isCollapsed && section.contains(getSelection().anchorNode)) return;
	const title = byId("cluster-title") ?? el("h1", { id: "cluster-title", tabindex: "-1", t: "cluster" });
	const seen = el("p", { class: "count" }, state ? t("cluster.seen", { host: state.host || "–", version: state.version || "–" }) : "");
	const stale = el("p", { class: "badge stale-note", t: "cluster.stale" });
	const focused = document.activeElement;
	const children = [el("div", { class: "head" }, title, seen, stale)];
	charts = [];
	if (state) children.push(summary(storages, groups), ...groups.map(groupNode));
	if (state && !storages.length) children.push(el("p", { class: "message", testid: "cluster-empty" }, t("cluster.none")));
	section.replaceChildren(...children);
	if (focused === title) title.focus({ preventScroll: true });
	drawCharts();
}

function summary(storages, groups) {
	const active = storages.filter((storage) => storage.status === "ACTIVE");
	return el("div", { class: "cards", testid: "cluster-summary" },
		card("cluster.active", String(active.length), t("of", { n: storages.length }), [beads(storages)]),
		card("cluster.free", formatBytes(sum(groups, "free_bytes")), t("of", { n: formatBytes(sum(groups, "total_bytes")) }), [space(groups)]),
		rateCard("cluster.out", "out", total("out")),
		rateCard("cluster.in", "in", total("in")));
}

function card(key, value, note, children) {
	return el("div", { class: "card" }, el("h2", { t: key }), el("p", { class: "value" }, el("strong", {}, value), " ", el("span", {}, note)), ...children);
}

const rateCard = (key, way, rates) => card(key, formatRate(rates.at(-1)?.rate ?? 0), "", [chart(key, way, rates, "tall")]);

/** A bead for each storage, in the colour of its status. */
function beads(storages) {
	return el("div", { class: "beads", "aria-hidden": "true" }, ...storages.slice(0, 60).map((storage) => el("i", { "data-status": storage.status })));
}

function space(holders) {
	const most = sum(holders, "total_bytes");
	const used = most ? 1 - sum(holders, "free_bytes") / most : 0;
	const text = t("cluster.space", { free: formatBytes(sum(holders, "free_bytes")), total: formatBytes(most) });
	const bar = el("div", { class: used > 0.85 ? "space full" : "space", role: "img", "aria-label": text, title: text }, el("i"));
	bar.firstChild.style.width = `${Math.max(0, used) * 100}%`;
	return bar;
}

function chart(key, way, rates, shape = "") {
	const most = rates.reduce((top, { rate }) => Math.max(top, rate), 0);
	const words = { what: t(key), now: formatRate(rates.at(-1)?.rate ?? 0), most: formatRate(most) };
	const canvas = el("canvas", { class: `chart ${way} ${shape}`, role: "img", testid: `chart-${way}`, "aria-label": t("chart.of", words) });
	charts.push({ canvas, rates, most: Math.max(most * 1.15, FLOOR) });
	return canvas;
}

function drawCharts() {
	// The newest poll is shown sliding in: one period late, the curve is never torn.
	const now = seconds() - PERIOD / 1000;
	for (const { canvas, rates, most } of charts) drawChart(canvas, rates, now, most);
}

function groupNode(group) {
	const storages = group.storages ?? [];
	const active = storages.filter((storage) => storage.status === "ACTIVE").length;
	return el("section", { class: "group", testid: "group", "aria-label": group.name },
		el("div", { class: "group-head" }, el("h2", {}, el("bdi", {}, group.name)), el("span", { class: "count" }, t("cluster.group", { n: storages.length, active })),
			el("span", { class: "count end-note" }, t("cluster.space", { free: formatBytes(group.free_bytes), total: formatBytes(group.total_bytes) }))),
		el("ul", { class: "storages", role: "list" }, ...storages.map(storageNode)));
}

function storageNode(storage) {
	const { load } = storage;
	const now = state.now || Date.now() / 1000;
	const times = [storage.version, storage.status === "OFFLINE"
		? storage.last_beat > 0 && t("cluster.beat", { span: formatSpan(now - storage.last_beat) })
		: storage.started > 0 && t("cluster.up", { span: formatSpan(now - storage.started) })];
	const history = histories.get(keyOf(storage)) ?? { in: [], out: [] };
	const figures = ["connections", "uploads", "downloads", "deletes"].map((field) =>
		el("div", {}, el("dt", { t: `cluster.${field}` }), el("dd", {}, (load?.[field] ?? 0).toLocaleString())));
	return el("li", { class: "storage", testid: "storage", "data-status": storage.status },
		el("div", { class: "storage-head" },
			el("h3", {}, el("bdi", {}, storage.address || storage.host)),
			el("span", { class: "status", "data-status": storage.status }, t(`status.${storage.status}`)),
			el("p", { class: "count" }, [storage.host !== storage.address && storage.host, ...times].filter(Boolean).join(" · "))),
		...(load ? [
			el("div", { class: "storage-space" }, space([load]), el("small", {}, t("cluster.space", { free: formatBytes(load.free_bytes), total: formatBytes(load.total_bytes) }))),
			el("div", { class: "storage-rates" }, ...["out", "in"].map((way) =>
				el("div", {}, el("small", {}, t(`cluster.${way}`), " ", el("b", {}, formatRate(history[way].at(-1)?.rate ?? 0))), chart(`cluster.${way}`, way, history[way])))),
			el("dl", { class: "figures" }, ...figures),
		] : [el("p", { class: "count", t: "cluster.noReport" })]));
}
