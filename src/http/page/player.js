// The player: one file on its stage, what can be done with it, and its neighbours.

import { describeFile, filePath, listFiles, playLink } from "./api.js";
import { announce, byId, el, icon, iconButton, isReadOnly, toast, wordButton } from "./dom.js";
import { confirmDelete } from "./dialogs.js";
import { buildControls } from "./controls.js";
import { hear, on } from "./events.js";
import { formatBytes, formatClock, formatDateFully, isShown, kindOf, shownName } from "./format.js";
import { t } from "./i18n.js";
import { findFile, forgetFile, libraryLink, loadedFiles, neighbour, prepareLibrary } from "./library.js";
import { load, release } from "./media.js";
import { kindTile, nameNode } from "./row.js";
import { position, setPosition } from "./session.js";
import { copyTimeLink, copyUrl, copyWget, download, downloadPath, openInVlc } from "./share.js";
import { attachDropped, attachFrom, findSubtitles, nameBeside } from "./subtitles.js";
import { addFiles } from "./uploads.js";

/** Seconds from either end within which a film was not really begun, or is as good as seen. */
const MARGIN = 3;

/** What is open now: { file, media, controls, closing, tracks, kept } */
let open;

/** Opens a file, at a time if one is given. The same file again only moves to that time. */
export async function openPlayer(id, seconds) {
	if (open?.id === id) {
		if (seconds !== undefined) open.controls?.seekTo(seconds);
		return;
	}
	closePlayer();
	prepareLibrary();
	const closing = new AbortController();
	const mine = { id, closing, tracks: [] };
	open = mine;
	const section = byId("player");
	section.replaceChildren(skeleton());
	try {
		mine.file = findFile(id) ?? (await describeFile(id, closing.signal));
	} catch (failure) {
		if (open !== mine) return;
		document.title = "tnv";
		section.replaceChildren(backLink(), el("h1.unseen", { id: "player-title", tabindex: "-1" }, id),
			el("div.stage.still", problemNode(failure.sentence ?? String(failure), [backButton()])));
		section.querySelector("h1").focus();
		return;
	}
	if (open !== mine) return;
	render(mine, seconds);
}

/** Lets everything of the open file go: its element, its requests, its listeners. */
export function closePlayer() {
	if (!open) return;
	keepPosition(open);
	open.closing.abort();
	if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
	release(open.media);
	byId("player").replaceChildren();
	open = undefined;
}

export const openFile = () => open?.file;
export const openControls = () => open?.controls;

/** Goes to the file before or after. It takes this one's place in the history: Back leads to the library. */
export async function go(step) {
	const from = open;
	const found = from && (await neighbour(from.heading ?? from.id, step));
	if (open !== from) return;
	if (!found) return announce(t("noMore"));
	// Two quick presses lead two files on, although the first of them is not open yet.
	from.heading = found.id;
	location.replace(playLink(found));
}

export const keepOpenPosition = () => open && keepPosition(open);

function render(mine, seconds) {
	const { file } = mine;
	const kind = kindOf(file);
	const name = shownName(file);
	document.title = `${name.slice(0, 120)} – tnv`;
	const stage = el("div.stage", { "data-kind": kind, testid: "stage", role: "group", tabindex: "-1", "aria-labelledby": "player-title" });
	const title = el("h1", { id: "player-title", testid: "player-title" }, nameNode(name));
	const aside = el("aside.around", { label: "around" });
	byId("player").replaceChildren(
		backLink(),
		el("div.play",
			el("div.play-main", stage, el("div.about", title, facts(file), actions(mine, kind))), aside));
	mine.stage = stage;
	mine.aside = aside;
	renderAround(mine);
	if (kind === "video" || kind === "audio") openMedia(mine, kind, seconds);
	else if (kind === "image") openImage(mine);
	else {
		stage.classList.add("still");
		stage.append(problemNode(t("noPreview"), [downloadButton(file)], kind));
	}
	stage.focus({ preventScroll: true });
	scrollTo(0, 0);
}

function openMedia(mine, kind, seconds) {
	const { file, stage, closing: { signal } } = mine;
	const left = position(file.id);
	const start = seconds ?? left ?? 0;
	const media = el(kind, { preload: "metadata", playsinline: true, testid: "media", tabindex: "-1", "aria-label": shownName(file) });
	mine.media = media;
	mine.controls = buildControls(media, stage, { signal, go });
	const big = el("button.big-play", { label: "play", testid: "big-play", onclick: mine.controls.togglePlay }, icon("play"));
	if (kind === "audio") stage.append(el("div.sleeve", { "aria-hidden": "true" }, icon("audio"), el("bdi", shownName(file))));
	stage.append(media, big, el("div.spinner", { "aria-hidden": "true" }), mine.controls.bar);
	load(media, file, { start, signal, onproblem: (problem) => showProblem(mine, problem) });
	media.play().catch(() => {});
	on(media, "pause seeked", () => keepPosition(mine), signal);
	on(media, "timeupdate", () => Math.abs(media.currentTime - (mine.kept ?? 0)) > 5 && keepPosition(mine), signal);
	on(media, "ended", () => setPosition(file.id, undefined), signal);
	on(media, "loadedmetadata", () => seconds >= media.duration && toast(t("pastEnd", { at: formatClock(media.duration) }), { bad: true }), signal);
	if (seconds === undefined && left) {
		toast(t("resumed", { at: formatClock(left) }), { action: { key: "fromStart", run: () => open === mine && mine.controls.seekTo(0) } });
	}
	if (kind === "video") lookForSubtitles(mine);
}

/** Keeps where a film was left; one that was hardly begun, or is nearly over, starts anew next time. */
function keepPosition(mine) {
	const { media, file } = mine;
	if (!media || !(media.duration > 0) || !Number.isFinite(media.duration) || mine.gone) return;
	const at = media.currentTime;
	mine.kept = at;
	const isWithin = at >= MARGIN && media.duration - at > Math.min(30, Math.max(MARGIN, media.duration * 0.03));
	if (isWithin) setPosition(file.id, at);
	else if (media.played.length) setPosition(file.id, undefined);
}

function showProblem(mine, problem) {
	const { stage, file } = mine;
	stage.querySelector(".problem")?.remove();
	stage.classList.toggle("failed", problem !== "" && problem !== "silent");
	if (!problem) return;
	const outside = [wordButton("vlc", "vlc", () => openInVlc(file, mine.media?.currentTime), { class: "primary" }),
		wordButton("link", "copy.url", () => copyUrl(file))];
	const [sentence, buttons] = {
		gone: [t("error.404"), [backButton()]],
		away: [t("away"), []],
		undecodable: [t("undecodable"), outside],
		silent: [t("noPicture"), outside],
	}[problem];
	if (problem === "gone") {
		mine.gone = true;
		setPosition(file.id, undefined);
		forgetFile(file.id);
		byId("player").querySelector(".actions").hidden = true;
		mine.closing.abort();
		release(mine.media);
		mine.media = mine.controls = undefined;
		stage.replaceChildren();
	}
	stage.append(problemNode(sentence, buttons));
	announce(sentence);
}

function openImage(mine) {
	const { file, stage, closing: { signal } } = mine;
	const image = el("img", { testid: "media", alt: shownName(file), decoding: "async" });
	mine.media = image;
	const fail = async () => {
		let sentence = t("undecodable.image");
		try {
			await describeFile(file.id, signal);
		} catch (failure) {
			sentence = failure.sentence ?? sentence;
		}
		if (signal.aborted) return;
		image.remove();
		stage.append(problemNode(sentence, [downloadButton(file)], "image"));
	};
	on(image, "error", fail, signal);
	image.src = filePath(file.id);
	stage.append(image, iconButton("previous", "previous", () => go(-1), { class: "side before" }),
		iconButton("next", "next", () => go(1), { class: "side after" }));
}

async function lookForSubtitles(mine) {
	const { file, media, closing: { signal } } = mine;
	// A film plays without them as well.
	const all = await findSubtitles(file, signal).catch(() => []);
	for (const found of all) {
		const track = await attachFrom(media, found, signal).catch(() => undefined);
		if (signal.aborted) return;
		if (track) addTrack(mine, track, found.isMeant);
	}
}

export async function addSubtitles(files) {
	const mine = open;
	if (mine?.media?.tagName !== "VIDEO") return;
	for (const file of files) {
		try {
			const track = await attachDropped(mine.media, file);
			if (open !== mine) return;
			addTrack(mine, track, true);
			const keep = () => addFiles([Object.assign(file, { tnvPath: nameBeside(mine.file, file.name) })]);
			toast(t("subtitles.added", { name: file.name }), { action: !isReadOnly() && mine.file.name && { key: "subtitles.keep", run: keep } });
		} catch {
			toast(t("subtitles.bad", { name: file.name }), { bad: true });
		}
	}
}

function addTrack(mine, track, show) {
	mine.tracks.push(track);
	const select = mine.controls.captions;
	if (mine.tracks.length === 1) {
		select.append(el("option", { value: "-1", t: "subtitles.off" }));
		on(select, "change", () => showTrack(mine, Number(select.value)), mine.closing.signal);
	}
	select.append(el("option", { value: mine.tracks.length - 1 }, track.label));
	select.parentNode.hidden = false;
	showTrack(mine, show ? mine.tracks.length - 1 : Number(select.value));
}

function showTrack(mine, shown) {
	mine.tracks.forEach((track, at) => (track.mode = at === shown ? "showing" : "disabled"));
	mine.controls.captions.value = String(shown);
	mine.lastTrack = shown >= 0 ? shown : mine.lastTrack;
}

export function toggleSubtitles() {
	if (!open?.tracks.length) return;
	const isOff = open.controls.captions.value === "-1";
	showTrack(open, isOff ? (open.lastTrack ?? 0) : -1);
}

const backLink = () => el("a.back", { href: libraryLink(), testid: "back" }, icon("back"), el("span", { t: "library" }));
const backButton = () => el("a.button.primary", { href: libraryLink(), t: "toLibrary" });
const downloadButton = (file) => el("a.button.primary", { href: downloadPath(file), download: "" }, icon("download"), el("span", { t: "download" }));
const skeleton = () => el("div.play", el("div.play-main", el("div.stage.waiting", el("div.spinner"))));

function problemNode(sentence, buttons, picture = "warn") {
	return el("div.problem", { role: "alert", testid: "problem" }, icon(picture), el("p", sentence), el("div.message-actions", ...buttons));
}

function facts(file) {
	const parts = [formatBytes(file.size), file.content_type, formatDateFully(file.created_ms)].filter(Boolean);
	return el("p.facts", parts.join(" · "));
}

function actions(mine, kind) {
	const { file } = mine;
	const isMedia = kind === "video" || kind === "audio";
	return el("div.actions",
		wordButton("link", "copy.url", () => copyUrl(file), { testid: "copy-url" }),
		isMedia && wordButton("clock", "copy.time", () => copyTimeLink(file, mine.media?.currentTime ?? 0), { testid: "copy-time" }),
		isShown(file) && wordButton("vlc", "vlc", () => openInVlc(file, mine.media?.currentTime), { testid: "open-vlc" }),
		wordButton("terminal", "copy.wget", () => copyWget(file), { testid: "copy-wget" }),
		wordButton("download", "download", () => download(file), { testid: "download" }),
		kind === "video" && wordButton("subtitle", "addSubtitles", () => byId("subtitle-input").click(), { testid: "add-subtitles" }),
		wordButton("trash", "delete", () => confirmDelete(file), { testid: "delete", class: "danger-quiet writes" }));
}

/** The neighbours in the list; where a search has left none, what is newest. */
function renderAround(mine) {
	let files = loadedFiles().filter(isShown);
	if (files.length < 2 && mine.others) files = mine.others;
	else if (files.length < 2) {
		mine.others = files;
		listFiles({ limit: 24 }, mine.closing.signal).then((page) => {
			mine.others = page.files.filter(isShown);
			renderAround(mine);
		}).catch(() => {});
	}
	const at = Math.max(0, files.findIndex((file) => file.id === mine.id));
	const from = Math.max(0, Math.min(at - 2, files.length - 12));
	const near = files.slice(from, from + 12);
	mine.aside.hidden = near.length < 2;
	if (mine.aside.contains(document.activeElement)) return;
	mine.aside.replaceChildren(el("h2", { t: "around" }), el("ul", { role: "list" }, ...near.map((file) => {
		const link = el("a", { href: playLink(file), testid: "around", "aria-current": file.id === mine.id && "true", onclick: (event) => {
			if (event.metaKey || event.ctrlKey || event.shiftKey) return;
			event.preventDefault();
			location.replace(link.href);
		} }, kindTile(kindOf(file)), el("span.around-text", nameNode(shownName(file)), el("small", formatBytes(file.size))));
		return el("li", link);
	})));
}

hear("list", () => open?.aside && renderAround(open));

hear("language", () => {
	const old = open?.file && byId("player").querySelector(".facts");
	old?.replaceWith(facts(open.file));
});
