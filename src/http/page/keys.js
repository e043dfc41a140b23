// Keys that work everywhere, and those of the player.

import { showShortcuts } from "./dialogs.js";
import { byId, root } from "./dom.js";
import { libraryLink } from "./library.js";
import { go, openControls, openFile, toggleSubtitles } from "./player.js";

export function handleKey(event) {
	if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
	const { target, key } = event;
	if (document.querySelector("dialog[open]")) return;
	if (target.matches("input:not([type=range]), textarea")) {
		if (key === "Escape") target.blur();
		return;
	}
	if (target.matches("select") && key !== "Escape") return;
	if (run(event)) event.preventDefault();
}

function run({ key, target, shiftKey, repeat }) {
	if (key === "/") return byId("search").focus(), true;
	if (key === "?") return showShortcuts(), true;
	if (root.dataset.view === "library") return false;
	if (key === "Escape" && !document.fullscreenElement) return (location.hash = libraryLink()), true;
	if (!openFile()) return false;
	if (shiftKey && /^[np]$/i.test(key)) return go(key.toLowerCase() === "n" ? 1 : -1), true;
	const controls = openControls();
	if (!controls) {
		const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
		return step ? (go(step), true) : false;
	}
	return runMedia(controls, key, target, repeat);
}

/** Keys that a focused button, link or slider has a use for are left to it. */
function runMedia(controls, key, target, repeat) {
	if (key === " " && target.matches("button, a")) return false;
	if (/^Arrow(Up|Down)$/.test(key) && target.matches(".around a")) return false;
	if (/^Arrow/.test(key) && target.matches(".volume")) return false;
	if (/^[0-9]$/.test(key)) return controls.seekToPart(Number(key) / 10), true;
	const held = { j: () => controls.seekBy(-10), l: () => controls.seekBy(10), arrowleft: () => controls.seekBy(-5),
		arrowright: () => controls.seekBy(5), arrowup: () => controls.changeVolume(0.05), arrowdown: () => controls.changeVolume(-0.05) };
	const pressed = { " ": controls.togglePlay, k: controls.togglePlay, f: controls.toggleFull, m: controls.toggleMute, i: controls.togglePip,
		c: toggleSubtitles, "<": () => controls.changeSpeed(-1), ">": () => controls.changeSpeed(1) };
	const action = held[key.toLowerCase()] ?? (repeat ? undefined : pressed[key.toLowerCase()]);
	action?.();
	return action !== undefined;
}
