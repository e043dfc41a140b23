// The one media element of the page: loading, failing, starting again, and being let go.

import { describeFile, filePath } from "./api.js";

const PAUSES = [1000, 2000, 4000, 8000, 15_000];

/**
 * Lets a media element go: without a source its requests end at once, and the browser frees its decoder.
 * @param {HTMLMediaElement | HTMLImageElement} media
 */
export function release(media) {
	if (!media) return;
	if (document.pictureInPictureElement === media) document.exitPictureInPicture().catch(() => {});
	media.pause?.();
	for (const track of media.querySelectorAll("track")) track.remove();
	media.removeAttribute("src");
	media.load?.();
	media.remove();
}

/**
 * Plays a file from `start` seconds on.
 * @param {HTMLMediaElement} media
 * @param {{start: number, signal: AbortSignal, onproblem: (kind: "" | "gone" | "away" | "undecodable" | "silent") => void}} options
 */
export function load(media, file, { start, signal, onproblem }) {
	let resumeAt = start;
	let tries = 0;
	const on = (name, run) => media.addEventListener(name, run, { signal });
	on("loadedmetadata", () => {
		if (resumeAt > 0 && (!Number.isFinite(media.duration) || resumeAt < media.duration)) media.currentTime = resumeAt;
		resumeAt = 0;
		if (media.tagName === "VIDEO" && !media.videoWidth) onproblem("silent");
	});
	on("playing", () => {
		tries = 0;
		onproblem("");
	});
	on("error", async () => {
		if (!media.error) return;
		const { code } = media.error;
		resumeAt = media.currentTime || resumeAt;
		const fate = await askFate(file, signal);
		if (signal.aborted) return;
		const broken = code === MediaError.MEDIA_ERR_DECODE || code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED;
		if (fate === "gone") onproblem("gone");
		// A gateway that comes and goes fails like a broken film: after one more try it is believed.
		else if (fate === "there" && broken && tries > 0) onproblem("undecodable");
		else {
			if (fate === "away") onproblem("away");
			const pause = fate === "there" ? 0 : PAUSES[Math.min(tries, PAUSES.length - 1)];
			tries += 1;
			again(pause);
		}
	});

	function again(pause) {
		const wasPlaying = !media.paused;
		const timer = setTimeout(go, pause);
		function go() {
			clearTimeout(timer);
			document.removeEventListener("tnv:back", go);
			if (signal.aborted) return;
			media.src = filePath(file.id);
			if (wasPlaying) media.play().catch(() => {});
		}
		if (pause) document.addEventListener("tnv:back", go, { signal });
		signal.addEventListener("abort", () => clearTimeout(timer));
	}

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
