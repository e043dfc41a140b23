// Sizes and times for people.

import { locale } from "./i18n.js";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** 1 234 567 -> "1.2 MB"; powers of 1000, as on the labels of disks. */
export function bytes(count) {
	let value = Math.max(0, Number(count) || 0);
	let unit = 0;
	while (value >= 999.5 && unit < UNITS.length - 1) {
		value /= 1000;
		unit += 1;
	}
	return `${value.toLocaleString(locale(), { maximumFractionDigits: unit && value < 99.5 ? 1 : 0 })} ${UNITS[unit]}`;
}

export const rate = (perSecond) => `${bytes(perSecond)}/s`;

export const moment = (milliseconds) =>
	milliseconds ? new Date(milliseconds).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "medium" }) : "";

/** A path in which nothing is hidden: what would turn the direction of letters is replaced. */
export const plain = (text) => String(text).replace(/[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** The same of a text with lines. */
export const plainLines = (text) => String(text).split(/\r\n|\n|\r/).map(plain).join("\n");
