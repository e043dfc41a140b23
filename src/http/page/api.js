// The gateway's API, and whether it can be reached at all.

import { byId, el, icon } from "./dom.js";
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

/** The address of a file for other programs: what the gateway says, else where this page came from. */
export function fileUrl(file) {
	try {
		const url = new URL(file.url || filePath(file.id), location.origin);
		if (/^https?:$/.test(url.protocol)) return url.href;
	} catch {
		// An address that is none.
	}
	return location.origin + filePath(file.id);
}

/** What can be known of a file that no list has named: its headers. */
export async function describeFile(id, signal) {
	const { headers } = await request(filePath(id), { method: "HEAD", signal });
	return {
		id,
		name: dispositionName(headers.get("content-disposition") ?? "", id),
		size: Number(headers.get("content-length")) || 0,
		content_type: headers.get("content-type") ?? "",
		created_ms: Date.parse(headers.get("last-modified") ?? "") || 0,
		url: filePath(id),
	};
}

function dispositionName(header, id) {
	const encoded = /filename\*=UTF-8''([^;\s]+)/i.exec(header)?.[1];
	try {
		const name = encoded ? decodeURIComponent(encoded) : (/filename="((?:[^"\\]|\\.)*)"/i.exec(header)?.[1] ?? "");
		return name.startsWith(id) ? "" : name;
	} catch {
		return "";
	}
}

export const deleteFile = (id) => request(filePath(id), { method: "DELETE" });

let lost = false;
let probing;

/** Shows that the gateway is away, and asks for it until it is back; `tnv:back` is heard then. */
export function connectionLost() {
	if (lost) return;
	lost = true;
	renderConnection();
	let pause = 1000;
	const probe = async () => {
		try {
			await fetch("/api/config", { cache: "no-store" });
			connectionBack();
		} catch {
			pause = Math.min(pause * 1.6, 15_000);
			probing = setTimeout(probe, pause);
		}
	};
	probing = setTimeout(probe, pause);
}

function connectionBack() {
	if (!lost) return;
	lost = false;
	clearTimeout(probing);
	renderConnection();
	document.dispatchEvent(new CustomEvent("tnv:back"));
}

function renderConnection() {
	const banner = byId("offline");
	banner.hidden = !lost;
	banner.replaceChildren(icon("warn"), el("span", { t: navigator.onLine ? "away" : "offline" }));
}

addEventListener("offline", connectionLost);
