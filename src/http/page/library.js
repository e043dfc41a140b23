// The list of files: searched and sorted by the gateway, loaded page by page while one scrolls.

import { listFiles } from "./api.js";
import { announce, byId, debounce, el, icon, isReadOnly, root } from "./dom.js";
import { hear, on, tell } from "./events.js";
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
/** Counts what makes an answer that is still on its way an old one. */
let version = 0;

export const loadedFiles = () => state.files;

export const findFile = (id) => state.files.find((file) => file.id === id);
const indexOf = (id) => state.files.findIndex((file) => file.id === id);

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
		const at = indexOf(id);
		if (at < 0) return step > 0 ? state.files.find(isShown) : undefined;
		const ahead = step > 0 ? state.files.slice(at + 1) : state.files.slice(0, at).reverse();
		const found = ahead.find(isShown);
		if (found || step < 0 || state.phase !== "more") return found;
		await loadMore();
	}
}

export function setWriting(writing) {
	root.classList.toggle("read-only", !writing);
	if (nodes) render();
}

function build() {
	const title = el("h1", { id: "library-title", tabindex: "-1", t: "library" });
	const count = el("span.count", { testid: "count" });
	const orders = ["newest", "name"].map((order) =>
		el("button", { "data-order": order, testid: `sort-${order}`, t: `sort.${order}`, onclick: () => navigate({ order }) }));
	const list = el("ul.files", { role: "list", testid: "files", "aria-labelledby": "library-title" });
	const end = el("div.end", { testid: "list-end" });
	byId("library").append(
		el("div.head", title, count, el("div.switch", { role: "group", label: "sort" }, ...orders)), list, end);
	on(list, "keydown", moveInList);
	new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && state.phase === "more" && loadMore(),
		{ rootMargin: "900px" }).observe(end);
	const box = byId("search");
	const search = () => navigate({ search: box.value.trim() });
	on(box, "input", debounce(250, search));
	on(box, "keydown", (event) => event.key === "ArrowDown" && (event.preventDefault(), focusRow(0)));
	on(byId("search-form"), "submit", (event) => (event.preventDefault(), search()));
	return { list, end, count, orders };
}

/** The address of the list as it was left, or with another search or order. */
export function libraryLink({ search = state.search, order = state.order } = {}) {
	const query = new URLSearchParams();
	if (search) query.set("q", search);
	if (order !== "newest") query.set("sort", order);
	return `#/${query.size ? `?${query}` : ""}`;
}

/** Search and order change the address without leaving a trail in the history. */
function navigate(change) {
	const link = libraryLink(change);
	if (byId("library").hidden) location.hash = link;
	else {
		history.replaceState(history.state, "", link);
		showLibrary({ search: state.search, order: state.order, ...change });
	}
}

function reload() {
	started = true;
	version += 1;
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
	if (fresh && state.search) announce(countText());
	if (state.phase === "more" && nodes.end.getBoundingClientRect().top < innerHeight + 900 && !byId("library").hidden) loadMore();
	tell("list");
}

/** Takes in what has come and gone at the front, without disturbing what is shown. */
export async function refreshLibrary() {
	if (!started) return;
	if (state.phase === "failed") return void loadMore(!state.files.length);
	if (state.phase === "loading") return;
	const mine = (version += 1);
	try {
		const { files, next } = await listFiles({ order: state.order, search: state.search });
		if (mine !== version || state.phase === "loading") return;
		const ids = new Set(files.map((file) => file.id));
		const reach = next ? state.files.findLastIndex((file) => ids.has(file.id)) : state.files.length;
		// Where the two have nothing in common, more than this page may be new.
		if (reach < 0 || !next) Object.assign(state, { phase: next ? "more" : "end", cursor: next ?? "" });
		const all = reach < 0 ? files : [...files, ...state.files.slice(reach + 1)];
		if (all.length === state.files.length && all.every((file, at) => file.id === state.files[at].id)) return;
		state.files = all;
		render();
		tell("list");
	} catch {
		// The list stays as it is; whoever is offline is told so elsewhere.
	}
}

export function forgetFile(id) {
	const at = indexOf(id);
	if (at < 0) return;
	const hadFocus = nodes?.list.contains(document.activeElement) || document.activeElement === document.body;
	version += 1;
	state.files.splice(at, 1);
	render();
	if (hadFocus && !byId("library").hidden) focusRow(Math.min(at, state.files.length - 1));
}

const countText = () => t(state.phase === "more" ? "list.more" : "list.count", { n: state.files.length });

/** Rows keep their nodes, so that a render changes only what has changed. */
const rows = new Map();

function render() {
	for (const button of nodes.orders) button.ariaPressed = button.dataset.order === state.order;
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
	list.hidden = !state.files.length;
	nodes.count.textContent = state.files.length ? countText() : "";
	renderEnd();
}

function renderEnd() {
	const { end } = nodes;
	end.ariaBusy = state.phase === "loading";
	end.replaceChildren(...endNodes());
}

/** What stands below the last row, or instead of any. */
function endNodes() {
	const { phase, files, search, problem } = state;
	if (phase === "loading") {
		return [el("div.skeleton", { "aria-hidden": "true" }, ...Array.from({ length: files.length ? 2 : 8 }, () => el("i")))];
	}
	if (phase === "failed") {
		const again = el("button.button", { t: "tryAgain", onclick: () => loadMore(!files.length) });
		return [message("warn", problem.sentence ?? String(problem), {}, again)];
	}
	if (files.length) return [];
	if (search) {
		const clear = () => {
			byId("search").value = "";
			navigate({ search: "" });
			byId("search").focus();
		};
		return [message("search", t("search.none", { search }), { testid: "nothing-found" }, el("button.button", { t: "search.clear", onclick: clear }))];
	}
	const choose = el("button.button.primary", { t: "empty.choose", onclick: () => byId("file-input").click() });
	const [picture, ...what] = isReadOnly() ? ["library", el("p", { t: "empty.readOnly" })] : ["upload", el("p", { t: "empty.text" }), choose];
	return [message(picture, t("empty.title"), { class: "empty", testid: "empty" }, ...what)];
}

const message = (picture, title, attributes, ...what) =>
	el("div.message", attributes, el("div.message-icon", icon(picture)), el("h2", title), ...what);

export function focusRow(at) {
	nodes?.list.children[at]?.querySelector("a").focus();
}

export function focusFile(id) {
	const at = indexOf(id);
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
	} else if (event.key === "Delete") row.askToDelete();
}

hear("language", () => {
	if (!nodes) return;
	for (const row of rows.values()) row.remove();
	rows.clear();
	render();
});

hear("position", ({ detail }) => {
	rows.get(`${detail}\n${state.search}`)?.update();
});

