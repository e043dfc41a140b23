// Sizes, times and kinds of files for people. Pure, but for the language.

import { currentLanguage, t } from "./i18n.js";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** 1 234 567 -> "1.2 MB"; powers of 1000, as on the labels of disks. */
export function formatBytes(bytes) {
	let value = Math.max(0, Number(bytes) || 0);
	let unit = 0;
	while (value >= 999.5 && unit < UNITS.length - 1) {
		value /= 1000;
		unit += 1;
	}
	const digits = unit === 0 || value >= 99.5 ? 0 : 1;
	return `${value.toLocaleString(currentLanguage(), { maximumFractionDigits: digits })} ${UNITS[unit]}`;
}

export const formatRate = (bytesPerSecond) => `${formatBytes(bytesPerSecond)}/s`;

/** 3725 -> "1:02:05" */
export function formatClock(seconds) {
	if (!Number.isFinite(seconds)) return "–:––";
	const whole = Math.max(0, Math.floor(seconds));
	const two = (number) => String(number).padStart(2, "0");
	const hours = Math.floor(whole / 3600);
	const minutes = Math.floor(whole / 60) % 60;
	return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A span in its two largest units, for what is left of an upload or how long a server has run. */
export function formatSpan(seconds) {
	let rest = Math.max(0, Math.round(seconds));
	const texts = [];
	for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
		if (rest >= size) texts.push(t(`span.${unit}`, { n: Math.floor(rest / size) }));
		rest %= size;
	}
	return texts.slice(0, 2).join(" ") || t("span.s", { n: 0 });
}

/** Today's files show their time, this year's their day, others the year too. */
export function formatDate(milliseconds, now = new Date()) {
	const date = new Date(milliseconds);
	if (!milliseconds || Number.isNaN(date.getTime())) return "";
	let parts = { day: "numeric", month: "short", year: "numeric" };
	if (date.toDateString() === now.toDateString()) parts = { hour: "2-digit", minute: "2-digit", hour12: false };
	else if (date.getFullYear() === now.getFullYear()) parts = { day: "numeric", month: "short" };
	return date.toLocaleString(dateLocale(), parts);
}

export const formatDateFully = (milliseconds) =>
	milliseconds ? new Date(milliseconds).toLocaleString(dateLocale(), { dateStyle: "long", timeStyle: "short" }) : "";

const dateLocale = () => (currentLanguage() === "zh" ? "zh-CN" : "en-GB");

/** "90", "45s", "1m2s" and "1:02:05" in seconds; what is no time -> undefined. */
export function parseTime(text) {
	const parts = /^(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+\.?\d*)s?)?$/.exec(text) ?? /^(?:(\d+):)?(\d+):(\d+\.?\d*)$/.exec(text);
	if (!parts) return undefined;
	const [hours, minutes, seconds] = parts.slice(1).map((part) => Number(part ?? 0));
	return hours * 3600 + minutes * 60 + seconds;
}

const EXTENSIONS = {
	video: "mp4 m4v mov mkv webm avi ts m2ts mpg mpeg flv wmv ogv 3gp",
	audio: "mp3 m4a aac flac ogg oga opus wav wma aiff",
	image: "jpg jpeg png gif webp avif bmp svg heic tif tiff",
	subtitle: "srt vtt ass ssa sub",
};
const KIND_OF = new Map(Object.entries(EXTENSIONS).flatMap(([kind, list]) => list.split(" ").map((end) => [end, kind])));

/** The extension in lower case, without its dot; "" if there is none. */
export function extensionOf(name) {
	return /\.([a-z0-9]{1,5})$/i.exec(name)?.[1].toLowerCase() ?? "";
}

/** `video`, `audio`, `image`, `subtitle` or `file`. */
export function kindOf(file) {
	const byName = KIND_OF.get(extensionOf(file.name));
	if (byName === "subtitle") return byName;
	return /^(video|audio|image)\//i.exec(file.content_type)?.[1].toLowerCase() ?? byName ?? "file";
}

export const isShown = (file) => ["video", "audio", "image"].includes(kindOf(file));

/**
 * The name as it may be shown, or the id where there is nothing to see of a name. Control characters become their
 * pictures, and what would turn the direction of letters ("gpj.exe" read as "exe.jpg") a replacement character.
 */
export function shownName(file) {
	return (/[^\s\p{Cf}]/u.test(file.name) ? file.name : file.id)
		.replace(/[\u0000-\u001f]/g, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0)))
		.replace(/[\u007f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}
