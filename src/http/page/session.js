// What the page remembers of a visitor: language, theme, and where a film was left. It stays in this tab until the
// visitor allows more; then the gateway keeps it, and the browser a copy of theme and language for the first paint.

import { request } from "./api.js";
import { byId, debounce, el } from "./dom.js";
import { browserLanguage, setLanguage } from "./i18n.js";

const POSITIONS_MAX = 200;
const state = { allowed: false, language: "", theme: "", positions: {} };
let available = false;

/** Reads what is known; the gateway may have sessions switched off (404). */
export async function loadSession() {
	state.theme = stored("theme");
	state.language = stored("language");
	applyPreferences();
	try {
		const known = await (await request("/api/session")).json();
		available = true;
		if (known.allowed) {
			Object.assign(state, {
				allowed: true,
				language: state.language || known.language || "",
				theme: state.theme || known.theme || "",
				positions: { ...known.positions, ...state.positions },
			});
			applyPreferences();
		}
	} catch {
		// Without sessions the page works the same, for as long as the tab lives.
	}
}

export const canRemember = () => available;
export const isRemembering = () => state.allowed;
export const theme = () => state.theme;

export function chooseTheme(chosen) {
	state.theme = chosen;
	store("theme", chosen);
	applyPreferences();
	changed();
}

export function chooseLanguage(chosen) {
	state.language = chosen;
	store("language", chosen);
	applyPreferences();
	changed();
}

export const position = (id) => (Object.hasOwn(state.positions, id) ? state.positions[id] : undefined);

/** Keeps a position, or forgets it (`undefined`). */
export function setPosition(id, seconds) {
	const { [id]: before, ...others } = state.positions;
	if (seconds === undefined && before === undefined) return;
	const kept = Object.entries(others).slice(1 - POSITIONS_MAX);
	state.positions = Object.fromEntries(kept);
	if (seconds !== undefined) state.positions[id] = Math.round(seconds * 10) / 10;
	document.dispatchEvent(new CustomEvent("tnv:position", { detail: id }));
	changed();
}

/** Allows remembering, or ends it and has the gateway forget. */
export function allow(allowed) {
	state.allowed = allowed;
	write("localStorage", "remember", allowed ? "" : "no");
	for (const name of ["theme", "language"]) write("localStorage", name, allowed ? state[name] : "");
	byId("consent").hidden = true;
	save(!allowed);
	document.dispatchEvent(new CustomEvent("tnv:remember"));
}

function applyPreferences() {
	const root = document.documentElement;
	if (state.theme) root.dataset.theme = state.theme;
	else delete root.dataset.theme;
	setLanguage(state.language || browserLanguage());
}

function changed() {
	if (state.allowed) saveSoon();
	else if (available && read("localStorage", "remember") !== "no") ask();
}

const saveSoon = debounce(1500, () => save(false));

async function save(forget, keepalive = false) {
	if (!available) return;
	const body = JSON.stringify(forget ? { allowed: false, language: "", theme: "", positions: {} } : state);
	try {
		await request("/api/session", { method: "PUT", headers: { "content-type": "application/json" }, body, keepalive });
	} catch {
		// It is a convenience; the next change is saved again.
	}
}

export function saveNow() {
	if (state.allowed) save(false, true);
}

let asked = false;

function ask() {
	if (asked) return;
	asked = true;
	byId("consent").replaceChildren(
		el("p", { t: "consent.question" }),
		el("div", { class: "row-end" },
			el("button", { class: "button quiet", testid: "consent-no", t: "consent.no", onclick: () => allow(false) }),
			el("button", { class: "button primary", testid: "consent-yes", t: "consent.yes", onclick: () => allow(true) })),
	);
	byId("consent").hidden = false;
}

const stored = (name) => read("sessionStorage", name) ?? read("localStorage", name) ?? "";

function store(name, value) {
	write("sessionStorage", name, value);
	if (state.allowed) write("localStorage", name, value);
}

/** Storage may be blocked, or full: then it is as if it were empty. */
export function read(area, name) {
	try {
		return globalThis[area].getItem(`tnv.${name}`);
	} catch {
		return null;
	}
}

/** An empty value is no value, except in the tab, where it stands for the visitor's choice of the default. */
export function write(area, name, value) {
	try {
		if (value || area === "sessionStorage") globalThis[area].setItem(`tnv.${name}`, value);
		else globalThis[area].removeItem(`tnv.${name}`);
	} catch {
		// See read.
	}
}
