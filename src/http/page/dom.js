// Building blocks of the page: elements, icons, toasts and what a screen reader is told.

import { setLabel, t } from "./i18n.js";

export const byId = (id) => document.getElementById(id);

/**
 * Builds an element. Text is only ever set as text, never as markup.
 * `t` and `label` are keys of the dictionary (text; accessible name and tooltip), `testid` is for tests,
 * functions are listeners, `true` is a bare attribute, `false` and `undefined` leave one out.
 */
export function el(tag, attributes = {}, ...children) {
	const node = document.createElement(tag);
	if (tag === "button") node.type = "button";
	for (const [name, value] of Object.entries(attributes)) {
		if (value === undefined || value === false || value === null) continue;
		if (typeof value === "function") node.addEventListener(name.slice(2), value);
		else if (name === "t") {
			node.dataset.t = value;
			node.textContent = t(value);
		} else if (name === "label") {
			node.dataset.tLabel = value;
			setLabel(node, t(value));
		} else if (name === "testid") node.dataset.testid = value;
		else node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...children.filter((child) => child !== undefined && child !== null && child !== false));
	return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("class", "icon");
	svg.setAttribute("viewBox", "0 0 24 24");
	svg.setAttribute("aria-hidden", "true");
	svg.append(document.createElementNS(SVG, "use"));
	setIcon(svg, name);
	return svg;
}

export function setIcon(svg, name) {
	svg.firstElementChild.setAttribute("href", `#i-${name}`);
}

export function iconButton(name, label, onclick, attributes = {}) {
	return el("button", { class: "tool", label, onclick, ...attributes }, icon(name));
}

export function wordButton(name, key, onclick, attributes = {}) {
	return el("button", { class: "button", onclick, ...attributes }, icon(name), el("span", { t: key }));
}

/** Tells a screen reader something, without moving its focus. The same sentence twice is said twice. */
export function announce(sentence) {
	const live = byId("live");
	live.textContent = live.textContent === sentence ? `${sentence}\u00a0` : sentence;
}

/**
 * A short message at the lower edge that goes away by itself.
 * @param {{bad?: boolean, action?: {key: string, run: () => void}}} options
 */
export function toast(sentence, { bad = false, action } = {}) {
	const node = el("div", { class: bad ? "toast bad" : "toast" }, icon(bad ? "warn" : "check"), el("span", {}, sentence));
	const remove = () => node.remove();
	if (action) {
		const run = () => (action.run(), remove());
		node.append(el("button", { class: "plain", t: action.key, onclick: run }));
	}
	const box = byId("toasts");
	box.append(node);
	while (box.children.length > 3) box.firstElementChild.remove();
	setTimeout(remove, bad || action ? 7000 : 3200);
	announce(sentence);
}

export function debounce(milliseconds, run) {
	let timer;
	return (...values) => {
		clearTimeout(timer);
		timer = setTimeout(run, milliseconds, ...values);
	};
}

export function saveText(name, type, text) {
	const url = URL.createObjectURL(new Blob([text], { type }));
	el("a", { href: url, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Puts a text on the clipboard, also where the page came by plain HTTP and the browser's API is missing. */
export async function copyText(text) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = el("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
		area.value = text;
		const focused = document.activeElement;
		(focused?.closest("dialog") ?? document.body).append(area);
		area.select();
		const copied = document.execCommand("copy");
		area.remove();
		focused?.focus();
		return copied;
	}
}
