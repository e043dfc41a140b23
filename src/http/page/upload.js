// One file on its way to the gateway: pieces, progress, pauses, and what to do when something fails.

import { Failure } from "./api.js";
import { t } from "./i18n.js";
import { append, create, offsetOf, terminate } from "./tus.js";

/** Bytes of a piece: what is sent again at most, should the gateway die. */
const PIECE = 8 * 1024 * 1024;
/** Failures in a row, without a byte of progress between, that end an upload; an absent gateway never does. */
const PATIENCE = 5;
const ABSENT = new Set([0, 502, 503, 504]);
const PASSING = new Set([408, 409, 423, 425, 429, 500]);
const EXPIRED = new Set([404, 410]);

/** Names a file again after a reload, as far as a browser lets one. */
export const fingerprint = (name, file) => `${name}|${file.size}|${file.lastModified}`;

export class Upload extends EventTarget {
	/** `waiting`, `running`, `retrying`, `paused`, `failed`, `lost` (the file must be chosen again) or `done`. */
	state = "waiting";
	/** Bytes that the gateway has, or that are on their way to it. */
	sent = 0;
	problem = "";
	/** The address of the upload at the gateway, once it has one. */
	url = "";
	#running;
	#speed = new Speed();

	constructor(file, name, size = file.size, key = fingerprint(name, file)) {
		super();
		Object.assign(this, { file, name, size, key });
	}

	get isActive() {
		return this.state === "running" || this.state === "retrying";
	}

	get speed() {
		return this.state === "running" ? this.#speed.value(this.sent) : 0;
	}

	get secondsLeft() {
		const { speed } = this;
		return speed > 0 ? (this.size - this.sent) / speed : undefined;
	}

	/** Sends until the end, a pause, or a failure that does not pass. */
	async start() {
		const stop = new AbortController();
		this.#running = stop;
		this.#become("running");
		let failures = 0;
		let furthest = -1;
		while (!stop.signal.aborted) {
			try {
				await this.#transfer(stop.signal);
				return this.#become("done");
			} catch (error) {
				if (stop.signal.aborted) return undefined;
				if (this.sent > furthest) failures = 0;
				furthest = Math.max(furthest, this.sent);
				failures += 1;
				if (!(await this.#passes(error, failures))) return this.#fail(error);
				await this.#pauseBefore(failures, error, stop.signal);
			}
		}
		return undefined;
	}

	pause() {
		this.#running?.abort();
		this.#become("paused");
	}

	/** Stops, and has the gateway drop what it has. */
	cancel() {
		this.#running?.abort();
		if (this.url && this.state !== "done") terminate(this.url).catch(() => {});
		this.#become("cancelled");
	}

	attach(file) {
		this.file = file;
		this.#become("waiting");
	}

	wait() {
		this.problem = "";
		this.#become("waiting");
	}

	async #transfer(signal) {
		if (this.url) this.sent = await offsetOf(this.url, signal);
		else {
			this.sent = 0;
			this.url = await create(this.file, this.name, signal);
		}
		this.problem = "";
		this.#speed = new Speed();
		this.#become("running");
		let offset = this.sent;
		while (offset < this.size) {
			const piece = this.file.slice(offset, Math.min(offset + PIECE, this.size));
			const start = offset;
			offset = await append(this.url, start, piece, signal, (loaded) => this.#progress(start + Math.min(loaded, piece.size)));
			if (offset <= start) throw new Failure(409);
			this.#progress(offset);
		}
	}

	#progress(sent) {
		this.sent = sent;
		this.dispatchEvent(new Event("progress"));
	}

	async #passes(error, failures) {
		if (!(error instanceof Failure)) return false;
		if (error.status === 0 && !(await this.#isReadable())) return false;
		if (ABSENT.has(error.status)) return true;
		if (EXPIRED.has(error.status) && this.url) {
			this.url = "";
			return failures <= PATIENCE;
		}
		return PASSING.has(error.status) && failures <= PATIENCE;
	}

	/** A file that was moved or changed on disk fails like a broken connection. */
	async #isReadable() {
		try {
			await this.file.slice(0, 1).arrayBuffer();
			return true;
		} catch {
			this.problem = t("error.unreadable");
			return false;
		}
	}

	#fail(error) {
		this.problem ||= error.sentence ?? String(error);
		this.#become("failed");
	}

	/** Waits longer each time, but not after the browser says that it is back on line. */
	#pauseBefore(failures, error, signal) {
		const seconds = error.status === 409 && failures === 1 ? 0 : Math.min(30, 2 ** (failures - 1)) * (0.8 + 0.4 * Math.random());
		this.problem = error.sentence;
		this.#become("retrying");
		return new Promise((resolve) => {
			const timer = setTimeout(done, seconds * 1000);
			function done() {
				clearTimeout(timer);
				removeEventListener("online", done);
				document.removeEventListener("tnv:back", done);
				resolve();
			}
			addEventListener("online", done);
			document.addEventListener("tnv:back", done);
			signal.addEventListener("abort", done);
		});
	}

	#become(state) {
		this.state = state;
		this.dispatchEvent(new Event("state"));
	}
}

/** The rate over the last few seconds: steady enough to read, quick enough to believe. */
class Speed {
	#samples = [];

	value(sent, now = performance.now()) {
		const samples = this.#samples;
		if (now - (samples.at(-1)?.now ?? -Infinity) > 250) samples.push({ now, sent });
		while (samples.length > 2 && now - samples[0].now > 6000) samples.shift();
		const span = (now - samples[0].now) / 1000;
		return span > 0.4 ? Math.max(0, sent - samples[0].sent) / span : 0;
	}
}
