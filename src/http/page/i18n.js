// The page's two languages. Elements carry the keys of their texts, so that a switch needs no rebuild.

import { en } from "./en.js";
import { tell } from "./events.js";
import { zh } from "./zh.js";

const DICTIONARIES = { en, zh };
let language = "en";

export const currentLanguage = () => language;

export const browserLanguage = () => (/^zh\b/i.test(navigator.language) ? "zh" : "en");

/** A text of the dictionary with its `values`: "{name}" is one of them, "{n|file|files}" a number and what it counts. */
export function t(key, values = {}) {
	const text = DICTIONARIES[language][key] ?? en[key] ?? key;
	return text.replace(/\{(\w+)(?:\|(\w+)\|(\w+))?\}/g, (_, name, one, many) => {
		const value = values[name];
		return one ? `${value} ${value === 1 ? one : many}` : value;
	});
}

/** Switches the page; views that hold composed texts hear `tnv:language`. */
export function setLanguage(chosen) {
	language = chosen in DICTIONARIES ? chosen : browserLanguage();
	document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
	const each = (attribute, run) => document.querySelectorAll(`[${attribute}]`).forEach((node) => run(node, t(node.getAttribute(attribute))));
	each("data-t", (node, text) => (node.textContent = text));
	each("data-t-label", setLabel);
	each("data-t-placeholder", (node, text) => (node.placeholder = text));
	tell("language");
}

/** The accessible name, shown as a tooltip on what can be pressed. */
export function setLabel(node, text) {
	node.ariaLabel = text;
	if (node.matches("button, a, select")) node.title = text;
}
