// Subtitles: found beside a film or dropped onto it, .srt turned into .vtt, in whatever encoding they come.

import { filePath, listFiles, request } from "./api.js";
import { el } from "./dom.js";
import { extensionOf } from "./format.js";
import { currentLanguage, t } from "./i18n.js";

/** A subtitle file is text; what is larger is something else. */
const BYTES_MAX = 5_000_000;

export const isSubtitle = (name) => ["vtt", "srt"].includes(extensionOf(name));

/** The name under which subtitles belong to a film: the film's, up to its extension, and theirs. */
export const nameBeside = (film, subtitles) => `${film.name.replace(/\.[a-z0-9]{1,5}$/i, "")}.${extensionOf(subtitles)}`;

/**
 * The subtitles that stand beside a film: the same name up to its extension, then perhaps a language. First those that are
 * to be shown unasked, if there are any (`isMeant`): in the page's language, or else in none that they tell.
 */
export async function findSubtitles(film, signal) {
	const prefix = nameBeside(film, "");
	if (prefix === ".") return [];
	const { files } = await listFiles({ order: "name", prefix, limit: 50 }, signal);
	const found = files
		.filter((file) => isSubtitle(file.name) && file.size <= BYTES_MAX)
		.map((file) => ({ file, ...describe(file.name.slice(prefix.length)) }));
	const meant = found.find(({ language }) => language.startsWith(currentLanguage())) ?? found.find(({ tag }) => !tag);
	return found.map((one) => ({ ...one, isMeant: one === meant })).sort((a, b) => b.isMeant - a.isMeant);
}

/** "zh.srt" -> {tag: "zh", language: "zh", label: "中文"}; "srt" -> a plain "Subtitles". */
function describe(rest) {
	const tag = rest.replace(/\.?[a-z0-9]+$/i, "");
	try {
		const [language = ""] = Intl.getCanonicalLocales(tag ? tag.replace("_", "-") : []);
		const label = language && new Intl.DisplayNames([currentLanguage()], { type: "language", fallback: "none" }).of(language);
		if (label) return { tag, language, label };
	} catch {
		// Not the tag of a language.
	}
	return { tag, language: "", label: tag || t("subtitles") };
}

export async function attachFrom(video, found, signal) {
	const response = await request(filePath(found.file.id), { signal });
	return attach(video, await response.arrayBuffer(), found);
}

export async function attachDropped(video, file) {
	if (file.size > BYTES_MAX) throw new RangeError("too large");
	return attach(video, await file.arrayBuffer(), { language: "", label: file.name });
}

function attach(video, buffer, { language, label }) {
	const text = toVtt(decode(buffer));
	if (!/^(\d+:)?\d\d:\d\d\.\d{3}[ \t]+-->[ \t]+(\d+:)?\d\d:\d\d\.\d{3}/m.test(text)) throw new SyntaxError("no cues");
	const url = URL.createObjectURL(new Blob([text], { type: "text/vtt" }));
	const node = el("track", { kind: "subtitles", srclang: language || "und", src: url, onload: () => URL.revokeObjectURL(url) });
	node.label = label;
	video.append(node);
	node.track.mode = "hidden";
	return node.track;
}

/** Old Chinese subtitles are GB 18030; whatever is no valid UTF-8 is taken for that. */
function decode(buffer) {
	const [first, second] = new Uint8Array(buffer.slice(0, 2));
	if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(buffer);
	if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(buffer);
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(buffer);
	} catch {
		return new TextDecoder("gb18030").decode(buffer);
	}
}

/** WebVTT stays; SubRip gets points for commas, loses its numbers, and its styles that WebVTT does not have. */
function toVtt(text) {
	const lines = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
	if (/^WEBVTT/.test(lines)) return lines;
	const cues = [];
	for (const block of lines.split(/\n{2,}/)) {
		const parts = block.trim().split("\n");
		const at = parts.findIndex((line) => line.includes("-->"));
		if (at < 0 || at > 1) continue;
		const [, from, to] = /^\s*([\d:.,]+)\s*-->\s*([\d:.,]+)/.exec(parts[at]) ?? [];
		const body = parts.slice(at + 1).map(plain).filter(Boolean).join("\n");
		if (from && to && body) cues.push(`${stamp(from)} --> ${stamp(to)}\n${body}`);
	}
	return `WEBVTT\n\n${cues.join("\n\n")}\n`;
}

/** Keeps <i>, <b> and <u>; drops other tags and the positions that some tools write as {\an8}. */
function plain(line) {
	return line
		.replace(/\{\\[^}]*\}/g, "")
		.replace(/<(?!\/?[ibu]>)[^>]*>/gi, "")
		.replace(/-->/g, "→")
		.trim();
}

/** "1:02:03,4" -> "01:02:03.400" */
function stamp(time) {
	const [clock, fraction = ""] = time.split(/[.,]/);
	const parts = clock.split(":").map((part) => part.padStart(2, "0"));
	while (parts.length < 3) parts.unshift("00");
	return `${parts.join(":")}.${fraction.padEnd(3, "0").slice(0, 3)}`;
}
