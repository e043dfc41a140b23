// What the parts of the page listen to and tell each other, and pauses that such news cuts short.

/** Listens to several events, until `signal` aborts if there is one. */
export const on = (target, names, run, signal) => names.split(" ").forEach((name) => target.addEventListener(name, run, { signal }));

/** Known are `back`, `deleted`, `language`, `list`, `position`, `remember` and `uploaded`. */
export const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`tnv:${name}`, { detail }));

export const hear = (name, run, signal) => on(document, `tnv:${name}`, run, signal);

/** Resolves after some milliseconds, when the gateway or the network is back, or when `signal` aborts. */
export function pause(milliseconds, signal) {
	return new Promise((resolve) => {
		const over = new AbortController();
		const end = () => (clearTimeout(timer), over.abort(), resolve());
		const timer = setTimeout(end, milliseconds);
		on(window, "online", end, over.signal);
		hear("back", end, over.signal);
		if (signal) on(signal, "abort", end, over.signal);
	});
}
