// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Renders openapi.json. Everything is set as text.

const methods = ["get", "put", "post", "delete"];

function element(name, content = [], attributes = {}) {
  const result = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) result.setAttribute(key, value);
  result.append(...[content].flat());
  return result;
}

function last(reference) {
  return reference.slice(reference.lastIndexOf("/") + 1);
}

/** The value that a reference within the document leads to. */
function resolve(document_, value) {
  if (!value.$ref) return value;
  return value.$ref.slice(2).split("/").reduce((at, key) => at[key], document_);
}

/** A type in words: nodes, with links to the types that have a name. */
function words(schema) {
  if (!schema) return ["anything"];
  if (schema.$ref) {
    const name = last(schema.$ref);
    return [element("a", name, { href: `#type-${name}` })];
  }
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(", ")];
  if (schema.oneOf) return schema.oneOf.flatMap((each, i) => (i > 0 ? [" or ", ...words(each)] : words(each)));
  if (schema.type === "array") return ["list of ", ...words(schema.items)];
  if (schema.type === "object" && schema.properties)
    return ["{", ...Object.entries(schema.properties).flatMap(([key, value], i) => [i > 0 ? `, ${key}: ` : `${key}: `, ...words(value)]), "}"];
  return [[schema.type].flat().join(" or ")];
}

function table(head, rows) {
  return element("table", [
    element("thead", element("tr", head.map((each) => element("th", each, { scope: "col" })))),
    element("tbody", rows.map((row) => element("tr", row.map((cell) => element("td", cell))))),
  ]);
}

function contents(content) {
  return Object.entries(content ?? {}).flatMap(([type, { schema }]) => [element("code", type), " ", ...(schema ? words(schema) : [])]);
}

function operation(api, path, method, item) {
  const described = item[method];
  const id = `${method}-${described.operationId}`;
  const parts = [
    element("h3", [element("span", element("code", method.toUpperCase()), { class: "method" }), element("code", path)], { id }),
    element("p", [described.summary, described.description ? `. ${described.description}` : ""]),
  ];
  const parameters = [...(item.parameters ?? []), ...(described.parameters ?? [])].map((each) => resolve(api, each));
  if (parameters.length > 0)
    parts.push(table(["Parameter", "In", "Value", ""], parameters.map((each) => [element("code", each.name), each.in, words(each.schema), each.description ?? ""])));
  if (described.requestBody) parts.push(element("p", ["Body: ", ...contents(described.requestBody.content)]));
  parts.push(table(["Status", "Answer", ""], Object.entries(described.responses).map(([status, each]) => {
    const answer = resolve(api, each);
    return [status, contents(answer.content), answer.description];
  })));
  return element("section", parts, { "aria-labelledby": id });
}

function schemaSection(name, schema) {
  const id = `type-${name}`;
  const parts = [element("h3", element("code", name), { id })];
  if (schema.description) parts.push(element("p", schema.description));
  if (schema.properties)
    parts.push(table(["Member", "Value", ""], Object.entries(schema.properties).map(([key, value]) =>
      [element("code", key), words(value), value.description ?? ""])));
  else
    parts.push(element("p", words(schema)));
  return element("section", parts, { "aria-labelledby": id });
}

async function show() {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const api = await answer.json();
  const resources = document.getElementById("resources");
  for (const [path, item] of Object.entries(api.paths))
    for (const method of methods) if (item[method]) resources.append(operation(api, path, method, item));
  resources.removeAttribute("aria-busy");
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(api.components.schemas)) schemas.append(schemaSection(name, schema));
}

show().catch((error) => {
  const problem = document.getElementById("problem");
  problem.textContent = `The document could not be shown: ${error.message}`;
  problem.hidden = false;
});
