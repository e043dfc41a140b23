// The page: which view is shown, who may see it, and that it is asked for anew every other second.

import { ask, Failure } from "./api.js";
import { byId, el, show, toast } from "./dom.js";
import { downloads } from "./downloads.js";
import { chooseLanguage, currentLanguage, t } from "./i18n.js";
import { meeting } from "./meeting.js";
import { meetings } from "./meetings.js";
import { nodes } from "./nodes.js";

const VIEWS = { meetings, meeting, nodes, downloads };
const EVERY = 2000;

const main = byId("main");
let current = { stop: new AbortController() };

/** What a view is given: where it draws, what its address says, how to have it drawn anew, and how to go elsewhere. */
async function open() {
	current.stop.abort();
	const [, name = "meetings", argument = ""] = location.hash.split("/");
	const view = VIEWS[name] ?? meetings;
	const stop = new AbortController();
	current = { stop };
	for (const link of document.querySelectorAll("#nav a[data-view]")) {
		link.ariaCurrent = link.dataset.view === name || (name === "meeting" && link.dataset.view === "meetings") ? "page" : null;
	}
	show(main);
	const place = el("section");
	main.append(place);
	const redraw = () => refresh(draw, stop.signal);
	const draw = view(place, decodeURIComponent(argument), stop.signal, redraw, (work, hash) => leave(stop, work, hash));
	while (!stop.signal.aborted) {
		await refresh(draw, stop.signal);
		await new Promise((resolve) => setTimeout(resolve, EVERY));
		while (document.hidden && !stop.signal.aborted) {
			await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
		}
	}
}

/** Goes elsewhere with work that takes away what is shown: that must not be asked for any more. */
async function leave(stop, work, hash) {
	stop.abort();
	try {
		await work();
		location.hash = hash;
	} catch (error) {
		toast(error.message, true);
		open();
	}
}

async function refresh(draw, signal) {
	if (signal.aborted) return;

	try {
		await draw();
		byId("offline").hidden = true;
	} catch (error) {
		if (signal.aborted || error.name === "AbortError") return;
		if (error instanceof Failure && error.status === 401) return logIn();
		byId("offline").hidden = !(error instanceof Failure) || error.status !== 0;
		if (error.status === 404 || error.status === 403) {
			current.stop.abort();
			show(main, el("p.empty", error.status === 403 ? `${t("notHere")} (${error.message})` : error.message));
		} else if (error.status) toast(error.message, true);
		else if (!(error instanceof Failure)) throw error;
	}
}

function logIn() {
	current.stop.abort();
	byId("log-out").hidden = true;
	const password = el("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
	const submit = async (event) => {
		event.preventDefault();
		try {
			await ask("/api/v1/admin/session", { method: "POST", body: { password: password.value } });
			byId("log-out").hidden = false;
			open();
		} catch (error) {
			toast(error.message, true);
			password.select();
		}
	};
	show(main, el("form.card.narrow", { onsubmit: submit },
		el("h1", t("passwordNeeded")),
		el("label", t("password"), password),
		el("button.button.primary", { onclick: () => password.form.requestSubmit() }, t("logIn"))));
	password.focus();
}

function turnTheme() {
	const { dataset } = document.documentElement;
	const isDark = dataset.theme ? dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
	dataset.theme = isDark ? "light" : "dark";
	try {
		localStorage.setItem("tnv.theme", dataset.theme);
	} catch {
		// It holds until the page is left.
	}
}

function speak(language) {
	chooseLanguage(language);
	byId("language").textContent = t("otherLanguage");
}

byId("theme").addEventListener("click", turnTheme);
byId("language").addEventListener("click", () => (speak(currentLanguage() === "zh" ? "en" : "zh"), open()));
byId("log-out").addEventListener("click", async () => {
	await ask("/api/v1/admin/session", { method: "DELETE" }).catch((error) => toast(error.message, true));
	open();
});
addEventListener("hashchange", open);
speak();
ask("/api/v1/admin/session").then(({ operator, password }) => (byId("log-out").hidden = !(operator && password))).catch(() => {});
open();
