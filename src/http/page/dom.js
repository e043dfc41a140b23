// Building blocks of the page: elements, icons, toasts and what a screen reader is told.

import { setLabel, t } from "./i18n.js";

export const root = document.documentElement;
export const byId = (id) => document.getElementById(id);
export const isReadOnly = () => root.classList.contains("read-only");

/**
 * Builds an element: `el("p.large.warm", { id: "x" }, "text", node)`. Text is only ever set as text, never as markup.
 * Attributes may be left out. `t` and `label` are keys of the dictionary (text; accessible name and tooltip), `testid` is
 * for tests, functions are listeners, `true` is a bare attribute; what is `false` or `undefined` is left out.
 */
export function el(kind, ...parts) {
	const [tag, ...classes] = kind.split(".");
	const node = document.createElement(tag);
	if (tag === "button") node.type = "button";
	node.classList.add(...classes);
	const attributes = parts[0]?.constructor === Object ? parts.shift() : {};
	for (const [name, value] of Object.entries(attributes)) {
		if (isAbsent(value)) continue;
		if (typeof value === "function") node.addEventListener(name.slice(2), value);
		else if (name === "class") node.classList.add(...value.split(" "));
		else if (name === "t") {
			node.dataset.t = value;
			node.textContent = t(value);
		} else if (name === "label") {
			node.dataset.tLabel = value;
			setLabel(node, t(value));
		} else if (name === "testid") node.dataset.testid = value;
		else node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...parts.filter((child) => !isAbsent(child)));
	return node;
}

const isAbsent = (value) => (value ?? false) === false;

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
	return el("button.tool", { label, testid: label, onclick, ...attributes }, icon(name));
}

export function wordButton(name, key, onclick, attributes = {}) {
	return el("button.button", { onclick, ...attributes }, icon(name), el("span", { t: key }));
}

/** Tells a screen reader something, without moving its focus. The same sentence twice is said twice. */
export function announce(sentence) {
	const live = byId("live");
	live.textContent = live.textContent === sentence ? `${sentence}\u00a0` : sentence;
}

/** A short message that goes away by itself; one that is `lasting` is for every view. An `action` is { key, run }. */
export function toast(sentence, { bad = false, lasting = false, action } = {}) {
	const node = el("div.toast", { class: bad ? "bad" : lasting && "lasting" }, icon(bad ? "warn" : "check"), el("span", sentence));
	const remove = () => node.remove();
	if (action) {
		const run = () => (action.run(), remove());
		node.append(el("button.plain", { t: action.key, onclick: run }));
	}
	const box = byId("toasts");
	box.querySelector(":scope > :not(.bad)")?.remove();
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
		const area = el("textarea.unseen", { readonly: true, "aria-hidden": "true" });
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
