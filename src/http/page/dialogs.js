// Questions and help, as <dialog>; and the menu of a file.

import { deleteFile } from "./api.js";
import { byId, el, icon, toast } from "./dom.js";
import { shownName } from "./format.js";
import { t } from "./i18n.js";

/** Shows a dialog and resolves with the value of the button that closed it; "" for Esc. Focus goes back after. */
function showDialog(dialog) {
	const before = document.activeElement;
	document.body.append(dialog);
	dialog.addEventListener("click", (event) => event.target === dialog && dialog.close(""));
	dialog.showModal();
	return new Promise((resolve) => {
		dialog.addEventListener("close", () => {
			dialog.remove();
			if (before?.isConnected) before.focus();
			resolve(dialog.returnValue);
		});
	});
}

const dialogButton = (value, key, attributes) =>
	el("button", { type: "submit", value, t: key, ...attributes });

/** Asks, deletes, and says how it went. Resolves with whether the file is gone. */
export async function confirmDelete(file) {
	const dialog = el("dialog", { testid: "delete-dialog", "aria-labelledby": "delete-title", "aria-describedby": "delete-text" },
		el("form", { method: "dialog" },
			el("h2", { id: "delete-title", t: "delete.title" }),
			el("p", { id: "delete-text" }, el("bdi", { class: "dialog-name" }, shownName(file)), el("span", { t: "delete.text" })),
			el("div", { class: "row-end" },
				dialogButton("", "cancel", { class: "button quiet", testid: "delete-cancel", autofocus: true }),
				dialogButton("yes", "delete", { class: "button danger", testid: "delete-confirm" }))));
	if ((await showDialog(dialog)) !== "yes") return false;
	try {
		await deleteFile(file.id);
	} catch (failure) {
		if (failure.status !== 404) {
			toast(failure.sentence ?? String(failure), { bad: true });
			return false;
		}
	}
	toast(t("deleted"));
	document.dispatchEvent(new CustomEvent("tnv:deleted", { detail: file.id }));
	return true;
}

const SHORTCUTS = [
	["keys.play", "Space", "K"], ["keys.seek5", "←", "→"], ["keys.seek10", "J", "L"], ["keys.volume", "↑", "↓"], ["keys.mute", "M"],
	["keys.full", "F"], ["keys.pip", "I"], ["keys.subtitles", "C"], ["keys.speed", "<", ">"], ["keys.percent", "0", "…", "9"],
	["keys.neighbours", "Shift P", "Shift N"], ["keys.back", "Esc"], ["keys.search", "/"],
];

export function showShortcuts() {
	if (document.querySelector("dialog[open]")) return;
	const list = SHORTCUTS.map(([key, ...keys]) =>
		el("div", {}, el("dt", { t: key }), el("dd", {}, ...keys.map((name) => el("kbd", {}, name)))));
	const dialog = el("dialog", { testid: "shortcuts-dialog", class: "wide", "aria-labelledby": "shortcuts-title" },
		el("form", { method: "dialog" },
			el("h2", { id: "shortcuts-title", t: "keys" }),
			el("dl", { class: "shortcuts" }, ...list),
			el("div", { class: "row-end" }, dialogButton("", "close", { class: "button", autofocus: true }))));
	showDialog(dialog);
}

/**
 * Opens a menu at a button.
 * @param {{icon: string, key: string, run: () => void, testid?: string, danger?: boolean}[]} entries
 */
export function openMenu(button, entries) {
	const items = entries.map((entry) =>
		el("button", {
			role: "menuitem", tabindex: "-1", testid: entry.testid, class: entry.danger && "danger",
			onclick: () => (close(true), entry.run()),
		}, icon(entry.icon), el("span", { t: entry.key })));
	const menu = el("div", { class: "menu", role: "menu", testid: "menu", "aria-label": button.getAttribute("aria-label") }, ...items);
	const closing = new AbortController();
	const close = (refocus) => {
		closing.abort();
		menu.remove();
		button.setAttribute("aria-expanded", "false");
		if (refocus) button.focus();
	};
	menu.addEventListener("keydown", (event) => {
		const at = items.indexOf(document.activeElement);
		const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
		if (next !== undefined) items.at(next % items.length).focus();
		else if (event.key === "Escape" || event.key === "Tab") close(true);
		else return;
		event.preventDefault();
		event.stopPropagation();
	});
	const outside = (event) => menu.contains(event.target) || close(false);
	document.addEventListener("pointerdown", outside, { signal: closing.signal, capture: true });
	addEventListener("scroll", () => close(false), { signal: closing.signal });
	addEventListener("hashchange", () => close(false), { signal: closing.signal });
	byId("main").append(menu);
	place(menu, button.getBoundingClientRect());
	button.setAttribute("aria-expanded", "true");
	items[0].focus({ preventScroll: true });
}

/** Below the button and flush with its end, or above it where there is no room. */
function place(menu, at) {
	const below = at.bottom + menu.offsetHeight + 12 < innerHeight;
	menu.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - menu.offsetHeight - 6)}px`;
	menu.style.left = `${Math.max(8, Math.min(at.right, document.documentElement.clientWidth - 8) - menu.offsetWidth)}px`;
}
