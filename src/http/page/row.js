// One file of the list.

import { el, icon, iconButton } from "./dom.js";
import { confirmDelete, openMenu } from "./dialogs.js";
import { formatBytes, formatClock, formatDate, formatDateFully, isShown, kindOf, shownName } from "./format.js";
import { t } from "./i18n.js";
import { position } from "./session.js";
import { copyUrl, copyWget, download, openInVlc } from "./share.js";

export const playLink = (file) => `#/play/${encodeURIComponent(file.id)}`;

export function buildRow(file, search) {
	const kind = kindOf(file);
	const name = shownName(file);
	const date = file.created_ms
		? el("time", { datetime: new Date(file.created_ms).toISOString(), title: formatDateFully(file.created_ms) }, formatDate(file.created_ms))
		: el("span");
	const left = el("span", { class: "left-at", testid: "left-at" });
	const copy = iconButton("link", "copy.url", () => copyUrl(file), { testid: "row-copy", class: "tool row-copy" });
	const more = iconButton("more", "more", () => openMenu(more, menuEntries(file)),
		{ testid: "row-menu", "aria-haspopup": "menu", "aria-expanded": "false" });
	for (const button of [copy, more]) button.setAttribute("aria-label", `${button.getAttribute("aria-label")}: ${name}`);
	const row = el("li", { class: "file", testid: "row", "data-id": file.id, "data-kind": kind },
		kindTile(kind),
		el("div", { class: "file-text" },
			el("a", { href: playLink(file), class: "file-name", testid: "row-link", title: name }, nameNode(name, search)),
			el("div", { class: "file-meta" }, el("span", { class: "file-size" }, formatBytes(file.size)), date, left)),
		el("div", { class: "file-actions" }, copy, more));
	const update = () => {
		const at = position(file.id);
		left.textContent = at ? t("leftAt", { at: formatClock(at) }) : "";
		left.hidden = !at;
	};
	row.addEventListener("tnv:update", update);
	row.addEventListener("tnv:delete", () => document.documentElement.classList.contains("read-only") || confirmDelete(file));
	update();
	return row;
}

export function kindTile(kind) {
	return el("span", { class: "tile", "data-kind": kind }, icon(kind));
}

/** A name of any script, its folders dimmed, what was searched for marked; always text. */
export function nameNode(name, search = "") {
	const cut = name.replace(/\/+$/, "").lastIndexOf("/") + 1;
	const folder = cut > 0 && el("span", { class: "folder" }, ...marked(name.slice(0, cut), search));
	return el("bdi", {}, folder, ...marked(name.slice(cut), search));
}

function marked(text, search) {
	const needle = search.toLowerCase();
	// Letters that change their length in lower case would shift the marks.
	const at = needle && text.toLowerCase().length === text.length ? text.toLowerCase().indexOf(needle) : -1;
	if (at < 0) return [text];
	return [text.slice(0, at), el("mark", {}, text.slice(at, at + needle.length)), text.slice(at + needle.length)];
}

function menuEntries(file) {
	const entries = [
		{ icon: "link", key: "copy.url", run: () => copyUrl(file), testid: "menu-copy" },
		{ icon: "terminal", key: "copy.wget", run: () => copyWget(file), testid: "menu-wget" },
		{ icon: "download", key: "download", run: () => download(file), testid: "menu-download" },
	];
	if (isShown(file)) entries.splice(1, 0, { icon: "vlc", key: "vlc", run: () => openInVlc(file, position(file.id)), testid: "menu-vlc" });
	if (!document.documentElement.classList.contains("read-only")) {
		entries.push({ icon: "trash", key: "delete", run: () => confirmDelete(file), testid: "menu-delete", danger: true });
	}
	return entries;
}
