// English.

export const en = {
	skip: "Skip to content", nav: "Views", library: "Library", cluster: "Cluster", search: "Search by name", upload: "Upload",
	otherLanguage: "中文", "language.switch": "切换到中文", "theme.": "Theme: as the system", "theme.light": "Theme: light",
	"theme.dark": "Theme: dark", away: "The gateway cannot be reached. Trying again…", offline: "You are offline. Trying again…",
	"footer.remembering": "Remembering you · forget", "footer.remember": "Remember me here",
	remember: "Remembering", back: "The gateway is back", "writing.off": "Read-only", "writing.offLong": "Uploading is switched off at this gateway.",

	sort: "Order", "sort.newest": "Newest", "sort.name": "Name",
	"list.count": "{n|file|files}", "list.more": "{n}+ files",
	"search.none": "No name contains “{search}”", "search.clear": "Clear the search",
	"empty.title": "Nothing here yet", "empty.text": "Drop films, music or pictures anywhere on this page, or choose them.",
	"empty.choose": "Choose files", "empty.readOnly": "This gateway is read-only; files arrive by other ways.",
	more: "More", leftAt: "left at {at}",
	drop: "Drop to upload", "drop.player": "Drop .srt or .vtt for subtitles, anything else to upload",

	"copy.url": "Copy file link", "copy.time": "Copy link at this time", "copy.wget": "Copy wget line", "copy.failed": "The browser did not allow copying",
	copied: "Copied to the clipboard",
	vlc: "Open in VLC", "vlc.saved": "Playlist saved: open it with VLC", download: "Download",

	delete: "Delete", cancel: "Cancel", deleted: "Deleted", "delete.title": "Delete this file?",
	"delete.text": "It is gone for everybody, and cannot be brought back.",

	uploads: "Uploads", "upload.head": "Uploads · {done} of {all} done",
	"upload.clear": "Clear", "upload.cancel": "Cancel upload",
	"upload.waiting": "Waiting", "upload.paused": "Paused", "upload.retrying": "Trying again…", "upload.choose": "Choose the file again",
	"upload.twin": "was in the library already",
	"upload.other": "This is not the {name} that was begun ({size})", "upload.done": "{name} is uploaded",
	"upload.added": "{n|file|files} added to the uploads", "upload.tooMany": "Only the first {n} files were taken",
	left: "{span} left", fold: "Fold or unfold", pause: "Pause", resume: "Go on", tryAgain: "Try again", close: "Close",
	"span.d": "{n} d", "span.h": "{n} h", "span.min": "{n} min", "span.s": "{n} s",

	play: "Play", previous: "Previous", next: "Next", mute: "Mute", unmute: "Sound on", volume: "Volume", speed: "Speed", subtitles: "Subtitles",
	"subtitles.off": "Off", "subtitles.added": "Subtitles for now: {name}", "subtitles.keep": "Upload beside the film",
	"subtitles.bad": "{name} holds no subtitles that can be read",
	addSubtitles: "Add subtitles", pip: "Picture in picture", full: "Full screen", window: "Leave full screen", controls: "Player controls",
	seek: "Position", "seek.at": "{at} of {of}", around: "In the library", noMore: "There is no other file in this direction",
	resumed: "Goes on at {at}", pastEnd: "It ends at {at}, before the time of this link.", fromStart: "From the start", toLibrary: "To the library",

	undecodable: "This browser cannot play this file. VLC can: open it there, or copy its link.",
	"undecodable.image": "This browser cannot show this picture.",
	noPicture: "This browser cannot decode the picture, only the sound. VLC plays both.",
	noPreview: "There is no preview of this kind of file.",

	"cluster.seen": "As seen by {host}, version {version}", "cluster.none": "No storage has joined yet.",
	"cluster.active": "Storages active", "cluster.free": "Free space", "cluster.out": "Sent to readers", "cluster.in": "Received", of: "of {n}",
	connections: "Connections", downloads: "Downloads", deletes: "Deletes",
	"cluster.up": "up {span}", "cluster.beat": "last heard {span} ago", "cluster.noReport": "It reports no load.",
	"cluster.space": "{free} free of {total}", "cluster.group": "{active} of {n|storage|storages} active",
	"cluster.stale": "These figures are old.", "chart.of": "{what}: now {now}, at most {most} in the last minute",
	"status.ACTIVE": "Active", "status.ONLINE": "Joining", "status.OFFLINE": "Offline",

	"consent.question": "Shall the gateway remember where you stopped, your language and theme?", "consent.yes": "Remember", "consent.no": "No, thanks",

	keys: "Keyboard", "keys.play": "Play or pause", "keys.seek5": "5 seconds back, forth", "keys.seek10": "10 seconds back, forth",
	"keys.speed": "Slower, faster",
	"keys.percent": "Jump to 0 % … 90 %", "keys.neighbours": "Previous, next file",

	"error.0": "The gateway cannot be reached.",
	"error.403": "The gateway does not allow this.", "error.404": "This file is no longer here.",
	"error.409": "The gateway has another part of this file than expected.", "error.413": "The file is larger than the gateway takes.",
	"error.421": "Add this name to the gateway's hosts.",
	"error.423": "This file is being uploaded from elsewhere.", "error.500": "The gateway failed.",
	"error.503": "The cluster cannot answer now.", "error.507": "There is no space left for this file.",
	"error.other": "The gateway refused ({status}).", "error.unreadable": "The file was moved or changed on your disk: choose it again.",
};
