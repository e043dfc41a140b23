// One file of the list.

import { playLink } from "./api.js";
import { el, icon, iconButton, isReadOnly } from "./dom.js";
import { confirmDelete, openMenu } from "./dialogs.js";
import { formatBytes, formatClock, formatDate, formatDateFully, isShown, kindOf, shownName } from "./format.js";
import { t } from "./i18n.js";
import { position } from "./session.js";
import { copyUrl, copyWget, download, openInVlc } from "./share.js";

export function buildRow(file, search) {
	const kind = kindOf(file);
	const name = shownName(file);
	const date = file.created_ms
		? el("time", { datetime: new Date(file.created_ms).toISOString(), title: formatDateFully(file.created_ms) }, formatDate(file.created_ms))
		: el("span");
	const left = el("span.left-at", { testid: "left-at" });
	const copy = iconButton("link", "copy.url", () => copyUrl(file), { testid: "row-copy", class: "row-copy" });
	const more = iconButton("more", "more", () => openMenu(more, menuEntries(file)),
		{ testid: "row-menu", "aria-haspopup": "menu", "aria-expanded": "false" });
	for (const button of [copy, more]) button.ariaLabel += `: ${name}`;
	const row = el("li.file", { testid: "row", "data-id": file.id, "data-kind": kind },
		kindTile(kind),
		el("div.file-text",
			el("a.file-name", { href: playLink(file), testid: "row-link", title: name }, nameNode(name, search)),
			el("div.file-meta", el("span.file-size", formatBytes(file.size)), date, left)),
		el("div.file-actions", copy, more));
	row.update = () => {
		const at = position(file.id);
		left.textContent = at ? t("leftAt", { at: formatClock(at) }) : "";
		left.hidden = !at;
	};
	row.askToDelete = () => isReadOnly() || confirmDelete(file);
	row.update();
	return row;
}

export function kindTile(kind) {
	return el("span.tile", { "data-kind": kind }, icon(kind));
}

/** A name of any script, its folders dimmed, what was searched for marked; always text. */
export function nameNode(name, search = "") {
	const cut = name.replace(/\/+$/, "").lastIndexOf("/") + 1;
	const folder = cut > 0 && el("span.folder", ...marked(name.slice(0, cut), search));
	return el("bdi", folder, ...marked(name.slice(cut), search));
}

function marked(text, search) {
	const needle = search.toLowerCase();
	// Letters that change their length in lower case would shift the marks.
	const at = needle && text.toLowerCase().length === text.length ? text.toLowerCase().indexOf(needle) : -1;
	if (at < 0) return [text];
	return [text.slice(0, at), el("mark", text.slice(at, at + needle.length)), text.slice(at + needle.length)];
}

function menuEntries(file) {
	const entries = [
		{ icon: "link", key: "copy.url", run: () => copyUrl(file), testid: "menu-copy" },
		{ icon: "terminal", key: "copy.wget", run: () => copyWget(file), testid: "menu-wget" },
		{ icon: "download", key: "download", run: () => download(file), testid: "menu-download" },
	];
	if (isShown(file)) entries.splice(1, 0, { icon: "vlc", key: "vlc", run: () => openInVlc(file, position(file.id)), testid: "menu-vlc" });
	if (!isReadOnly()) {
		entries.push({ icon: "trash", key: "delete", run: () => confirmDelete(file), testid: "menu-delete", danger: true });
	}
	return entries;
}
