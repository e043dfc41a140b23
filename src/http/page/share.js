// Ways out of the page: addresses, playlists for VLC, and lines for a shell.

import { filePath, fileUrl, playLink } from "./api.js";
import { copyText, el, saveText, toast } from "./dom.js";
import { shownName } from "./format.js";
import { t } from "./i18n.js";

async function copy(text) {
	if (await copyText(text)) toast(t("copied"));
	else toast(t("copy.failed"), { bad: true });
}

export const copyUrl = (file) => copy(fileUrl(file));

export const copyWget = (file) => copy(wgetLine(file));

export function copyTimeLink(file, seconds) {
	const at = Math.max(0, Math.floor(seconds));
	return copy(`${location.origin}${location.pathname}${playLink(file)}${at ? `?t=${at}` : ""}`);
}

export function plainName(file) {
	const name = (file.name || file.id).split(/[/\\]/).at(-1).replace(/[\u0000-\u001f\u007f<>:"|?*]/g, "_");
	return name.replace(/^[.\-]+/, "_").slice(-120) || "file";
}

function wgetLine(file) {
	const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
	return `wget -c -O ${quote(plainName(file))} ${quote(fileUrl(file))}`;
}

/** A playlist of one entry: VLC opens it with a double click, and begins where the page was. */
export function playlist(file, seconds = 0) {
	const title = shownName(file).replace(/[\r\n\u2028\u2029]/g, " ");
	const start = seconds >= 1 ? `#EXTVLCOPT:start-time=${Math.floor(seconds)}\n` : "";
	return `#EXTM3U\n#EXTINF:-1,${title}\n${start}${fileUrl(file)}\n`;
}

export function openInVlc(file, seconds) {
	saveText(`${plainName(file)}.m3u`, "audio/x-mpegurl", playlist(file, seconds));
	toast(t("vlc.saved"));
}

export const downloadPath = (file) => `${filePath(file.id)}?download`;

export function download(file) {
	el("a", { href: downloadPath(file), download: plainName(file) }).click();
}
