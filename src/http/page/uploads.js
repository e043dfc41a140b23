// The queue: two files at a time, what survives a reload, and what is dropped or chosen.

import { listFiles } from "./api.js";
import { announce, el, toast } from "./dom.js";
import { on, pause, tell } from "./events.js";
import { formatBytes } from "./format.js";
import { t } from "./i18n.js";
import { read, write } from "./session.js";
import { foldTray, renderTray } from "./tray.js";
import { fileIdOf, offsetOf, terminate } from "./tus.js";
import { fingerprint, Upload } from "./upload.js";

const PARALLEL = 2;
/** Files of one drop; a larger folder is better sent by the command line. */
const FILES_MAX = 2000;
/** Milliseconds after which another tab's silence means that it is gone. */
const SILENCE = 15_000;
const TAB = (read("sessionStorage", "tab") || Math.random().toString(36).slice(2)) ?? "";

const GONE = new Set([404, 410]);

const uploads = [];

/** Takes files; one that was begun before goes on where it stopped. */
export function addFiles(files) {
	const named = files.map((file) => ({ file, name: file.tnvPath ?? file.name })).slice(0, FILES_MAX);
	if (named.length < files.length) toast(t("upload.tooMany", { n: FILES_MAX }), { bad: true });
	for (const { file, name } of named) {
		const known = knownUpload(name, file);
		if (!known) watch(new Upload(file, name), true);
		else if (!known.isActive) known.wait(file);
	}
	announce(t("upload.added", { n: named.length }));
	schedule();
}

/** The upload of this very file. One out of a folder may be chosen again by its bare name. */
function knownUpload(name, file) {
	const key = fingerprint(name, file);
	const open = uploads.filter((upload) => upload.state !== "done");
	return open.find((upload) => upload.key === key)
		?? open.find((upload) => upload.state === "lost" && upload.key.endsWith(`/${key}`));
}

/** Shows what a reload has interrupted, if the gateway still has it. */
export async function restoreUploads() {
	write("sessionStorage", "tab", TAB);
	for (const [key, entry] of Object.entries(records())) {
		if (entry.cancelled) {
			discard(entry.url);
			continue;
		}
		const elsewhere = entry.tab && entry.tab !== TAB && Date.now() - entry.at < SILENCE;
		if (elsewhere) continue;
		const upload = new Upload(undefined, entry.name, entry.size, key);
		Object.assign(upload, { state: "lost", url: entry.url });
		// One that has expired is as good as complete: there is nothing to go on with.
		upload.sent = await offsetOf(entry.url).catch(({ status }) => (GONE.has(status) ? Infinity : 0));
		if (upload.sent >= upload.size) keep(key, undefined);
		else if (!uploads.some((other) => other.key === key)) watch(upload, false);
	}
}

export const actions = {
	pause: (upload) => (upload.pause(), schedule()),
	resume: (upload) => (upload.wait(), schedule()),
	choose(upload) {
		const take = () => {
			const [file] = input.files;
			if (knownUpload(file.name, file) === upload) addFiles([file]);
			else toast(t("upload.other", { name: upload.name, size: formatBytes(upload.size) }), { bad: true });
		};
		const input = el("input", { type: "file", onchange: take });
		input.click();
	},
	remove(upload) {
		if (upload.state !== "done") upload.cancel().then(discard);
		keep(upload.key, undefined);
		uploads.splice(uploads.indexOf(upload), 1);
		schedule();
	},
	clear() {
		for (const upload of uploads.filter((other) => other.state === "done")) actions.remove(upload);
	},
};

/**
 * Has the gateway drop an upload. It may have to wait for bytes that are still arriving; until the gateway has said that
 * nothing is left, the next visit asks again.
 */
async function discard(url) {
	if (!url) return;
	keep(url, { url, cancelled: true });
	for (const seconds of [0, 1, 2, 4, 8]) {
		await pause(seconds * 1000);
		const problem = await terminate(url).then(() => undefined, ({ status }) => status);
		if (problem === undefined || GONE.has(problem)) return keep(url, undefined);
		if (problem && problem !== 423 && problem < 500) return;
	}
}

/** Tells of a file of the same name and size that is in the library already. */
async function lookForTwin(upload) {
	const { files } = await listFiles({ order: "name", prefix: upload.name, limit: 20 });
	const isTwin = ({ id, name, size }) => name === upload.name && size === upload.size && (!upload.url || id !== fileIdOf(upload.url));
	upload.hasTwin = files.some(isTwin);
	if (upload.hasTwin) foldTray(false);
	redrawUploads();
}

function watch(upload, isNew) {
	uploads.push(upload);
	if (isNew) foldTray(false);
	on(upload, "progress", () => {
		remember(upload);
		redrawUploads();
	});
	on(upload, "state", () => changed(upload));
	redrawUploads();
}

function changed(upload) {
	if (upload.state === "running" && upload.url) remember(upload, true);
	else if (upload.state === "running") lookForTwin(upload).catch(() => {});
	if (upload.state === "done") {
		keep(upload.key, undefined);
		announce(t("upload.done", { name: upload.name }));
		tell("uploaded", fileIdOf(upload.url));
		if (uploads.every(({ state, hasTwin }) => state === "done" && !hasTwin)) foldTray(true);
	}
	if (upload.state === "failed") announce(`${upload.name}: ${upload.problem}`);
	if (["done", "failed", "paused"].includes(upload.state)) schedule();
	redrawUploads();
}

function schedule() {
	let free = PARALLEL - uploads.filter((upload) => upload.isActive).length;
	for (const upload of uploads) {
		if (upload.state !== "waiting" || free <= 0) continue;
		free -= 1;
		upload.start();
	}
	redrawUploads();
}

function remember(upload, now = false) {
	if (!now && Date.now() - (upload.remembered ?? 0) < 1000) return;
	upload.remembered = Date.now();
	keep(upload.key, { url: upload.url, name: upload.name, size: upload.size, tab: TAB, at: Date.now() });
}

function records() {
	try {
		return JSON.parse(read("localStorage", "uploads") ?? "{}") ?? {};
	} catch {
		return {};
	}
}

function keep(key, entry) {
	const { [key]: _, ...others } = records();
	const all = entry ? { ...others, [key]: entry } : others;
	write("localStorage", "uploads", Object.keys(all).length ? JSON.stringify(all) : "");
}

export const isUploading = () => uploads.some((upload) => upload.isActive || upload.state === "waiting");

/** A tab that goes away leaves its uploads to any other. */
export function releaseUploads() {
	for (const upload of uploads) {
		const entry = records()[upload.key];
		if (entry?.tab === TAB) keep(upload.key, { ...entry, tab: "" });
	}
}

export const redrawUploads = () => renderTray(uploads, actions);

/** The files of a drop, folders walked through. Must be called within the event. */
export async function filesOf(transfer) {
	const entries = Array.from(transfer.items ?? [], (item) => item.webkitGetAsEntry?.()).filter(Boolean);
	if (!entries.some((entry) => entry.isDirectory)) return Array.from(transfer.files);
	const found = [];
	for (const entry of entries) await walk(entry, found);
	return found;
}

async function walk(entry, found) {
	if (found.length > FILES_MAX) return;
	if (entry.isFile) {
		const file = await new Promise((resolve) => entry.file(resolve, () => resolve(undefined)));
		if (file) found.push(Object.assign(file, { tnvPath: entry.fullPath.replace(/^\//, "") }));
		return;
	}
	const reader = entry.createReader();
	for (;;) {
		const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
		if (!some.length) return;
		for (const child of some) await walk(child, found);
	}
}
