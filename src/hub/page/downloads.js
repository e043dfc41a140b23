// What the hub serves itself now, and what was done last.

import { ask } from "./api.js";
import { el, scroller, show } from "./dom.js";
import { bytes, moment, plain, rate } from "./format.js";
import { t } from "./i18n.js";

export function downloads(place, _, signal) {
	const live = scroller(t("downloads"));
	const lines = scroller(t("audit"));
	show(place, el("h1", t("downloads")), live, el("h2", t("audit")), lines);
	return async () => {
		const [{ downloads: running }, { lines: last }] = await Promise.all([
			ask("/api/v1/admin/downloads", { signal }),
			ask("/api/v1/admin/audit", { signal }),
		]);
		show(live, running.length ? table(["what", "who", "progress", "rate", "time"], running.map(row)) : el("p.empty", t("noDownloads")));
		show(lines, last.length ? table(["at", "what", "who", "bytes", "result"], last.slice(0, 100).map(line)) : el("p.empty", t("noAudit")));
	};
}

const FIGURES = ["rate", "time", "bytes"];

const table = (heads, rows) => {
	const head = (key) => el(FIGURES.includes(key) ? "th.number" : "th", t(key));
	return el("table", el("thead", el("tr", heads.map(head))), el("tbody", rows));
};

const row = (download) =>
	el("tr",
		el("td", el("strong", plain(download.meeting)), el("small", [t(`action.${download.action}`), download.path && plain(download.path)].filter(Boolean).join(": "))),
		el("td", download.node ? `${plain(download.node)} (${download.peer})` : download.peer),
		el("td", el("progress", { max: Math.max(1, download.size), value: download.sent }), el("small", `${bytes(download.sent)} / ${bytes(download.size)}`)),
		el("td.number", rate(download.rate)),
		el("td.number", t("seconds", { n: download.seconds })));

const line = (entry) =>
	el("tr",
		el("td", moment(entry.at_ms)),
		el("td", el("strong", plain(entry.meeting)), el("small", t(`action.${entry.action}`))),
		el("td", entry.node ? `${plain(entry.node)} (${entry.peer})` : entry.peer),
		el("td.number", bytes(entry.bytes)),
		el("td", t(`result.${entry.result}`), entry.reason && el("small", plain(entry.reason))));
