// The tray at the lower corner: every upload with its bar, its speed, and what can be done about it.

import { byId, el, icon, iconButton, setIcon } from "./dom.js";
import { formatBytes, formatRate, formatSpan } from "./format.js";
import { setLabel, t } from "./i18n.js";

/** The nodes of each upload, built once and updated in place, so that focus stays where it is. */
const rows = new WeakMap();
let head;
let pending = false;

/** Draws a few times a second, whatever the number of events. */
export function renderTray(uploads, actions) {
	if (pending) return;
	pending = true;
	setTimeout(() => {
		pending = false;
		draw(uploads, actions);
	}, uploads.length > 50 ? 500 : 80);
}

export function foldTray(folded) {
	byId("tray").classList.toggle("folded", folded);
	if (head) head.fold.ariaExpanded = !folded;
}

/** What runs stands first, what is done last. */
const rank = ({ isActive, state }) => (isActive ? 0 : state === "done" ? 2 : 1);

function draw(uploads, actions) {
	const tray = byId("tray");
	tray.hidden = uploads.length === 0;
	head ??= buildHead(tray, actions);
	const focused = document.activeElement;
	const nodes = [...uploads].sort((a, b) => rank(a) - rank(b)).map((upload) => {
		let row = rows.get(upload);
		if (!row) rows.set(upload, (row = buildRow(upload, actions)));
		updateRow(row, upload);
		return row.node;
	});
	const held = [...head.list.children];
	for (const node of held) if (!nodes.includes(node)) node.remove();
	nodes.forEach((node, at) => head.list.children[at] !== node && head.list.insertBefore(node, head.list.children[at] ?? null));
	if (tray.contains(focused)) focused.focus({ preventScroll: true });
	updateHead(uploads);
}

function buildHead(tray, actions) {
	const title = el("h2", { testid: "tray-title" });
	const bar = el("progress", { max: "1", label: "uploads", testid: "progress-all" });
	const list = el("ul.tray-list", { id: "tray-list", role: "list" });
	const fold = iconButton("down", "fold", () => foldTray(!tray.classList.contains("folded")),
		{ "aria-controls": "tray-list", class: "fold", testid: "tray-fold" });
	const clear = el("button.plain", { t: "upload.clear", testid: "tray-clear", onclick: actions.clear });
	tray.append(el("div.tray-head", title, clear, fold), bar, list);
	return { title, bar, list, clear, fold };
}

function updateHead(uploads) {
	const open = uploads.filter((upload) => upload.state !== "done");
	const total = uploads.reduce((sum, upload) => sum + upload.size, 0);
	const sent = uploads.reduce((sum, upload) => sum + upload.sent, 0);
	head.title.textContent = t("upload.head", { done: uploads.length - open.length, all: uploads.length });
	head.bar.value = total ? sent / total : 1;
	head.fold.ariaExpanded = !byId("tray").classList.contains("folded");
	head.bar.hidden = open.length === 0;
	head.clear.hidden = open.length === uploads.length;
}

function buildRow(upload, actions) {
	const name = el("bdi.tray-name", upload.name);
	const bar = el("progress", { max: "1", testid: "progress", "aria-label": upload.name });
	const status = el("span.tray-status", { testid: "upload-status" });
	const toggle = iconButton("pause", "pause", () => rowAction(upload, actions), { testid: "upload-toggle" });
	const remove = iconButton("close", "upload.cancel", () => actions.remove(upload), { testid: "upload-remove" });
	const node = el("li", { testid: "upload" }, el("div.tray-text", name, status, bar), icon("check"), toggle, remove);
	return { node, bar, status, toggle, remove };
}

function rowAction(upload, actions) {
	if (upload.state === "lost") actions.choose(upload);
	else if (upload.isActive || upload.state === "waiting") actions.pause(upload);
	else actions.resume(upload);
}

const TOGGLES = { paused: ["play", "resume"], failed: ["again", "tryAgain"], lost: ["upload", "upload.choose"] };

function updateRow(row, upload) {
	const { state } = upload;
	row.node.dataset.state = state;
	row.bar.value = upload.size ? upload.sent / upload.size : Number(state === "done");
	row.bar.hidden = state === "done";
	row.status.textContent = [statusText(upload), upload.hasTwin && t("upload.twin")].filter(Boolean).join(" · ");
	const [picture, key] = TOGGLES[state] ?? ["pause", "pause"];
	row.toggle.hidden = state === "done";
	setIcon(row.toggle.firstElementChild, picture);
	setLabel(row.toggle, `${t(key)}: ${upload.name}`);
	setLabel(row.remove, `${t(state === "done" ? "close" : "upload.cancel")}: ${upload.name}`);
}

function statusText(upload) {
	const part = `${formatBytes(upload.sent)} / ${formatBytes(upload.size)}`;
	const percent = upload.size ? Math.floor((upload.sent / upload.size) * 100) : 0;
	switch (upload.state) {
		case "running": {
			const left = upload.secondsLeft;
			const parts = [`${percent}%`, upload.speed > 0 && formatRate(upload.speed), left !== undefined && t("left", { span: formatSpan(left) })];
			return parts.filter(Boolean).join(" · ");
		}
		case "waiting": return t("upload.waiting");
		case "paused": return `${t("upload.paused")} · ${part}`;
		case "retrying": return `${upload.problem} ${t("upload.retrying")}`;
		case "failed": return upload.problem;
		case "lost": return `${t("upload.choose")} · ${part}`;
		default: return formatBytes(upload.size);
	}
}
