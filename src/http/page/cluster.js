// The cluster: groups, storages, their space, and rates from the counters of two heartbeats.

import { getJson } from "./api.js";
import { animate, drawChart, WINDOW } from "./chart.js";
import { byId, el } from "./dom.js";
import { hear, on, pause } from "./events.js";
import { formatBytes, formatRate, formatSpan } from "./format.js";
import { t } from "./i18n.js";

const PERIOD = 2000;
/** Seconds without a heartbeat after which nothing is known of a storage's traffic. */
const SILENCE = 30;
/** Bytes per second below which a chart does not zoom in: noise is not traffic. */
const FLOOR = 50_000;

/** By storage: its counters at its last heartbeat, the rates since the one before, and those rates poll by poll. */
const histories = new Map();
let state;
let stop;
let charts = [];

export async function openCluster() {
	const closing = new AbortController();
	const { signal } = closing;
	stop = () => closing.abort();
	hear("language", render, signal);
	render();
	on(signal, "abort", animate(drawCharts));
	while (!signal.aborted) {
		if (!document.hidden) {
			const next = await getJson("/api/cluster", { signal }).catch(() => undefined);
			if (signal.aborted) return;
			byId("cluster").classList.toggle("stale", !next);
			if (next) take(next);
			render();
		}
		await pause(PERIOD, signal);
	}
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
		const history = histories.get(keyOf(storage)) ?? { in: [], out: [], rates: {} };
		histories.set(keyOf(storage), history);
		const { last, rates } = history;
		const span = storage.last_beat - last?.beat;
		const { bytes_in = 0, bytes_out = 0 } = storage.load ?? {};
		// Counters that fell are those of a server that has begun anew.
		if (span > 0) Object.assign(rates, { in: Math.max(0, bytes_in - last.bytes_in) / span, out: Math.max(0, bytes_out - last.bytes_out) / span });
		if (!last || span > 0) history.last = { beat: storage.last_beat, bytes_in, bytes_out };
		else if (state.now - last.beat > SILENCE) history.rates = {};
		for (const way of ["in", "out"]) {
			history[way].push({ at, rate: history.rates[way] ?? 0 });
			history[way] = history[way].filter((sample) => sample.at > at - WINDOW - 10);
		}
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
	const seen = el("p.count", state ? t("cluster.seen", { host: state.host || "–", version: state.version || "–" }) : "");
	const stale = el("p.badge.stale-note", { t: "cluster.stale" });
	const focused = document.activeElement;
	const children = [el("div.head", title, seen, stale)];
	charts = [];
	if (state) children.push(summary(storages, groups), ...groups.map(groupNode));
	if (state && !storages.length) children.push(el("p.message", { testid: "cluster-empty" }, t("cluster.none")));
	section.replaceChildren(...children);
	if (focused === title) title.focus({ preventScroll: true });
	drawCharts();
}

function summary(storages, groups) {
	const active = storages.filter((storage) => storage.status === "ACTIVE");
	return el("div.cards", { testid: "cluster-summary" },
		card("cluster.active", active.length, t("of", { n: storages.length }), [beads(storages)]),
		card("cluster.free", formatBytes(sum(groups, "free_bytes")), t("of", { n: formatBytes(sum(groups, "total_bytes")) }), [space(groups)]),
		rateCard("cluster.out", "out", total("out")),
		rateCard("cluster.in", "in", total("in")));
}

function card(key, value, note, children) {
	return el("div.card", el("h2", { t: key }), el("p.value", el("strong", value), " ", el("span", note)), ...children);
}

const rateCard = (key, way, rates) => card(key, formatRate(rates.at(-1)?.rate ?? 0), "", [chart(key, way, rates, "tall")]);

/** A bead for each storage, in the colour of its status. */
function beads(storages) {
	return el("div.beads", { "aria-hidden": "true" }, ...storages.slice(0, 60).map((storage) => el("i", { "data-status": storage.status })));
}

const spaceText = (holders) =>
	t("cluster.space", { free: formatBytes(sum(holders, "free_bytes")), total: formatBytes(sum(holders, "total_bytes")) });

function space(holders) {
	const most = sum(holders, "total_bytes");
	const used = most ? 1 - sum(holders, "free_bytes") / most : 0;
	const text = spaceText(holders);
	const bar = el("div.space", { class: used > 0.85 && "full", role: "img", "aria-label": text, title: text }, el("i"));
	bar.firstChild.style.width = `${Math.max(0, used) * 100}%`;
	return bar;
}

function chart(key, way, rates, shape) {
	const most = rates.reduce((top, { rate }) => Math.max(top, rate), 0);
	const words = { what: t(key), now: formatRate(rates.at(-1)?.rate ?? 0), most: formatRate(most) };
	const canvas = el(`canvas.chart.${way}`, { class: shape, role: "img", testid: `chart-${way}`, "aria-label": t("chart.of", words) });
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
	return el("section.group", { testid: "group", "aria-label": group.name },
		el("div.group-head", el("h2", el("bdi", group.name)), el("span.count", t("cluster.group", { n: storages.length, active })),
			el("span.count.end-note", spaceText([group]))),
		el("ul", { role: "list" }, ...storages.map(storageNode)));
}

function storageNode(storage) {
	const { load } = storage;
	const now = state.now || Date.now() / 1000;
	const times = [storage.version, storage.status === "OFFLINE"
		? storage.last_beat > 0 && t("cluster.beat", { span: formatSpan(now - storage.last_beat) })
		: storage.started > 0 && t("cluster.up", { span: formatSpan(now - storage.started) })];
	const history = histories.get(keyOf(storage)) ?? { in: [], out: [] };
	const figures = ["connections", "uploads", "downloads", "deletes"].map((field) =>
		el("div", el("dt", { t: field }), el("dd", (load?.[field] ?? 0).toLocaleString())));
	return el("li.storage", { testid: "storage", "data-status": storage.status },
		el("div",
			el("h3", el("bdi", storage.address || storage.host)),
			el("span.status", { "data-status": storage.status }, t(`status.${storage.status}`)),
			el("p.count", [storage.host !== storage.address && storage.host, ...times].filter(Boolean).join(" · "))),
		...(load ? [
			el("div.storage-space", space([load]), el("small", spaceText([load]))),
			el("div.storage-rates", ...["out", "in"].map((way) =>
				el("div", el("small", t(`cluster.${way}`), " ", el("b", formatRate(history[way].at(-1)?.rate ?? 0))), chart(`cluster.${way}`, way, history[way])))),
			el("dl.figures", ...figures),
		] : [el("p.count", { t: "cluster.noReport" })]));
}
