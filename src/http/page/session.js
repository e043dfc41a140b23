// What the page remembers of a visitor: language, theme, and where a film was left. It stays in this tab until the
// visitor allows more; then the gateway keeps it, and the browser a copy of theme and language for the first paint.

import { getJson, request } from "./api.js";
import { byId, debounce, el, root } from "./dom.js";
import { tell } from "./events.js";
import { browserLanguage, setLanguage } from "./i18n.js";

const POSITIONS_MAX = 200;
const state = { allowed: false, language: "", theme: "", positions: {} };
/** Positions that the gateway does not know yet; those that are forgotten are `undefined`. */
let unsaved = {};
let available = false;

/** Reads what is known; the gateway may have sessions switched off (404). */
export async function loadSession() {
	state.theme = stored("theme");
	state.language = stored("language");
	applyPreferences();
	try {
		const known = await getJson("/api/session");
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

/** Chooses a `theme` or a `language`. */
export function choose(name, chosen) {
	state[name] = chosen;
	write("sessionStorage", name, chosen);
	if (state.allowed) write("localStorage", name, chosen);
	applyPreferences();
	changed();
}

export const position = (id) => (Object.hasOwn(state.positions, id) ? state.positions[id] : undefined);

/** Keeps a position, or forgets it (`undefined`). */
export function setPosition(id, seconds) {
	if (seconds === undefined && position(id) === undefined) return;
	// The newest stands last.
	delete state.positions[id];
	state.positions[id] = unsaved[id] = seconds && Math.round(seconds * 10) / 10;
	tell("position", id);
	changed();
}

/** Allows remembering, or ends it and has the gateway forget. */
export function allow(allowed) {
	state.allowed = allowed;
	write("localStorage", "remember", allowed ? "" : "no");
	for (const name of ["theme", "language"]) write("localStorage", name, allowed ? state[name] : "");
	byId("consent").hidden = true;
	unsaved = allowed ? { ...state.positions } : {};
	if (allowed) save();
	else put({ allowed: false }).catch(() => {});
	tell("remember");
}

function applyPreferences() {
	if (state.theme) root.dataset.theme = state.theme;
	else delete root.dataset.theme;
	setLanguage(state.language || browserLanguage());
}

function changed() {
	if (state.allowed) saveSoon();
	else if (available && read("localStorage", "remember") !== "no") ask();
}

const saveSoon = debounce(1500, () => save());

/** Saves what is new here over what other tabs have saved since; a tab that is leaving has no time to ask for that. */
async function save(leaving = false) {
	const changes = { ...unsaved };
	try {
		if (!leaving) {
			const known = await getJson("/api/session");
			const positions = { ...(known.allowed ? known : state).positions, ...unsaved };
			state.positions = Object.fromEntries(Object.entries(positions).slice(-POSITIONS_MAX));
		}
		// Another tab may have been told to forget.
		if (read("localStorage", "remember") === "no") return allow(false);
		await put({ ...state, theme: shared("theme"), language: shared("language") }, leaving);
		for (const id of Object.keys(changes)) if (unsaved[id] === changes[id]) delete unsaved[id];
	} catch {
		// It is a convenience; the next change is saved again.
	}
}

/** What was chosen last, in whichever tab. */
const shared = (name) => read("localStorage", name) ?? state[name];

async function put(body, keepalive = false) {
	const headers = { "content-type": "application/json" };
	if (available) await request("/api/session", { method: "PUT", headers, body: JSON.stringify(body), keepalive });
}

export function saveNow(leaving) {
	if (state.allowed && Object.keys(unsaved).length) save(leaving);
}

let asked = false;

function ask() {
	if (asked) return;
	asked = true;
	byId("consent").replaceChildren(
		el("p", { t: "consent.question" }),
		el("div.row-end",
			el("button.button.quiet", { testid: "consent-no", t: "consent.no", onclick: () => allow(false) }),
			el("button.button.primary", { testid: "consent-yes", t: "consent.yes", onclick: () => allow(true) })));
	byId("consent").hidden = false;
}

const stored = (name) => read("sessionStorage", name) ?? read("localStorage", name) ?? "";

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
