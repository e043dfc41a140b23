// The list of files: searched and sorted by the gateway, loaded page by page while one scrolls.

import { listFiles } from "./api.js";
import { announce, byId, debounce, el, icon } from "./dom.js";
import { isShown } from "./format.js";
import { t } from "./i18n.js";
import { buildRow } from "./row.js";

const state = {
	order: "newest",
	search: "",
	files: [],
	cursor: "",
	/** `loading`, `more`, `end` or `failed` */
	phase: "loading",
};
let nodes;
let loading = new AbortController();
let started = false;

export const loadedFiles = () => state.files;

export const findFile = (id) => state.files.find((file) => file.id === id);

/** Shows the list for a search and an order; what is shown already stays. */
export function showLibrary({ search = "", order = "newest" }) {
	nodes ??= build();
	const box = byId("search");
	if (document.activeElement !== box) box.value = search;
	if (started && search === state.search && order === state.order) return;
	Object.assign(state, { search, order });
	reload();
}

export function prepareLibrary() {
	nodes ??= build();
	if (!started) reload();
}

/** The next file that can be looked at, `step` being 1 or -1; loads more of the list where it ends. */
export async function neighbour(id, step) {
	for (;;) {
		const at = state.files.findIndex((file) => file.id === id);
		if (at < 0) return step > 0 ? state.files.find(isShown) : undefined;
		const ahead = step > 0 ? state.files.slice(at + 1) : state.files.slice(0, at).reverse();
		const found = ahead.find(isShown);
		if (found || step < 0 || state.phase !== "more") return found;
		await loadMore();
	}
}

export function setWriting(writing) {
	state.writing = writing;
	document.documentElement.classList.toggle("read-only", !writing);
	if (nodes) render();
}

function build() {
	const title = el("h1", { id: "library-title", tabindex: "-1", t: "library" });
	const count = el("span", { class: "count", testid: "count" });
	const orders = ["newest", "name"].map((order) =>
		el("button", { "data-order": order, testid: `sort-${order}`, t: `sort.${order}`, onclick: () => navigate({ order }) }));
	const list = el("ul", { class: "files", role: "list", testid: "files", "aria-labelledby": "library-title" });
	const end = el("div", { class: "end", testid: "list-end" });
	byId("library").append(
		el("div", { class: "head" }, title, count, el("div", { class: "switch", role: "group", label: "sort" }, ...orders)), list, end);
	list.addEventListener("keydown", moveInList);
	new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && state.phase === "more" && loadMore(),
		{ rootMargin: "900px" }).observe(end);
	const box = byId("search");
	const search = debounce(250, () => navigate({ search: box.value.trim() }));
	box.addEventListener("input", search);
	box.addEventListener("keydown", (event) => event.key === "ArrowDown" && (event.preventDefault(), focusRow(0)));
	byId("search-form").addEventListener("submit", (event) => (event.preventDefault(), navigate({ search: box.value.trim() })));
	return { list, end, count, orders };
}

/** Search and order are part of the address; they change it without leaving a trail in the history. */
function navigate(change) {
	const { search, order } = { search: state.search, order: state.order, ...change };
	const query = new URLSearchParams();
	if (search) query.set("q", search);
	if (order !== "newest") query.set("sort", order);
	const hash = `#/${query.size ? `?${query}` : ""}`;
	if (location.hash.startsWith("#/play/") || location.hash.startsWith("#/cluster")) location.hash = hash;
	else {
		history.replaceState(history.state, "", hash);
		showLibrary({ search, order });
	}
}

function reload() {
	started = true;
	loading.abort();
	Object.assign(state, { files: [], cursor: "", phase: "loading" });
	loadMore(true);
}

async function loadMore(fresh = false) {
	if (state.phase === "loading" && !fresh) return;
	loading = new AbortController();
	const { signal } = loading;
	state.phase = "loading";
	renderEnd();
	try {
		const page = await listFiles({ order: state.order, search: state.search, cursor: state.cursor }, signal);
		if (signal.aborted) return;
		const known = new Set(state.files.map((file) => file.id));
		state.files.push(...page.files.filter((file) => !known.has(file.id)));
		// A cursor that stands still would be asked for ever.
		state.phase = page.next && page.next !== state.cursor ? "more" : "end";
		state.cursor = page.next ?? "";
	} catch (failure) {
		if (failure.name === "AbortError") return;
		state.phase = "failed";
		state.problem = failure;
	}
	render();
	if (fresh && state.search) announce(t("list.found", { n: state.files.length, more: state.phase === "more" }));
	if (state.phase === "more" && nodes.end.getBoundingClientRect().top < innerHeight + 900 && !byId("library").hidden) loadMore();
	document.dispatchEvent(new CustomEvent("tnv:list"));
}

/** Takes in what is new at the front without disturbing what is shown. */
export async function refreshLibrary() {
	if (!started) return;
	if (state.phase === "failed") return void loadMore(state.files.length === 0);
	if (state.phase === "loading") return;
	const { order, search } = state;
	try {
		const page = await listFiles({ order, search });
		if (order !== state.order || search !== state.search) return;
		const known = new Set(state.files.map((file) => file.id));
		let before = 0;
		for (const file of page.files) {
			if (known.has(file.id)) before = state.files.findIndex((other) => other.id === file.id) + 1;
			else state.files.splice(before++, 0, file);
		}
		render();
		document.dispatchEvent(new CustomEvent("tnv:list"));
	} catch {
		// The list stays as it is; whoever is offline is told so elsewhere.
	}
}

export function forgetFile(id) {
	const at = state.files.findIndex((file) => file.id === id);
	if (at < 0) return;
	const hadFocus = nodes?.list.contains(document.activeElement) || document.activeElement === document.body;
	state.files.splice(at, 1);
	render();
	if (hadFocus && !byId("library").hidden) focusRow(Math.min(at, state.files.length - 1));
}

/** Rows keep their nodes, so that a render changes only what has changed. */
const rows = new Map();

function render() {
	for (const button of nodes.orders) button.setAttribute("aria-pressed", String(button.dataset.order === state.order));
	const shown = state.files.map((file) => {
		const key = `${file.id}\n${state.search}`;
		let row = rows.get(key);
		if (!row) rows.set(key, (row = buildRow(file, state.search)));
		return [key, row];
	});
	const keys = new Set(shown.map(([key]) => key));
	for (const [key, row] of rows) {
		if (keys.has(key)) continue;
		row.remove();
		rows.delete(key);
	}
	const { list } = nodes;
	shown.forEach(([, row], at) => list.children[at] !== row && list.insertBefore(row, list.children[at] ?? null));
	list.hidden = state.files.length === 0;
	nodes.count.textContent = state.files.length ? t("list.count", { n: state.files.length, more: state.phase === "more" }) : "";
	renderEnd();
}

function renderEnd() {
	const { end } = nodes;
	end.className = "end";
	if (state.phase === "loading") {
		const skeleton = Array.from({ length: state.files.length ? 2 : 8 }, () => el("i"));
		end.replaceChildren(el("div", { class: "skeleton-rows", "aria-hidden": "true" }, ...skeleton));
	} else if (state.phase === "failed") {
		const again = el("button", { class: "button", t: "tryAgain", onclick: () => loadMore(state.files.length === 0) });
		end.replaceChildren(message("warn", state.problem.sentence ?? String(state.problem), "", again));
	} else if (state.files.length === 0) {
		end.replaceChildren(state.search ? nothingFound() : emptyLibrary());
	} else end.replaceChildren();
	end.setAttribute("aria-busy", String(state.phase === "loading"));
}

function message(picture, title, text, ...actions) {
	return el("div", { class: "message" }, el("div", { class: "message-icon" }, icon(picture)),
		el("h2", {}, title), text && el("p", {}, text), el("div", { class: "message-actions" }, ...actions));
}

function nothingFound() {
	const clear = el("button", { class: "button", t: "search.clear", onclick: () => {
		byId("search").value = "";
		navigate({ search: "" });
		byId("search").focus();
	} });
	const node = message("search", t("search.none", { search: state.search }), "", clear);
	node.dataset.testid = "nothing-found";
	return node;
}

function emptyLibrary() {
	const choose = el("button", { class: "button primary", t: "empty.choose", onclick: () => byId("file-input").click() });
	const node = state.writing === false
		? message("library", t("empty.title"), t("empty.readOnly"))
		: message("upload", t("empty.title"), t("empty.text"), choose);
	node.classList.add("empty");
	node.dataset.testid = "empty";
	return node;
}

export function focusRow(at) {
	nodes?.list.children[at]?.querySelector("a").focus();
}

export function focusFile(id) {
	const at = state.files.findIndex((file) => file.id === id);
	if (at >= 0) focusRow(at);
	return at >= 0;
}

function moveInList(event) {
	const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
	const row = event.target.closest("li");
	if (event.target.tagName !== "A" || !row) return;
	if (step) {
		event.preventDefault();
		const at = [...nodes.list.children].indexOf(row) + step;
		if (at < 0) byId("search").focus();
		else focusRow(at);
	} else if (event.key === "Delete") row.dispatchEvent(new CustomEvent("tnv:delete"));
}

document.addEventListener("tnv:language", () => {
	if (!nodes) return;
	for (const row of rows.values()) row.remove();
	rows.clear();
	render();
});

document.addEventListener("tnv:position", ({ detail }) => {
	const row = rows.get(`${detail}\n${state.search}`);
	row?.dispatchEvent(new CustomEvent("tnv:update"));
});

