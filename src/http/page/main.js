// The page's start: views by address, the header, dropping files, and leaving.

import { getJson } from "./api.js";
import { closeCluster, openCluster } from "./cluster.js";
import { showShortcuts } from "./dialogs.js";
import { announce, byId, el, icon } from "./dom.js";
import { parseTime } from "./format.js";
import { setLabel, t } from "./i18n.js";
import { handleKey } from "./keys.js";
import { focusFile, forgetFile, refreshLibrary, setWriting, showLibrary } from "./library.js";
import { addSubtitles, closePlayer, keepOpenPosition, openFile, openPlayer } from "./player.js";
import { allow, canRemember, chooseLanguage, chooseTheme, isRemembering, loadSession, saveNow, theme } from "./session.js";
import { isSubtitle } from "./subtitles.js";
import { addFiles, filesOf, isUploading, redrawUploads, releaseUploads, restoreUploads } from "./uploads.js";

let writing = true;
let place = "";
let scrolled = 0;

function readAddress() {
	const [path, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
	const parameters = new URLSearchParams(query);
	const [, view, id] = path.split("/");
	if (view === "play" && id) return { view: "player", id: decode(id), seconds: parseTime(parameters.get("t")) };
	if (view === "cluster") return { view: "cluster" };
	return { view: "library", search: parameters.get("q") ?? "", order: parameters.get("sort") === "name" ? "name" : "newest" };
}

function decode(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}

function route() {
	const address = readAddress();
	const before = place;
	const played = openFile()?.id;
	place = address.view;
	if (before === "library" && place !== "library") scrolled = scrollY;
	if (before === "player" && place !== "player") closePlayer();
	if (before === "cluster" && place !== "cluster") closeCluster();
	for (const view of ["library", "player", "cluster"]) byId(view).hidden = view !== place;
	for (const link of byId("nav").children) {
		if (link.dataset.view === place) link.setAttribute("aria-current", "page");
		else link.removeAttribute("aria-current");
	}
	document.documentElement.dataset.view = place;
	if (place !== "player") document.title = place === "cluster" ? `${t("cluster")} – tnv` : "tnv";
	if (place === "player") openPlayer(address.id, address.seconds);
	else if (place === "cluster") {
		openCluster();
		if (before) byId("cluster-title").focus();
	} else {
		showLibrary(address);
		if (!before || before === "library") return;
		scrollTo(0, scrolled);
		if (!played || !focusFile(played)) byId("library-title").focus({ preventScroll: true });
	}
}

function renderTools() {
	const choice = theme();
	byId("theme").replaceChildren(icon(choice || "auto"));
	setLabel(byId("theme"), t(`theme.${choice}`));
	byId("language").textContent = t("otherLanguage");
	setLabel(byId("language"), t("language.switch"));
	byId("language").lang = document.documentElement.lang === "en" ? "zh-Hans" : "en";
	renderFoot();
}

function renderFoot() {
	const foot = byId("foot");
	const parts = [
		el("span", { testid: "owner" }, ...owner),
		!writing && el("span", { class: "badge", t: "writing.off" }),
		el("button", { class: "plain", testid: "shortcuts", t: "footer.help", onclick: showShortcuts }),
		canRemember() && el("button", { class: "plain", testid: "remember", "aria-pressed": String(isRemembering()),
			t: isRemembering() ? "footer.remembering" : "footer.remember", onclick: () => allow(!isRemembering()) }),
	];
	foot.replaceChildren(...parts.filter(Boolean));
	foot.hidden = false;
}

let owner = [];

async function loadConfig() {
	try {
		const config = await getJson("/api/config");
		writing = config.writing !== false;
		owner = [config.app, config.user].filter(Boolean).map((name) => el("bdi", {}, name));
		if (owner.length > 1) owner.splice(1, 0, " / ");
	} catch {
		// Without an answer the page offers everything; the gateway has the last word.
	}
	byId("choose").hidden = !writing;
	setWriting(writing);
	renderFoot();
}

function listenForFiles() {
	const input = byId("file-input");
	byId("choose").addEventListener("click", () => input.click());
	input.addEventListener("change", () => {
		takeFiles(Array.from(input.files));
		input.value = "";
	});
	const subtitles = byId("subtitle-input");
	subtitles.addEventListener("change", () => {
		addSubtitles(Array.from(subtitles.files));
		subtitles.value = "";
	});
	const drop = byId("drop");
	const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
	let depth = 0;
	const leave = () => {
		depth = 0;
		drop.hidden = true;
	};
	addEventListener("dragenter", (event) => {
		if (!hasFiles(event)) return;
		event.preventDefault();
		depth += 1;
		const sentence = place === "player" ? "drop.player" : "drop";
		drop.replaceChildren(el("div", {}, icon(writing ? "upload" : "warn"), el("strong", { t: writing || place === "player" ? sentence : "writing.offLong" })));
		drop.hidden = false;
	});
	addEventListener("dragleave", (event) => hasFiles(event) && (depth -= 1) <= 0 && leave());
	addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
	addEventListener("drop", async (event) => {
		if (!hasFiles(event)) return;
		event.preventDefault();
		leave();
		takeFiles(await filesOf(event.dataTransfer));
	});
}

function takeFiles(files) {
	if (!files.length) return;
	if (place === "player" && files.every((file) => isSubtitle(file.name))) addSubtitles(files);
	else if (writing) addFiles(files);
	else announce(t("writing.offLong"));
}

function listen() {
	addEventListener("hashchange", route);
	addEventListener("keydown", handleKey);
	byId("theme").addEventListener("click", () => {
		chooseTheme({ "": "light", light: "dark", dark: "" }[theme()] ?? "");
	});
	byId("language").addEventListener("click", () => chooseLanguage(document.documentElement.lang === "en" ? "zh" : "en"));
	document.addEventListener("tnv:language", () => {
		renderTools();
		redrawUploads();
	});
	document.addEventListener("tnv:remember", renderFoot);
	document.addEventListener("tnv:uploaded", refreshLibrary);
	document.addEventListener("tnv:back", () => {
		announce(t("back"));
		loadConfig();
		refreshLibrary();
	});
	document.addEventListener("tnv:deleted", async ({ detail: id }) => {
		if (openFile()?.id === id) {
			closePlayer();
			location.hash = "#/";
		}
		forgetFile(id);
	});
	addEventListener("beforeunload", (event) => isUploading() && event.preventDefault());
	addEventListener("pagehide", () => {
		keepOpenPosition();
		saveNow();
		releaseUploads();
	});
	document.addEventListener("visibilitychange", () => document.hidden && (keepOpenPosition(), saveNow()));
	byId("skip").addEventListener("click", (event) => {
		event.preventDefault();
		byId("main").focus();
	});
}

listen();
listenForFiles();
const session = loadSession();
byId("skeleton").remove();
byId("skip").hidden = false;
// A position that the gateway remembers must be known before a film begins.
if (readAddress().view === "player") await session;
route();
loadConfig();
restoreUploads();
session.then(renderFoot);
