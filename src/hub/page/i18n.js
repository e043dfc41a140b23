// The page's two languages.

import { en } from "./en.js";
import { zh } from "./zh.js";

const DICTIONARIES = { en, zh };
let language = "en";

export const currentLanguage = () => language;
export const locale = () => (language === "zh" ? "zh-CN" : "en-GB");

/** A text of the dictionary; "{name}" is one of its `values`. */
export function t(key, values = {}) {
	const text = DICTIONARIES[language][key] ?? en[key] ?? key;
	return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export function chooseLanguage(wanted) {
	let kept;
	try {
		kept = localStorage.getItem("tnv.language");
		if (wanted) localStorage.setItem("tnv.language", wanted);
	} catch {
		// Storage is blocked: the choice holds until the page is left.
	}
	const own = /^zh\b/i.test(navigator.language) ? "zh" : "en";
	language = [wanted, kept, own].find((name) => name in DICTIONARIES);
	document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
	for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
	for (const node of document.querySelectorAll("[data-t-label]")) {
		node.ariaLabel = t(node.dataset.tLabel);
		node.title = t(node.dataset.tLabel);
	}
}
