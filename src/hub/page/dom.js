// Building blocks of the page: elements, dialogs, toasts. Text is only ever set as text, never as markup.

import { t } from "./i18n.js";

export const byId = (id) => document.getElementById(id);

/**
 * Builds an element: `el("p.large", { id: "x" }, "text", node)`. Attributes may be left out. Functions are listeners, `true` is
 * a bare attribute; what is `false`, `null` or `undefined` is left out.
 */
export function el(kind, ...parts) {
	const [tag, ...classes] = kind.split(".");
	const node = document.createElement(tag);
	if (tag === "button") node.type = "button";
	node.classList.add(...classes);
	const attributes = parts[0]?.constructor === Object ? parts.shift() : {};
	for (const [name, value] of Object.entries(attributes)) {
		if ((value ?? false) === false) continue;
		if (typeof value === "function") node.addEventListener(name.slice(2), value);
		else node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...parts.flat().filter((child) => (child ?? false) !== false));
	return node;
}

/** A place for a table that may be wider than the page: one can get there by Tab, and scroll. */
export const scroller = (label) => el("div.table", { tabindex: 0, role: "region", "aria-label": label });

/** A short message that goes away by itself. */
export function toast(sentence, bad = false) {
	const node = el(bad ? "div.toast.bad" : "div.toast", sentence);
	const box = byId("toasts");
	box.append(node);
	while (box.children.length > 3) box.firstElementChild.remove();
	setTimeout(() => node.remove(), bad ? 8000 : 3500);
}

/** Puts a text into the clipboard. Browsers keep pages without https away from it: then `shown` is marked; false. */
export async function copyText(text, shown) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		getSelection().selectAllChildren(shown);
		return false;
	}
}

/** Asks before something that cannot be undone; true if it is meant. */
export function confirmed(sentence, action) {
	return new Promise((resolve) => {
		const answer = (value) => () => (dialog.close(), resolve(value));
		const dialog = el("dialog", { onclose: () => (dialog.remove(), resolve(false)) },
			el("p", sentence),
			el("div.row.end",
				el("button.button", { onclick: answer(false) }, t("cancel")),
				el("button.button.danger", { onclick: answer(true) }, action)));
		document.body.append(dialog);
		dialog.showModal();
	});
}

/** Replaces what is in a node, without losing what has the focus by its `data-key`. */
export function show(node, ...children) {
	const key = document.activeElement?.closest?.("[data-key]")?.dataset.key;
	node.replaceChildren(...children.flat().filter((child) => (child ?? false) !== false));
	if (key) node.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}
