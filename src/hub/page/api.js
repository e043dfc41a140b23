// The hub's interface.

/** An answer that says no, or none at all (`status` 0). */
export class Failure extends Error {
	constructor(status, detail) {
		super(detail || `HTTP ${status}`);
		this.status = status;
	}
}

export async function ask(path, { method = "GET", body, signal } = {}) {
	let response;
	try {
		response = await fetch(path, {
			method,
			signal,
			cache: "no-store",
			credentials: "same-origin",
			headers: body === undefined ? {} : { "Content-Type": "application/json" },
			body: body === undefined ? undefined : JSON.stringify(body),
		});
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new Failure(0, error.message);
	}
	const text = await response.text();
	let answer;
	try {
		answer = text ? JSON.parse(text) : {};
	} catch {
		throw new Failure(response.status, text.slice(0, 200));
	}
	if (!response.ok) throw new Failure(response.status, answer.detail);
	return answer;
}

export const meetingPath = (id) => `/api/v1/meetings/${encodeURIComponent(id)}`;
export const filePath = (meeting, path) => `${meetingPath(meeting)}/files/${path.split("/").map(encodeURIComponent).join("/")}`;

/** Puts a file into a meeting; `progress` hears how much of it is gone, 0 to 1. (fetch cannot tell.) */
export function putFile(meeting, path, file, progress) {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		request.open("PUT", filePath(meeting, path));
		if (file.type) request.setRequestHeader("Content-Type", file.type);
		request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 1);
		request.onerror = () => reject(new Failure(0));
		request.onload = () => {
			if (request.status < 300) return resolve();
			let detail;
			try {
				({ detail } = JSON.parse(request.responseText));
			} catch {
				// It was no answer of the hub's.
			}
			reject(new Failure(request.status, detail));
		};
		request.send(file);
	});
}
