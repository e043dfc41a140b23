// The configuration as a form, made from what the node says its keys are.

import { ask } from "./api.js";
import { el } from "./format.js";
import { isKnown, t } from "./texts.js";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"];
const form = document.getElementById("config");
let shown = {};
let overridden = [];

/** Reads the configuration and builds the form anew. */
export async function load(decidedElsewhere = overridden) {
	overridden = decidedElsewhere;
	shown = await ask("/api/config");
	build();
}

/** Builds the form from what is known, in the language that is chosen now. */
export function build() {
	const general = [];
	const groups = [];
	for (const [name, value] of Object.entries(shown)) {
		if (value?.constructor !== Object) general.push(field(name, value));
		else groups.push(group(t(`group.${name}`), Object.entries(value).map(([key, inner]) => field(`${name}.${key}`, inner))));
	}
	form.replaceChildren(
		group(t("general"), general),
		...groups,
		el("div", { class: "actions" }, el("button", { class: "button primary", "data-testid": "save" }, t("save")), el("button", { type: "button", class: "button", onclick: build }, t("reset"))),
	);
}

const group = (title, fields) => el("fieldset", {}, el("legend", {}, title), ...fields);

function field(key, value) {
	const id = `key-${key}`;
	const common = { id, name: key, "data-kind": kind(key, value), disabled: overridden.includes(key), "aria-describedby": `${id}-mistake` };
	const label = el("label", { for: id }, isKnown(key) ? t(`key.${key}`) : key);
	const hint = el("code", {}, overridden.includes(key) ? `${key} · ${t("overridden")}` : key);
	const mistake = el("span", { class: "mistake", id: `${id}-mistake` });
	if (typeof value === "boolean") return el("div", { class: "field flag" }, el("input", { ...common, type: "checkbox", checked: value }), label, hint, mistake);
	return el("div", { class: "field" }, label, input(key, value, common), hint, mistake);
}

function input(key, value, common) {
	if (key === "logging.level") return el("select", common, ...LEVELS.map((level) => el("option", { selected: level === value }, level)));
	const text = Array.isArray(value) ? value.join(", ") : (value ?? "");
	const secret = key === "apiKey" || key === "adminPassword";
	return el("input", { ...common, value: text, autocomplete: "off", spellcheck: "false", type: secret ? "password" : "text", inputmode: common["data-kind"] === "number" ? "decimal" : undefined });
}

const kind = (key, value) => (Array.isArray(value) ? "list" : key === "publicPort" || typeof value === "number" ? "number" : typeof value === "boolean" ? "flag" : "text");

/** What a field says: a number that is none is sent as it was written, so that the node can say what is wrong. */
function valueOf(input) {
	const text = input.value.trim();
	switch (input.dataset.kind) {
		case "flag":
			return input.checked;
		case "list":
			return text.split(",").map((item) => item.trim()).filter(Boolean);
		case "number":
			return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
		default:
			return text === "" ? null : text;
	}
}

/** The fields as the document that the node takes. */
function collect() {
	const document = {};
	for (const input of form.querySelectorAll("[name]:not(:disabled)")) {
		const path = input.name.split(".");
		const last = path.pop();
		path.reduce((table, name) => (table[name] ??= {}), document)[last] = valueOf(input);
	}
	return document;
}

/** Sends the form; `say` tells a person what came of it. */
export async function save(say) {
	for (const node of form.querySelectorAll(".mistake")) node.textContent = "";
	for (const node of form.querySelectorAll("[aria-invalid]")) node.removeAttribute("aria-invalid");
	try {
		const { at_next_start: later, warnings } = await ask("/api/config", collect());
		await load();
		say(t("saved"));
		if (later.length) say(t("nextStart") + later.join(", "));
		// Of keys that are decided elsewhere the form says so by itself.
		warnings.filter((warning) => !overridden.some((key) => warning.startsWith(`${key}:`))).forEach(say);
	} catch (error) {
		for (const { key, message } of error.mistakes ?? []) mark(key, message);
		say(error.mistakes?.length ? t("mistakes") : error.message);
		form.querySelector("[aria-invalid]")?.focus();
	}
}

function mark(key, message) {
	const input = form.querySelector(`[name="${CSS.escape(key)}"]`);
	const mistake = document.getElementById(`key-${key}-mistake`);
	input?.setAttribute("aria-invalid", "true");
	if (mistake) mistake.textContent = message;
}
