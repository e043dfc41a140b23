// The interface's description, to be read by people.

import { el } from "./dom.js";

const main = document.getElementById("main");
const description = await (await fetch("/openapi.json")).json();

/** What a reference stands for. */
const follow = (value) => (value?.$ref ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], description) : value);

function shape(schema, depth = 0) {
	if (schema?.$ref && depth > 0) return schema.$ref.split("/").pop();
	const { type, properties, items, anyOf, enum: values } = follow(schema) ?? {};
	if (anyOf && !properties) return anyOf.map((one) => shape(one, depth + 1)).join(" | ");
	if (values) return values.map((value) => JSON.stringify(value)).join(" | ");
	if ([type].flat()[0] === "array") return `[${shape(items, depth + 1)}]`;
	if (!properties) return [type].flat().join(" | ");
	const required = new Set(follow(schema).required);
	const indent = "  ".repeat(depth + 1);
	const lines = Object.entries(properties).map(([name, of]) => {
		const said = follow(of).description;
		return `${indent}${JSON.stringify(name)}${required.has(name) ? "" : "?"}: ${shape(of, depth + 1)}${said ? `  // ${said}` : ""}`;
	});
	return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}

const code = (content) => Object.entries(content ?? {}).map(([type, { schema }]) =>
	[el("small", type), el("pre", { tabindex: 0 }, schema?.format === "binary" ? "…" : shape(schema))]);

function operation(path, method, { summary, description: said, parameters = [], requestBody, responses, security = [] }) {
	const keys = security.map((way) => Object.keys(way)[0]).join(" / ");
	return el("details.card",
		el("summary", el("code", method.toUpperCase()), " ", el("code", path), " ", el("span", summary), keys && el("small", ` ${keys}`)),
		said && el("p", said),
		parameters.map(follow).map(({ name, in: where, description: about, required }) =>
			el("p", el("code", name), ` (${where}${required ? "" : ", optional"}) ${about ?? ""}`)),
		requestBody && [el("h3", "body"), code(requestBody.content)],
		Object.entries(responses).map(([status, response]) => {
			const { description: about, content } = follow(response);
			return [el("h3", status), el("p", about), Number(status) < 400 ? code(content) : []];
		}).flat());
}

main.append(el("h1", description.info.title), el("p", description.info.description));
for (const { name, description: said } of description.tags) {
	main.append(el("h2", name), el("p.muted", said));
	for (const [path, methods] of Object.entries(description.paths)) {
		for (const [method, of] of Object.entries(methods)) if (of.tags.includes(name)) main.append(operation(path, method, of));
	}
}
main.append(el("h2", "shapes"));
for (const [name, schema] of Object.entries(description.components.schemas)) {
	main.append(el("details.card", el("summary", el("code", name)), el("pre", { tabindex: 0 }, shape(schema))));
}
