// The page's two languages. Elements carry the keys of their texts, so that a switch needs no rebuild.

import { en } from "./en.js";
import { zh } from "./zh.js";

const DICTIONARIES = { en, zh };
let language = "en";

export const currentLanguage = () => language;

export const browserLanguage = () => (/^zh\b/i.test(navigator.language) ? "zh" : "en");

/** A text of the dictionary; an entry that is a function is given `values`. */
export function t(key, values = {}) {
	const entry = DICTIONARIES[language][key] ?? en[key] ?? key;
	return typeof entry === "function" ? entry(values) : entry;
}

/** Switches the page; views that hold composed texts hear `tnv:language`. */
export function setLanguage(chosen) {
	language = chosen in DICTIONARIES ? chosen : browserLanguage();
	document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
	for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
	for (const node of document.querySelectorAll("[data-t-label]")) {
		setLabel(node, t(node.dataset.tLabel));
	}
	for (const node of document.querySelectorAll("[data-t-placeholder]")) {
		node.placeholder = t(node.dataset.tPlaceholder);
	}
	document.dispatchEvent(new CustomEvent("tnv:language"));
}

/** The accessible name, shown as a tooltip on what can be pressed. */
export function setLabel(node, text) {
	node.setAttribute("aria-label", text);
	if (node.matches("button, a, select")) node.title = text;
}
