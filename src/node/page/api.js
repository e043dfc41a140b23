// What the page asks of the node.

/** An answer in JSON. Where the node says no, an Error with its sentence and, of a configuration, each mistake. */
export async function ask(path, body) {
	const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
	const response = await fetch(path, { ...options, cache: "no-store" });
	const answer = await response.json().catch(() => ({}));
	if (response.ok) return answer;
	throw Object.assign(new Error(answer.detail ?? `${response.status} ${response.statusText}`), { mistakes: answer.errors ?? [], answered: true });
}
