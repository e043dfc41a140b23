// The four requests of tus 1.0 that this page makes. XMLHttpRequest, because fetch does not tell of progress.

import { Failure } from "./api.js";

/** Milliseconds without a byte after which a connection counts as dead. */
const STALL = 60_000;

export async function create(file, name) {
	const pairs = { filename: name, filetype: file.type };
	const metadata = Object.entries(pairs).filter(([, value]) => value).map(([key, value]) => `${key} ${base64(value)}`);
	const reply = await send("POST", "/tus/", { "Upload-Length": file.size, "Upload-Metadata": metadata.join(",") });
	const at = reply.getResponseHeader("Location");
	if (!at) throw new Failure(502);
	return new URL(at, location.href).pathname;
}

export async function offsetOf(url, signal) {
	return offsetIn(await send("HEAD", url, {}, null, signal));
}

/** Sends a piece; resolves with the new offset. */
export async function append(url, offset, piece, signal, onprogress) {
	const headers = { "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
	return offsetIn(await send("PATCH", url, headers, piece, signal, onprogress));
}

export const terminate = (url) => send("DELETE", url);

/** The id under which a finished upload is a file. */
export const fileIdOf = (url) => decodeURIComponent(url.split("/").at(-1));

function offsetIn(reply) {
	const offset = Number.parseInt(reply.getResponseHeader("Upload-Offset"), 10);
	if (!(offset >= 0)) throw new Failure(502);
	return offset;
}

function send(method, url, headers = {}, body = null, signal = undefined, onprogress = undefined) {
	return new Promise((resolve, reject) => {
		const xhr = new XMLHttpRequest();
		xhr.open(method, url);
		for (const [name, value] of Object.entries({ "Tus-Resumable": "1.0.0", ...headers })) xhr.setRequestHeader(name, value);
		let stalled;
		const alive = () => {
			clearTimeout(stalled);
			stalled = setTimeout(() => xhr.abort(), STALL);
		};
		const abort = () => xhr.abort();
		const settle = (run, value) => {
			clearTimeout(stalled);
			signal?.removeEventListener("abort", abort);
			run(value);
		};
		xhr.onload = () => (xhr.status < 300 ? settle(resolve, xhr) : settle(reject, new Failure(xhr.status)));
		xhr.onerror = () => settle(reject, new Failure(0));
		xhr.onabort = () => settle(reject, signal?.aborted ? signal.reason : new Failure(0));
		if (onprogress) {
			xhr.upload.onprogress = (event) => {
				alive();
				onprogress(event.loaded);
			};
			// All is sent: to put a large file together takes the gateway as long as it takes.
			xhr.upload.onload = () => clearTimeout(stalled);
		}
		if (signal?.aborted) return reject(signal.reason);
		signal?.addEventListener("abort", abort);
		alive();
		xhr.send(body);
	});
}

function base64(text) {
	return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}
