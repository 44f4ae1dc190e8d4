// Shows /openapi.json. What plugins say of themselves is text here, never markup.
"use strict";

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const DEEPEST = 6;
let documentation = {};

/** An element with attributes and children; children that are text stay text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** What a reference stands for. */
function resolve(value, depth = 0) {
  const place = value && value.$ref;
  if (typeof place !== "string" || !place.startsWith("#/") || depth > 20) return value || {};
  let found = documentation;
  for (const part of place.slice(2).split("/")) {
    let name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    try { name = decodeURIComponent(name); } catch { /* It is no escape, then. */ }
    found = found && found[name];
  }
  return resolve(found, depth + 1);
}

/** A schema in short, as something like a type. */
function type(schema, depth = 0) {
  if (schema === true || schema === undefined) return "any";
  const name = schema.$ref ? String(schema.$ref).split("/").pop() : "";
  if (name && depth > 0) return name;
  schema = resolve(schema);
  for (const word of ["oneOf", "anyOf", "allOf"]) {
    if (Array.isArray(schema[word])) return schema[word].map((one) => type(one, depth + 1)).join(word === "allOf" ? " & " : " | ");
  }
  if (Array.isArray(schema.enum)) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const sorts = [].concat(schema.type || (schema.properties ? "object" : "any"));
  return sorts.map((sort) => (sort === "array" ? type(schema.items, depth + 1) + "[]" : name || sort)).join(" | ");
}

/** A schema's properties, one a line. */
function outline(schema, depth = 0, seen = []) {
  const pad = "  ".repeat(depth);
  const name = schema && schema.$ref;
  if (depth > DEEPEST || (name && seen.includes(name))) return `${pad}…\n`;
  seen = name ? [...seen, name] : seen;
  schema = resolve(schema);
  let text = "";
  for (const word of ["allOf", "oneOf", "anyOf"]) {
    const parts = (schema[word] || []).filter((part) => type(part) !== "null");
    parts.forEach((part, index) => {
      if (word !== "allOf" && index > 0) text += `${pad}or\n`;
      text += outline(part, depth, seen);
    });
  }
  const required = schema.required || [];
  for (const [key, value] of Object.entries(schema.properties || {})) {
    const about = (resolve(value).description || value.description || "").split("\n")[0];
    text += `${pad}${key}${required.includes(key) ? "" : "?"}: ${type(value, 1)}${about ? `   ${about}` : ""}\n`;
    const inner = resolve(value);
    if (inner.properties || inner.allOf || inner.oneOf || inner.anyOf) text += outline(value, depth + 1, seen);
    else if (inner.items) text += outline(inner.items, depth + 1, seen);
  }
  if (schema.items) text += outline(schema.items, depth + 1, seen);
  return text;
}

function media(content) {
  return Object.entries(content || {}).map(([sort, { schema, example }]) => {
    const lines = schema ? outline(schema) : "";
    return make("div", {},
      make("code", {}, sort), " ", make("span", { class: "quiet" }, schema ? type(schema) : ""),
      lines ? make("pre", {}, lines) : null,
      example === undefined ? null : make("pre", {}, JSON.stringify(example, null, 2)));
  });
}

/** The form that sends a request. */
function trial(path, method, parameters, body) {
  const fields = parameters.map((parameter) => [parameter, make("input", { "aria-label": parameter.name, placeholder: type(parameter.schema) })]);
  const sort = Object.keys((body && body.content) || {})[0];
  const text = sort && sort.includes("json") ? make("textarea", { "aria-label": "body" }) : null;
  const answer = make("pre", { hidden: "" });
  const send = async () => {
    let address = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [parameter, field] of fields) {
      if (field.value === "" && parameter.in !== "path") continue;
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(field.value));
      else if (parameter.in === "query") query.append(parameter.name, field.value);
      else if (parameter.in === "header") headers[parameter.name] = field.value;
    }
    const token = document.getElementById("token").value;
    if (token) headers.authorization = `Bearer ${token}`;
    if (text && text.value) headers["content-type"] = sort;
    const words = query.toString();
    answer.hidden = false;
    answer.textContent = "…";
    try {
      const response = await fetch(address + (words ? `?${words}` : ""), {
        method: method.toUpperCase(), headers, credentials: "omit",
        body: text && text.value && !["get", "head"].includes(method) ? text.value : undefined,
      });
      const head = `${response.status} ${response.statusText}`;
      if ((response.headers.get("content-type") || "").startsWith("text/event-stream")) {
        answer.textContent = `${head}\n\na stream: follow it with curl -N`;
        await response.body.cancel();
        return;
      }
      const said = await response.text();
      let shown = said;
      try { shown = JSON.stringify(JSON.parse(said), null, 2); } catch { /* It is no JSON. */ }
      answer.textContent = `${head}\n\n${shown.slice(0, 200000)}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  };
  return make("div", {},
    parameters.length
      ? make("table", {}, ...fields.map(([parameter, field]) => make("tr", {},
          make("td", {}, make("code", {}, parameter.name), make("div", { class: "quiet" }, parameter.in + (parameter.required ? ", required" : ""))),
          make("td", {}, parameter.description || ""), make("td", {}, field))))
      : null,
    text, make("button", { type: "button", onclick: send }, "Send"), answer);
}

function operation(path, method, item, about) {
  const parameters = [...(item.parameters || []), ...(about.parameters || [])].map((one) => resolve(one));
  const body = about.requestBody ? resolve(about.requestBody) : null;
  const inside = make("div", {});
  const element = make("details", { class: about.deprecated ? "deprecated" : "" },
    make("summary", {}, make("span", { class: "method" }, method), make("span", { class: "path" }, path),
      make("span", { class: "quiet" }, about.summary || "")), inside);
  // What is never opened is never made.
  element.addEventListener("toggle", () => {
    if (inside.childElementCount) return;
    inside.append(
      make("p", {}, about.description || about.summary || ""),
      ...(body ? [make("h4", {}, "Body"), ...media(body.content)] : []),
      make("h4", {}, "Answers"),
      make("table", {}, ...Object.entries(about.responses || {}).map(([status, response]) => {
        response = resolve(response);
        return make("tr", {}, make("td", {}, make("code", {}, status)),
          make("td", {}, response.description || "", ...media(response.content)));
      })),
      make("h4", {}, "Try it"), trial(path, method, parameters, body));
  });
  element.dataset.words = [path, method, about.summary, about.operationId, ...(about.tags || [])].join(" ").toLowerCase();
  return element;
}

function show() {
  document.getElementById("version").textContent = documentation.info.version;
  document.getElementById("about").textContent = documentation.info.description || "";
  const groups = new Map();
  for (const [path, item] of Object.entries(documentation.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(path, method, item, item[method]));
    }
  }
  const said = new Map((documentation.tags || []).map((tag) => [tag.name, tag.description]));
  const main = document.getElementById("operations");
  main.replaceChildren(...[...groups].map(([tag, operations]) =>
    make("section", {}, make("h2", {}, tag), make("p", { class: "quiet" }, said.get(tag) || ""), ...operations)));
}

function filter() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    let any = false;
    for (const element of section.querySelectorAll("details")) {
      const fits = words.every((word) => element.dataset.words.includes(word));
      element.hidden = !fits;
      any ||= fits;
    }
    section.hidden = !any;
  }
}

document.getElementById("bar").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("filter").addEventListener("input", filter);
fetch("/openapi.json")
  .then((response) => response.json())
  .then((found) => { documentation = found; show(); })
  .catch((error) => { document.getElementById("operations").textContent = `It cannot be shown: ${error}`; });
