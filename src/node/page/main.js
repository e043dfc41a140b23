// The page: what the node tells of itself, every two seconds.

import { ask } from "./api.js";
import * as form from "./form.js";
import { el, percent, size, time } from "./format.js";
import { language, setLanguage, t } from "./texts.js";

const PAUSE = 2000;
const byId = (id) => document.getElementById(id);
let status;

function say(sentence) {
	const toast = el("div", { class: "toast" }, sentence);
	byId("toasts").append(toast);
	setTimeout(() => toast.remove(), 6000);
}

function alertOf(sentence) {
	byId("alert").hidden = !sentence;
	byId("alert").textContent = sentence ?? "";
}

/** One thing that is known; `wide`: it is a long text. */
function fact(key, value, { bad = false, wide = false } = {}) {
	return el("div", { class: wide ? "wide" : undefined }, el("dt", {}, t(key)), el("dd", { class: bad ? "bad" : undefined }, value));
}

/** The state of the synchronization, which the node tells in Chinese, as older ones did: a word, and why. */
function syncState(sentence) {
	const [word, ...why] = sentence.split(": ");
	return [t(`sync.${word}`), ...why].join(": ");
}

function showStatus() {
	byId("node-id").textContent = status.node_id;
	byId("state").textContent = t(status.status);
	byId("state").classList.toggle("off", !status.service_running);
	byId("switch").textContent = t(status.service_running ? "stop" : "start");
	alertOf(status.api_key_refused ? t("refused") : status.connection_error);
	const { storage } = status;
	byId("facts").replaceChildren(
		fact("mainServer", `${status.main_server} · ${t(status.connected ? "connected" : "disconnected")}`, { bad: !status.connected, wide: true }),
		fact("address", status.address ?? status.listens, { wide: true }),
		fact("lastHeartbeat", time(status.last_heartbeat)),
		fact("lastSync", time(status.last_sync_time)),
		fact("syncStatus", syncState(status.last_sync_status), { bad: /失败|出错/.test(status.last_sync_status) }),
		fact("storage", `${size(storage.used)} / ${size(storage.max_size)} · ${storage.path}`, { wide: true }),
		fact("disk", `${size(storage.disk.free)} / ${size(storage.disk.total)}`),
		fact("downloads", String(status.downloads)),
		fact("sent", size(status.bytes_sent)),
		fact("load", `${percent(status.cpu_percent / 100)} / ${percent(status.memory_percent / 100)}`),
		fact("health", percent(status.health)),
		fact("uptime", time(Date.now() / 1000 - status.uptime)),
		fact("software", status.software),
	);
}

function packageRow({ id, title, state, bad, files, bytes, used, progress }) {
	const bar = progress === undefined ? undefined : el("progress", { max: 1, value: progress, "aria-label": t("pulling") });
	return el(
		"tr",
		{},
		el("td", {}, title || id, el("small", {}, id)),
		el("td", { class: bad ? "bad" : undefined }, state, bar),
		el("td", { class: "number" }, files),
		el("td", { class: "number" }, bytes),
		el("td", {}, used),
	);
}

function showPackages() {
	const held = status.meetings.map((meeting) => {
		const states = [t(meeting.active ? "active" : "idle"), meeting.reading && t("reading")].filter(Boolean);
		return { ...meeting, state: states.join(" · "), bytes: size(meeting.size), used: time(meeting.last_used) };
	});
	const coming = status.pulls.map((pull) => {
		const progress = pull.size ? pull.bytes_verified / pull.size : 0;
		return { ...pull, progress, state: `${t("pulling")} ${percent(progress)}`, files: "", bytes: size(pull.size), used: "" };
	});
	const failed = status.problems.map(({ id, error }) => ({ id, bad: true, state: `${t("failed")}: ${error}`, files: "", bytes: "", used: "" }));
	const rows = [...coming, ...failed, ...held].map(packageRow);
	byId("packages").replaceChildren(...rows);
	byId("no-packages").hidden = rows.length > 0;
}

async function showLog() {
	const { file, lines } = await ask("/api/logs?lines=200");
	byId("log-file").textContent = file ?? t("noLog");
	const log = byId("log");
	log.hidden = !lines.length;
	const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
	log.replaceChildren(...lines.map((line) => el("div", { class: / - (WARNING|ERROR) - /.exec(line)?.[1] }, line)));
	if (atEnd) log.scrollTop = log.scrollHeight;
}

async function refresh() {
	try {
		status = await ask("/api/status");
		showStatus();
		showPackages();
		await showLog();
	} catch (error) {
		alertOf(error.answered ? error.message : t("away"));
	}
}

async function toggle() {
	try {
		await ask(status?.service_running ? "/api/service/stop" : "/api/service/start", {});
	} catch (error) {
		say(error.message);
	}
	await refresh();
}

function choose(chosen) {
	setLanguage(chosen);
	form.build();
	if (status) {
		showStatus();
		showPackages();
	}
}

byId("language").value = language;
byId("language").addEventListener("change", (event) => choose(event.target.value));
byId("switch").addEventListener("click", toggle);
byId("config").addEventListener("submit", (event) => {
	event.preventDefault();
	form.save(say);
});

setLanguage(language);
await refresh();
await form.load(status?.overridden).catch((error) => say(error.message));
for (;;) {
	await new Promise((resume) => setTimeout(resume, PAUSE));
	if (!document.hidden) await refresh();
}
