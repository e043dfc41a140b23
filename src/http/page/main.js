// The page's start: views by address, the header, dropping files, and leaving.

import { getJson } from "./api.js";
import { closeCluster, openCluster } from "./cluster.js";
import { showShortcuts } from "./dialogs.js";
import { announce, byId, el, icon, root } from "./dom.js";
import { hear, on } from "./events.js";
import { parseTime } from "./format.js";
import { setLabel, t } from "./i18n.js";
import { handleKey } from "./keys.js";
import { focusFile, forgetFile, libraryLink, refreshLibrary, setWriting, showLibrary } from "./library.js";
import { addSubtitles, closePlayer, keepOpenPosition, openFile, openPlayer } from "./player.js";
import { allow, canRemember, choose, isRemembering, loadSession, saveNow, theme } from "./session.js";
import { isSubtitle } from "./subtitles.js";
import { foldTray } from "./tray.js";
import { addFiles, filesOf, isUploading, redrawUploads, releaseUploads, restoreUploads } from "./uploads.js";

/** Milliseconds between two looks at a list that is shown. */
const PERIOD = 30_000;
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
	for (const link of byId("nav").children) link.ariaCurrent = link.dataset.view === place ? "page" : null;
	root.dataset.view = place;
	// What was said of one place is of no use at the next; that something failed is.
	for (const said of byId("toasts").querySelectorAll(".toast:not(.bad, .lasting)")) said.remove();
	if (place !== "player") document.title = place === "cluster" ? `${t("cluster")} – tnv` : "tnv";
	if (place === "player") {
		foldTray(true);
		openPlayer(address.id, address.seconds);
	} else if (place === "cluster") {
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
	const [picture, language] = [byId("theme"), byId("language")];
	picture.replaceChildren(icon(theme() || "auto"));
	setLabel(picture, t(`theme.${theme()}`));
	language.textContent = t("otherLanguage");
	setLabel(language, t("language.switch"));
	language.lang = root.lang === "en" ? "zh-Hans" : "en";
	renderFoot();
}

function renderFoot() {
	const foot = byId("foot");
	const remembers = isRemembering();
	foot.replaceChildren(
		el("span", { testid: "owner" }, ...owner),
		el("span.badge", { t: "writing.off", hidden: writing }),
		el("button.plain", { testid: "shortcuts", t: "keys", onclick: showShortcuts }),
		el("button.plain", { testid: "remember", "aria-pressed": String(remembers), hidden: !canRemember(),
			t: remembers ? "footer.remembering" : "footer.remember", onclick: () => allow(!remembers) }));
	foot.hidden = false;
}

let owner = [];

async function loadConfig() {
	try {
		const config = await getJson("/api/config");
		writing = config.writing !== false;
		owner = [el("bdi", config.app), " / ", el("bdi", config.user)];
	} catch {
		// Without an answer the page offers everything; the gateway has the last word.
	}
	byId("choose").hidden = !writing;
	setWriting(writing);
	renderFoot();
}

function listenForFiles() {
	on(byId("choose"), "click", () => byId("file-input").click());
	for (const [id, take] of [["file-input", takeFiles], ["subtitle-input", addSubtitles]]) {
		on(byId(id), "change", ({ target }) => {
			take([...target.files]);
			target.value = "";
		});
	}
	const drop = byId("drop");
	const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
	let depth = 0;
	const leave = () => {
		depth = 0;
		drop.hidden = true;
	};
	on(window, "dragenter", (event) => {
		if (!hasFiles(event)) return;
		event.preventDefault();
		depth += 1;
		const [picture, sentence] = writing ? ["upload", "drop"] : ["warn", "writing.offLong"];
		drop.replaceChildren(el("div", icon(picture), el("strong", { t: place === "player" ? "drop.player" : sentence })));
		drop.hidden = false;
	});
	on(window, "dragleave", (event) => hasFiles(event) && (depth -= 1) <= 0 && leave());
	on(window, "dragover", (event) => hasFiles(event) && event.preventDefault());
	on(window, "drop", async (event) => {
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
	on(window, "hashchange", route);
	on(window, "keydown", handleKey);
	on(byId("theme"), "click", () => choose("theme", { "": "light", light: "dark", dark: "" }[theme()] ?? ""));
	on(byId("language"), "click", () => choose("language", root.lang === "en" ? "zh" : "en"));
	hear("language", () => {
		renderTools();
		redrawUploads();
	});
	hear("remember", renderFoot);
	hear("uploaded", refreshLibrary);
	hear("back", () => {
		announce(t("back"));
		loadConfig();
		refreshLibrary();
	});
	hear("deleted", async ({ detail: id }) => {
		if (openFile()?.id === id) {
			closePlayer();
			location.hash = libraryLink();
		}
		forgetFile(id);
	});
	on(window, "beforeunload", (event) => isUploading() && event.preventDefault());
	on(window, "pagehide", () => {
		keepOpenPosition();
		saveNow(true);
		releaseUploads();
	});
	const refresh = () => !document.hidden && place === "library" && refreshLibrary();
	setInterval(refresh, PERIOD);
	on(document, "visibilitychange", () => {
		refresh();
		if (!document.hidden) return;
		keepOpenPosition();
		saveNow();
	});
	on(byId("skip"), "click", () => byId("main").focus());
	// Whatever lies over the page's lower edge, its end can be scrolled above it.
	const corner = document.querySelector(".corner");
	new ResizeObserver(() => root.style.setProperty("--corner", `${corner.offsetHeight}px`)).observe(corner);
}

listen();
listenForFiles();
const session = loadSession();
byId("skeleton").remove();
for (const node of document.querySelectorAll("[data-icon]")) node.prepend(icon(node.dataset.icon));
byId("skip").hidden = false;
// A position that the gateway remembers must be known before a film begins.
if (readAddress().view === "player") await session;
route();
loadConfig();
restoreUploads();
session.then(renderFoot);
