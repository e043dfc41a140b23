// The one media element of the page: loading, failing, starting again, and being let go.

import { describeFile, filePath } from "./api.js";
import { pause } from "./events.js";

const PAUSES = [1000, 2000, 4000, 8000, 15_000];

/** Lets a film, a song or a picture go: without a source its requests end at once, and the browser frees its decoder. */
export function release(media) {
	if (!media) return;
	if (document.pictureInPictureElement === media) document.exitPictureInPicture().catch(() => {});
	media.pause?.();
	for (const track of media.querySelectorAll("track")) track.remove();
	media.removeAttribute("src");
	media.load?.();
	media.remove();
}

/** Plays a file from `start` seconds on. `onproblem` hears `gone`, `away`, `undecodable`, `silent`, or "" when all is well. */
export function load(media, file, { start, signal, onproblem }) {
	let resumeAt = start;
	let failedAt;
	let tries = 0;
	// A new source pauses an element without a word: what the viewer wants is kept here.
	let wanted = !media.paused;
	const on = (name, run) => media.addEventListener(name, run, { signal });
	on("play", () => (wanted = true));
	on("pause", () => (wanted = Boolean(media.error)));
	on("loadedmetadata", () => {
		if (resumeAt > 0 && (!Number.isFinite(media.duration) || resumeAt < media.duration)) media.currentTime = resumeAt;
		onproblem(media.tagName === "VIDEO" && !media.videoWidth ? "silent" : "");
	});
	on("timeupdate", () => {
		if (media.currentTime > resumeAt + 2) tries = 0;
	});
	on("error", async () => {
		if (!media.error) return;
		const isBroken = media.error.code > MediaError.MEDIA_ERR_NETWORK;
		resumeAt = media.currentTime || resumeAt;
		const fate = await askFate(file, signal);
		if (signal.aborted) return;
		if (fate === "gone") return onproblem("gone");
		// A gateway that goes away looks like a broken film: only one that fails twice at a place is believed.
		if (fate === "there" && isBroken) {
			if (Math.abs(resumeAt - failedAt) < 1) return onproblem("undecodable");
			failedAt = resumeAt;
		}
		if (fate === "away") onproblem("away");
		const milliseconds = fate === "there" && !tries ? 0 : PAUSES[Math.min(tries, PAUSES.length - 1)];
		tries += 1;
		await pause(milliseconds, signal);
		if (signal.aborted) return;
		media.src = filePath(file.id);
		if (wanted) media.play().catch(() => {});
	});
	media.src = filePath(file.id);
}

async function askFate(file, signal) {
	try {
		await describeFile(file.id, signal);
		return "there";
	} catch (failure) {
		return failure.status === 404 || failure.status === 410 ? "gone" : "away";
	}
}
