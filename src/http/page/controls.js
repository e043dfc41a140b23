// The bar under a film: seek, volume, speed, subtitles, picture in picture, full screen.

import { el, icon, iconButton, setIcon } from "./dom.js";
import { on as listen } from "./events.js";
import { formatClock } from "./format.js";
import { setLabel, t } from "./i18n.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
/** Milliseconds without a move after which the bar of a running film hides. */
const IDLE = 2600;
/** Kept from film to film while the page lives. */
const kept = { volume: 1, muted: false, speed: 1 };

/** The stage is what fills the screen, the media and this bar; `go(1)` leads to the next file, `go(-1)` to the one before. */
export function buildControls(media, stage, { signal, go }) {
	const on = (target, names, run) => listen(target, names, run, signal);
	const isVideo = media.tagName === "VIDEO";
	Object.assign(media, { volume: kept.volume, muted: kept.muted, defaultPlaybackRate: kept.speed, playbackRate: kept.speed });

	const play = iconButton("play", "play", togglePlay);
	const seek = el("input.seek", { type: "range", min: "0", max: "0", step: "any", value: "0", label: "seek", testid: "seek" });
	const tip = el("output.seek-tip", { "aria-hidden": "true" });
	const clock = el("span.clock", { testid: "clock" });
	const mute = iconButton("mute", "mute", toggleMute);
	const volume = el("input.volume", { type: "range", min: "0", max: "1", step: "0.01", label: "volume", testid: "volume" });
	const speed = el("select", { label: "speed", testid: "speed" },
		...SPEEDS.map((rate) => el("option", { value: rate }, `${rate}×`)));
	const captions = el("select", { label: "subtitles", testid: "subtitles" });
	const pip = iconButton("pip", "pip", togglePip);
	pip.hidden = !isVideo || !document.pictureInPictureEnabled;
	const full = iconButton("full", "full", toggleFull, { testid: "fullscreen" });
	full.hidden = !isVideo || !(document.fullscreenEnabled || media.webkitEnterFullscreen);

	const bar = el("div.controls", { testid: "controls", role: "group", label: "controls" },
		el("div.seek-line", seek, tip),
		el("div.controls-line",
			iconButton("previous", "previous", () => go(-1)), play,
			iconButton("next", "next", () => go(1)),
			mute, volume, clock, el("span.gap"), el("span.captions", { hidden: true }, icon("subtitle"), captions), speed, pip, full));

	on(media, "play pause ended", () => {
		change(play, media.paused ? "play" : "pause");
		stage.classList.toggle("paused", media.paused);
		wake();
	});
	on(media, "timeupdate durationchange seeking seeked progress loadedmetadata", drawTime);
	on(media, "volumechange", drawVolume);
	on(media, "ratechange", () => {
		kept.speed = media.playbackRate;
		if (!SPEEDS.includes(media.playbackRate)) return;
		speed.value = String(media.playbackRate);
	});
	on(media, "waiting", () => stage.classList.add("waiting"));
	on(media, "playing canplay seeked error", () => stage.classList.remove("waiting"));
	on(document, "fullscreenchange", () => change(full, document.fullscreenElement === stage ? "window" : "full"));
	on(speed, "change", () => (media.playbackRate = Number(speed.value)));
	on(volume, "input", () => {
		media.volume = Number(volume.value);
		media.muted = media.volume === 0;
	});
	on(seek, "input", () => seekTo(Number(seek.value)));
	on(media, "seeked", () => wanted !== undefined && seekTo(wanted));
	on(seek, "pointermove", showTip);
	on(seek, "pointerleave", () => (tip.textContent = ""));
	on(stage, "pointermove pointerdown keydown focusin", wake);
	on(stage, "pointerleave", () => !media.paused && stage.classList.add("idle"));
	if (isVideo) on(media, "click", (event) => (event.pointerType === "touch" ? stage.classList.toggle("idle") : togglePlay()));
	if (isVideo) on(media, "dblclick", toggleFull);

	let wanted;
	let idle;
	speed.value = String(kept.speed);
	stage.classList.add("paused");
	drawTime();
	drawVolume();

	/** While one seek runs, only the latest wish is kept: a drag is not a hundred requests. */
	function seekTo(seconds) {
		const at = clamp(seconds, Number.isFinite(media.duration) ? media.duration : Infinity);
		if (media.seeking) wanted = at;
		else {
			wanted = undefined;
			media.currentTime = at;
		}
		drawTime();
	}

	function drawTime() {
		const { duration } = media;
		const at = wanted ?? media.currentTime;
		const known = Number.isFinite(duration) && duration > 0;
		seek.max = known ? String(duration) : "0";
		seek.disabled = !known;
		seek.value = String(at);
		const text = `${formatClock(at)} / ${formatClock(duration)}`;
		if (clock.textContent !== text) clock.textContent = text;
		seek.setAttribute("aria-valuetext", known ? t("seek.at", { at: formatClock(at), of: formatClock(duration) }) : "");
		const mark = (name, time) => seek.style.setProperty(name, `${known ? (time / duration) * 100 : 0}%`);
		mark("--at", at);
		mark("--loaded", loadedUntil(media));
	}

	function drawVolume() {
		Object.assign(kept, { volume: media.volume, muted: media.muted });
		const silent = media.muted || media.volume === 0;
		change(mute, silent ? "unmute" : "mute");
		volume.value = String(silent ? 0 : media.volume);
		volume.style.setProperty("--at", `${Number(volume.value) * 100}%`);
	}

	function showTip(event) {
		const box = seek.getBoundingClientRect();
		const part = clamp((event.clientX - box.left) / box.width);
		tip.textContent = Number.isFinite(media.duration) ? formatClock(part * media.duration) : "";
		tip.style.left = `${part * 100}%`;
	}

	function wake() {
		stage.classList.remove("idle");
		clearTimeout(idle);
		if (isVideo) idle = setTimeout(() => !media.paused && !bar.matches(":focus-within:has(:focus-visible)") && stage.classList.add("idle"), IDLE);
	}

	function togglePlay() {
		if (media.paused) media.play().catch(() => {});
		else media.pause();
	}

	function toggleMute() {
		media.muted = !media.muted;
		if (!media.muted && media.volume === 0) media.volume = 0.5;
	}

	function togglePip() {
		if (document.pictureInPictureElement) document.exitPictureInPicture().catch(() => {});
		else media.requestPictureInPicture?.().catch(() => {});
	}

	function toggleFull() {
		if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
		else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
		else media.webkitEnterFullscreen?.();
	}

	function changeSpeed(step) {
		media.playbackRate = SPEEDS[clamp(SPEEDS.indexOf(media.playbackRate) + step, SPEEDS.length - 1)];
	}

	function changeVolume(step) {
		media.volume = clamp(media.volume + step);
		media.muted = media.volume === 0;
	}

	return { bar, captions, seekTo, togglePlay, toggleMute, togglePip, toggleFull, changeSpeed, changeVolume,
		seekToPart: (part) => media.duration > 0 && seekTo(part * media.duration),
		seekBy: (seconds) => seekTo((wanted ?? media.currentTime) + seconds) };
}

const clamp = (value, most = 1) => Math.max(0, Math.min(value, most));

function loadedUntil(media) {
	for (let at = 0; at < media.buffered.length; at += 1) {
		if (media.buffered.start(at) <= media.currentTime + 0.2 && media.currentTime <= media.buffered.end(at)) return media.buffered.end(at);
	}
	return 0;
}

/** What a button does next: its picture and its name. */
function change(button, action) {
	setIcon(button.firstElementChild, action);
	button.dataset.tLabel = action;
	setLabel(button, t(action));
}
