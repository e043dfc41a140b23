// The gateway's API, and whether it can be reached at all.

import { byId, el, icon } from "./dom.js";
import { on, pause, tell } from "./events.js";
import { t } from "./i18n.js";

/** A request that was answered with a no (`status`), or not at all (`status` 0). */
export class Failure extends Error {
	constructor(status) {
		super(`status ${status}`);
		this.status = status;
	}

	get sentence() {
		// What means the same to a person has one sentence.
		const key = `error.${{ 401: 403, 405: 403, 410: 404, 429: 503, 502: 503, 504: 503 }[this.status] ?? this.status}`;
		const known = t(key);
		return known === key ? t("error.other", { status: this.status }) : known;
	}
}

/** fetch that fails with a `Failure`; an abort stays an AbortError. */
export async function request(path, options = {}) {
	let response;
	try {
		response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
	} catch (error) {
		if (error.name === "AbortError") throw error;
		connectionLost();
		throw new Failure(0);
	}
	connectionBack();
	if (!response.ok) throw new Failure(response.status);
	return response;
}

export const getJson = async (path, options) => (await request(path, options)).json();

export function listFiles({ order = "newest", prefix = "", search = "", cursor = "", limit = 60 }, signal) {
	const query = new URLSearchParams({ order, limit: String(limit) });
	for (const [name, value] of Object.entries({ prefix, search, cursor })) if (value) query.set(name, value);
	return getJson(`/api/files?${query}`, { signal });
}

/** The path of a file here; its id may hold anything. */
export const filePath = (id) => `/files/${encodeURIComponent(id)}`;

/** Where this page shows a file. */
export const playLink = (file) => `#/play/${encodeURIComponent(file.id)}`;

/** The address of a file for other programs: what the gateway says, else where this page came from. */
export const fileUrl = (file) => new URL(file.url || filePath(file.id), location.origin).href;

/** What can be known of a file that no list has named: its headers. */
export async function describeFile(id, signal) {
	const { headers } = await request(filePath(id), { method: "HEAD", signal });
	return {
		id,
		name: decodeURIComponent(/filename\*=UTF-8''([^;\s]+)/i.exec(headers.get("content-disposition"))?.[1] ?? ""),
		size: Number(headers.get("content-length")) || 0,
		content_type: headers.get("content-type") ?? "",
		created_ms: Date.parse(headers.get("last-modified") ?? "") || 0,
		url: filePath(id),
	};
}

export const deleteFile = (id) => request(filePath(id), { method: "DELETE" });

let lost = false;

/** Shows that the gateway is away, and asks for it until it is back; then `back` is told. */
export async function connectionLost() {
	if (lost) return;
	lost = true;
	renderConnection();
	for (let wait = 1000; lost; wait = Math.min(wait * 1.6, 15_000)) {
		await pause(wait);
		if (lost) await fetch("/api/config", { cache: "no-store" }).then(connectionBack, () => {});
	}
}

function connectionBack() {
	if (!lost) return;
	lost = false;
	renderConnection();
	tell("back");
}

function renderConnection() {
	const banner = byId("offline");
	banner.hidden = !lost;
	banner.replaceChildren(icon("warn"), el("span", { t: navigator.onLine ? "away" : "offline" }));
}

on(window, "offline", connectionLost);
