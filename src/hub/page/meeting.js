// One meeting: begun, ended, changed, and its files.

import { ask, filePath, meetingPath, putFile } from "./api.js";
import { confirmed, copyText, el, show, toast } from "./dom.js";
import { bytes, moment, plain, plainLines } from "./format.js";
import { t } from "./i18n.js";
import { editor } from "./meetings.js";

export function meeting(place, id, signal, redraw, leave) {
	const head = el("div");
	const uploads = el("div.uploads");
	const files = el("div.list");
	const chooser = el("input", { type: "file", multiple: true, hidden: true, onchange: () => (take([...chooser.files].map(named)), (chooser.value = "")) });
	const dropped = async (event) => {
		event.preventDefault();
		zone.classList.remove("over");
		const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
		take(entries.length ? (await Promise.all(entries.map((entry) => within(entry)))).flat() : [...event.dataTransfer.files].map(named));
	};
	const over = (is) => (event) => (event.preventDefault(), zone.classList.toggle("over", is));
	const zone = el("div.zone", { ondrop: dropped, ondragover: over(true), ondragleave: over(false) },
		t("drop"), " ", el("button.plain", { onclick: () => chooser.click() }, t("choose")), chooser);
	show(place, el("p", el("a", { href: "#/meetings" }, `← ${t("back")}`)), head, el("h2", t("files")), zone, uploads, files);

	/** One after the other: so many at once would only share the same way. */
	async function take(chosen) {
		for (const { path, file } of chosen) {
			const bar = el("progress", { max: 1, value: 0 });
			const label = el("span.grow");
			const line = el("div.item", label, bar);
			const progress = (part) => {
				bar.value = part;
				label.textContent = t("uploading", { path: plain(path), percent: Math.floor(part * 100) });
			};
			progress(0);
			uploads.append(line);
			try {
				await putFile(id, path, file, progress);
				toast(t("uploaded", { path: plain(path) }));
			} catch (error) {
				toast(`${plain(path)}: ${error.message}`, true);
			}
			line.remove();
			redraw();
		}
	}

	const run = (work) => async () => {
		try {
			await work();
			redraw();
		} catch (error) {
			toast(error.message, true);
		}
	};
	const post = (what) => run(() => ask(`${meetingPath(id)}/${what}`, { method: "POST" }));

	function headOf(found) {
		const change = (subject) => ask(meetingPath(id), { method: "PUT", body: subject }).then(() => (toast(t("saved")), redraw()));
		const remove = async () => {
			if (!(await confirmed(t("removeMeeting", { title: plain(found.title) }), t("remove")))) return;
			await leave(() => ask(meetingPath(id), { method: "DELETE" }), "#/meetings");
		};
		return [
			el("div.row", el("h1", plain(found.title)), el(`span.badge.${found.status}`, t(found.status))),
			el("p.muted", [plain(id), found.time && plain(found.time)].filter(Boolean).join(" · ")),
			found.intro && el("p.text", plainLines(found.intro)),
			found.agenda_items.length > 0 && el("ol.text", found.agenda_items.map((item) => el("li", plain(item.title)))),
			el("div.row",
				found.status !== "active" && el("button.button.primary", { "data-key": "start", onclick: post("start") }, t("start")),
				found.status === "active" && el("button.button", { "data-key": "end", onclick: post("end") }, t("end")),
				el("button.button", { "data-key": "edit", onclick: () => editor({ meeting: found, submit: change, button: t("save") }) }, t("edit")),
				el("button.button.danger", { "data-key": "remove", onclick: remove }, t("remove"))),
			packageOf(found),
		];
	}

	function packageOf({ package: pack, holders }) {
		const command = `client fetch ${location.origin}${meetingPath(id)}/package.meta4`;
		const line = el("code.command", { tabindex: 0, "data-testid": "fetch-command" }, command);
		const copy = async () => ((await copyText(command, line)) ? toast(t("copied")) : toast(t("copyByHand")));
		return el("div.card",
			el("div.row",
				el("p.grow", el("strong", t("package")), ` ${bytes(pack.size)} · ${t("holders", { n: holders })} · ${t("version")} `,
					el("code", { title: pack.version }, pack.version.slice(0, 12))),
				el("a.button.primary", { href: `${meetingPath(id)}/download-package`, download: "", "data-key": "download" }, t("download"))),
			el("p.muted", t("fetchHint")),
			el("div.row", line, el("button.button", { "data-key": "copy", onclick: copy }, t("copy"))));
	}

	function row(file) {
		const remove = run(async () => {
			if (await confirmed(t("removeFile", { path: plain(file.path) }), t("remove"))) await ask(filePath(id, file.id), { method: "DELETE" });
		});
		return el("div.item",
			el("span.grow", el("a", { href: filePath(id, file.id), "data-key": file.id }, plain(file.path)), el("small", `${file.content_type || "–"} · ${moment(file.created_ms)}`)),
			el("span.number", bytes(file.size)),
			el("button.plain", { "data-key": `remove ${file.id}`, onclick: remove }, t("remove")));
	}

	let shown;
	return async () => {
		const found = await ask(meetingPath(id), { signal });
		const now = JSON.stringify(found);
		if (now === shown) return;
		shown = now;
		show(head, headOf(found));
		show(files, found.files.length ? found.files.map(row) : el("p.empty", t("noFiles")));
	};
}

const named = (file) => ({ path: file.webkitRelativePath || file.name, file });

/** The files of what was dropped, folders and all. */
async function within(entry, folder = "") {
	if (entry.isFile) {
		const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
		return [{ path: folder + file.name, file }];
	}
	const reader = entry.createReader();
	const found = [];
	for (;;) {
		// A reader gives a hundred at a time, and nothing at the end.
		const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
		if (!some.length) break;
		found.push(...some);
	}
	return (await Promise.all(found.map((inner) => within(inner, `${folder}${entry.name}/`)))).flat();
}
