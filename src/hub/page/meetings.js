// All meetings, and a new one.

import { ask } from "./api.js";
import { el, show } from "./dom.js";
import { plain } from "./format.js";
import { t } from "./i18n.js";

export function meetings(place, _, signal) {
	let limit = 50;
	const list = el("div.list");
	const add = el("button.button.primary", { onclick: () => editor({ submit: create, button: t("create"), withId: true }) }, t("newMeeting"));
	show(place, el("div.row", el("h1", t("meetings")), add), list);
	async function draw() {
		const { meetings: found, next } = await ask(`/api/v1/meetings?limit=${limit}`, { signal });
		if (!found.length) return show(list, el("p.empty", t("noMeetings")));
		const more = el("button.button", { "data-key": "more", onclick: () => ((limit = Math.min(1000, limit * 2)), draw()) }, t("more"));
		show(list, found.map(row), next && limit < 1000 && more);
	}
	return draw;
}

const row = ({ id, title, time, status }) =>
	el("a.item", { href: `#/meeting/${encodeURIComponent(id)}`, "data-key": id },
		el("span.grow", el("strong", plain(title)), el("small", [plain(id), time && plain(time)].filter(Boolean).join(" · "))),
		el(`span.badge.${status}`, t(status)));

async function create(subject) {
	const { id } = await ask("/api/v1/meetings", { method: "POST", body: subject });
	location.hash = `#/meeting/${encodeURIComponent(id)}`;
}

/** A dialog for what people say of a meeting; it stays open until `submit` has succeeded. */
export function editor({ meeting = {}, submit, button, withId = false }) {
	const field = (name, input) => el("label", t(name), input);
	const before = (meeting.agenda_items ?? []).map((item) => item.title);
	const id = el("input", { maxlength: 64, pattern: "[A-Za-z0-9_\\-][A-Za-z0-9._\\-]*", placeholder: t("idHint") });
	const title = el("input", { required: true, maxlength: 1000, value: meeting.title ?? "" });
	const time = el("input", { maxlength: 255, value: meeting.time ?? "" });
	const intro = el("textarea", { rows: 3 }, meeting.intro ?? "");
	const agenda = el("textarea", { rows: 5 }, before.join("\n"));
	const send = async (event) => {
		event.preventDefault();
		const titles = agenda.value.split("\n").map((line) => line.trim()).filter(Boolean);
		const subject = { title: title.value, time: time.value || null, intro: intro.value || null };
		// Items say more than their titles: they are only written anew if those have changed.
		if (titles.join("\n") !== before.join("\n")) subject.agenda_items = titles.map((line, at) => ({ title: line, position: at + 1 }));
		if (withId && id.value) subject.id = id.value;
		try {
			await submit(subject);
			dialog.close();
		} catch (error) {
			// Here, for a toast would lie under the dialog.
			trouble.textContent = error.message;
		}
	};
	const trouble = el("p.trouble", { role: "alert" });
	const dialog = el("dialog", { onclose: () => dialog.remove() },
		el("form", { onsubmit: send },
			withId && field("id", id), field("title", title), field("time", time), field("intro", intro), field("agenda", agenda), trouble,
			el("div.row.end",
				el("button.button", { onclick: () => dialog.close() }, t("cancel")),
				el("button.button.primary", { onclick: () => title.form.requestSubmit() }, button))));
	document.body.append(dialog);
	dialog.showModal();
	title.focus();
}
