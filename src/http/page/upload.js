// One file on its way to the gateway: pieces, progress, pauses, and what to do when something fails.

import { Failure } from "./api.js";
import { pause } from "./events.js";
import { t } from "./i18n.js";
import { append, create, offsetOf } from "./tus.js";

/** Bytes of a piece: what is sent again at most, should the gateway die. */
const PIECE = 8 * 1024 * 1024;
/** Failures in a row, without a byte of progress between, that end an upload; one that is only to wait never does. */
const PATIENCE = 5;
/** The gateway is away or busy, or is still at work on this very upload. */
const WAIT = new Set([0, 423, 503, 504]);
const PASSING = new Set([408, 409, 425, 429, 500, 502]);
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
	#creating;
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
		let [pauses, failures, furthest] = [0, 0, -1];
		while (!stop.signal.aborted) {
			try {
				await this.#transfer(stop.signal);
				return this.#become("done");
			} catch (error) {
				if (stop.signal.aborted) return undefined;
				if (this.sent > furthest) pauses = failures = 0;
				furthest = Math.max(furthest, this.sent);
				pauses += 1;
				if (!WAIT.has(error.status)) failures += 1;
				if (!(await this.#passes(error, failures))) return this.#fail(error);
				this.problem = error.sentence;
				this.#become("retrying");
				const seconds = error.status === 409 && pauses === 1 ? 0 : Math.min(30, 2 ** (pauses - 1)) * (0.8 + 0.4 * Math.random());
				await pause(seconds * 1000, stop.signal);
			}
		}
		return undefined;
	}

	pause() {
		this.#running?.abort();
		this.#become("paused");
	}

	/** Stops. Resolves with the address under which the gateway may have something of it; "" if there is none. */
	async cancel() {
		this.#running?.abort();
		this.#become("cancelled");
		await this.#creating?.catch(() => {});
		return this.url;
	}

	/** Is to go on, with a file that was chosen again if one is given. */
	wait(file = this.file) {
		Object.assign(this, { file, problem: "" });
		this.#become("waiting");
	}

	async #transfer(signal) {
		if (this.url) this.sent = await offsetOf(this.url, signal);
		else {
			this.sent = 0;
			// Not broken off: whatever the gateway has begun must be known here, or it could not be ended.
			this.#creating ??= create(this.file, this.name).finally(() => (this.#creating = undefined));
			this.url = await this.#creating;
			signal.throwIfAborted();
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
		if (WAIT.has(error.status)) return true;
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
