// The nodes, and what the hub thinks of them.

import { ask } from "./api.js";
import { confirmed, el, scroller, show, toast } from "./dom.js";
import { bytes, plain, rate } from "./format.js";
import { t } from "./i18n.js";

export function nodes(place, _, signal, redraw) {
	const list = scroller(t("nodes"));
	show(place, el("h1", t("nodes")), list);
	const run = (work) => async () => {
		try {
			await work();
			redraw();
		} catch (error) {
			toast(error.message, true);
		}
	};
	const path = (id) => `/api/v1/admin/nodes/${encodeURIComponent(id)}`;

	function row(node) {
		const { id, draining } = node;
		const drain = run(() => ask(path(id), { method: "PUT", body: { draining: !draining } }));
		const forget = run(async () => {
			if (await confirmed(t("forgetNode", { id: plain(id) }), t("forget"))) await ask(path(id), { method: "DELETE" });
		});
		const state = draining ? "draining" : node.online ? "online" : "offlineNode";
		const why = node.trouble ?? (node.found ? "" : t("notFound"));
		const capacity = node.storage_capacity || node.storage_used || 1;
		const silence = Math.max(0, Math.round(Date.now() / 1000 - node.last_heartbeat));
		return el("tr",
			el("td", el("strong", plain(id)), el("small", node.address)),
			el("td", el(`span.badge.${state}`, t(state)), el("small", [plain(node.status), plain(why)].filter(Boolean).join(": "))),
			el("td", el("meter", { min: 0, max: 1, low: 0.3, high: 0.7, optimum: 1, value: node.health }), el("small", node.health.toFixed(2))),
			el("td", el("meter", { min: 0, max: capacity, high: capacity * 0.9, optimum: 0, value: node.storage_used }), el("small", `${bytes(node.storage_used)} / ${bytes(node.storage_capacity)}`)),
			el("td.number", { title: node.packages.map((held) => `${held.id} ${held.version.slice(0, 12)}`).join("\n") }, String(node.meetings)),
			el("td.number", String(node.load), el("small", rate(node.rate))),
			el("td.number", t("ago", { n: silence })),
			el("td.number", node.score.toFixed(1)),
			el("td", el("button.plain", { "data-key": `drain ${id}`, onclick: drain }, t(draining ? "undrain" : "drain")), " ",
				el("button.plain", { "data-key": `forget ${id}`, onclick: forget }, t("forget"))));
	}

	return async () => {
		const { nodes: found } = await ask("/api/v1/admin/nodes", { signal });
		if (!found.length) return show(list, el("p.empty", t("noNodes")));
		const heads = ["id", "status", "health", "storage"].map((key) => el("th", t(key)));
		const figures = ["held", "live", "lastBeat", "score"].map((key) => el("th.number", t(key)));
		show(list, el("table", el("thead", el("tr", heads, figures, el("th", { "aria-label": t("actions") }))), el("tbody", found.map(row))));
	};
}
