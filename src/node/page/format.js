// Figures as people read them, and the building block of the page.

import { language, t } from "./texts.js";

const locale = () => (language === "zh" ? "zh-Hans" : "en");

export function size(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;
	for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
	return `${bytes.toLocaleString(locale(), { maximumFractionDigits: unit && bytes < 100 ? 1 : 0 })} ${units[unit]}`;
}

export const time = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleString(locale()) : t("never"));

export const percent = (part) => (part ?? 0).toLocaleString(locale(), { style: "percent", maximumFractionDigits: 0 });

/** An element with attributes and children; texts are only ever set as texts. */
export function el(tag, attributes = {}, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
		else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...children.filter((child) => child !== undefined));
	return node;
}
