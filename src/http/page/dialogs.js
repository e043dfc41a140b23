// Questions and help, as <dialog>; and the menu of a file.

import { deleteFile } from "./api.js";
import { byId, el, icon, root, toast } from "./dom.js";
import { on, tell } from "./events.js";
import { shownName } from "./format.js";
import { t } from "./i18n.js";

/** Shows a dialog and resolves with the value of the button that closed it; "" for Esc. Focus goes back after. */
function showDialog(dialog) {
	const before = document.activeElement;
	document.body.append(dialog);
	on(dialog, "click", (event) => event.target === dialog && dialog.close(""));
	dialog.showModal();
	return new Promise((resolve) => {
		on(dialog, "close", () => {
			dialog.remove();
			if (before?.isConnected) before.focus();
			resolve(dialog.returnValue);
		});
	});
}

const dialogButton = (value, key, attributes) =>
	el("button.button", { type: "submit", value, t: key, ...attributes });

/** Asks, deletes, and says how it went. Resolves with whether the file is gone. */
export async function confirmDelete(file) {
	const dialog = el("dialog", { testid: "delete-dialog", "aria-labelledby": "delete-title", "aria-describedby": "delete-text" },
		el("form", { method: "dialog" },
			el("h2", { id: "delete-title", t: "delete.title" }),
			el("p", { id: "delete-text" }, el("bdi.dialog-name", shownName(file)), el("span", { t: "delete.text" })),
			el("div.row-end",
				dialogButton("", "cancel", { class: "quiet", testid: "delete-cancel", autofocus: true }),
				dialogButton("yes", "delete", { class: "danger", testid: "delete-confirm" }))));
	if ((await showDialog(dialog)) !== "yes") return false;
	try {
		await deleteFile(file.id);
	} catch (failure) {
		if (failure.status !== 404) {
			toast(failure.sentence ?? String(failure), { bad: true });
			return false;
		}
	}
	toast(t("deleted"), { lasting: true });
	tell("deleted", file.id);
	return true;
}

const SHORTCUTS = [
	["keys.play", "Space", "K"], ["keys.seek5", "←", "→"], ["keys.seek10", "J", "L"], ["volume", "↑", "↓"], ["mute", "M"],
	["full", "F"], ["pip", "I"], ["subtitles", "C"], ["keys.speed", "<", ">"], ["keys.percent", "0", "…", "9"],
	["keys.neighbours", "Shift P", "Shift N"], ["toLibrary", "Esc"], ["search", "/"],
];

export function showShortcuts() {
	if (document.querySelector("dialog[open]")) return;
	const list = SHORTCUTS.map(([key, ...keys]) =>
		el("div", el("dt", { t: key }), el("dd", ...keys.map((name) => el("kbd", name)))));
	const dialog = el("dialog.wide", { testid: "shortcuts-dialog", "aria-labelledby": "shortcuts-title" },
		el("form", { method: "dialog" },
			el("h2", { id: "shortcuts-title", t: "keys" }),
			el("dl.shortcuts", ...list),
			el("div.row-end", dialogButton("", "close", { autofocus: true }))));
	showDialog(dialog);
}

/** Opens a menu at a button; its entries are { icon, key, run, testid, danger }. */
export function openMenu(button, entries) {
	const items = entries.map((entry) =>
		el("button", {
			role: "menuitem", tabindex: "-1", testid: entry.testid, class: entry.danger && "danger",
			onclick: () => (close(true), entry.run()),
		}, icon(entry.icon), el("span", { t: entry.key })));
	const menu = el("div.menu", { role: "menu", testid: "menu", "aria-label": button.ariaLabel }, ...items);
	const closing = new AbortController();
	const close = (refocus) => {
		closing.abort();
		menu.remove();
		button.ariaExpanded = false;
		if (refocus) button.focus();
	};
	on(menu, "keydown", (event) => {
		const at = items.indexOf(document.activeElement);
		const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
		if (next !== undefined) items.at(next % items.length).focus();
		else if (event.key === "Escape" || event.key === "Tab") close(true);
		else return;
		event.preventDefault();
		event.stopPropagation();
	});
	on(document, "pointerdown", (event) => menu.contains(event.target) || close(false), closing.signal);
	on(window, "scroll hashchange", () => close(false), closing.signal);
	byId("main").append(menu);
	place(menu, button.getBoundingClientRect());
	button.ariaExpanded = true;
	items[0].focus({ preventScroll: true });
}

/** Below the button and flush with its end, or above it where there is no room. */
function place(menu, at) {
	const below = at.bottom + menu.offsetHeight + 12 < innerHeight;
	menu.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - menu.offsetHeight - 6)}px`;
	menu.style.left = `${Math.max(8, Math.min(at.right, root.clientWidth - 8) - menu.offsetWidth)}px`;
}
