// Reads /openapi.json and shows it; requests are sent from here to the same server.
"use strict";

function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {})) k in e ? (e[k] = v) : e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

let api;
const resolve = (s) => (s && s.$ref ? api.components.schemas[s.$ref.split("/").pop()] : s);
const refName = (s) => (s && s.$ref ? s.$ref.split("/").pop() : null);

// An optional member is anyOf(schema, null); a described reference is allOf(reference).
function unwrap(s) {
  let nullable = false;
  for (;;) {
    if (s.allOf && s.allOf.length === 1) s = s.allOf[0];
    else if (s.anyOf && s.anyOf.length === 2 && s.anyOf[1].type === "null") (nullable = true), (s = s.anyOf[0]);
    else return { s: resolve(s), name: refName(s), nullable };
  }
}

function typeText(s, name) {
  if (name) return name;
  if (s.const !== undefined) return JSON.stringify(s.const);
  if (s.enum) return s.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (s.anyOf) return s.anyOf.map((a) => typeText(unwrap(a).s, refName(a))).join(" or ");
  const of = s.items ? unwrap(s.items) : null;
  let text = [].concat(s.type || "any").map((t) => (t === "array" && of ? `array of ${typeText(of.s, of.name)}` : t)).join(" or ");
  if (s.minimum !== undefined || s.maximum !== undefined) text += ` ${s.minimum ?? ""}…${s.maximum ?? ""}`;
  return text;
}

// What lies inside a schema, as lists that open on demand; references may come back to themselves.
function inside(s, depth) {
  if (depth > 8) return [];
  const out = [];
  for (const a of s.anyOf || []) out.push(...inside(unwrap(a).s, depth + 1));
  if (s.items) out.push(...inside(unwrap(s.items).s, depth + 1));
  for (const v of s.oneOf || []) {
    const t = unwrap(v.properties.type).s;
    const label = `type ${JSON.stringify(t.const ?? (t.anyOf || [{}])[0].const)}`;
    out.push(lazy(label, () => members(v, depth + 1)));
  }
  if (s.properties && !s.oneOf) out.push(members(s, depth));
  return out;
}

function lazy(label, make) {
  const d = el("details", {}, el("summary", {}, el("code", { textContent: label })));
  d.addEventListener("toggle", () => d.open && d.children.length === 1 && d.append(make()), { once: false });
  return d;
}

function members(s, depth) {
  const list = el("ul", { className: "schema" });
  for (const [key, raw] of Object.entries(s.properties || {})) {
    const { s: type, name } = unwrap(raw);
    const required = (s.required || []).includes(key);
    const line = [el("code", { className: required ? "required" : "", textContent: key }), " ",
      el("span", { className: "type", textContent: typeText(type, name) }),
      raw.description ? el("span", { className: "doc", textContent: ` — ${raw.description}` }) : null];
    const has = type.properties || type.oneOf || type.items || type.anyOf;
    const more = has ? inside(type, depth + 1) : [];
    list.append(el("li", {}, ...(more.length ? [el("details", {}, el("summary", {}, ...line), ...more)] : line)));
  }
  return list;
}

const examples = {
  "/v1/messages": { model: "local", max_tokens: 100, stream: true, messages: [{ role: "user", content: "Name three colors." }] },
  "/v1/messages/count_tokens": { model: "local", messages: [{ role: "user", content: "Name three colors." }] },
  "/v1/messages/batches": { requests: [{ custom_id: "one", params: { model: "local", max_tokens: 50, messages: [{ role: "user", content: "Hi" }] } }] },
  "/v1/chat/completions": { model: "local", max_tokens: 100, stream: true, messages: [{ role: "user", content: "Name three colors." }] },
  "/v1/completions": { model: "local", max_tokens: 20, prompt: "The capital of France is" },
  "/v1/embeddings": { model: "local", input: "text" },
  "/tokenize": { content: "Hello world" },
  "/detokenize": { tokens: [1, 2, 3] },
};

async function send(method, path, inputs, body, out, stop) {
  const query = new URLSearchParams();
  for (const i of inputs) {
    if (i.dataset.in === "path") path = path.replace(`{${i.name}}`, encodeURIComponent(i.value));
    else if (i.value) query.set(i.name, i.value);
  }
  const headers = {}, key = document.getElementById("key").value;
  if (key) headers["x-api-key"] = key;
  if (body !== null) headers["content-type"] = "application/json";
  out.textContent = "…";
  try {
    const r = await fetch(path + (query.size ? `?${query}` : ""), { method, headers, body, signal: stop });
    out.textContent = `${r.status} ${r.headers.get("content-type") || ""}\nrequest-id: ${r.headers.get("request-id")}\n\n`;
    const reader = r.body.getReader(), decoder = new TextDecoder();
    for (let part; !(part = await reader.read()).done; ) out.append(decoder.decode(part.value, { stream: true }));
  } catch (e) {
    out.append(`\n${e.name === "AbortError" ? "stopped" : e}`);
  }
}

function tryIt(method, path, op) {
  const inputs = (op.parameters || []).map((p) =>
    el("input", { name: p.name, placeholder: p.name, ariaLabel: p.name, "data-in": p.in }));
  const text = op.requestBody ? el("textarea", { ariaLabel: "body", spellcheck: false, value: JSON.stringify(examples[path] || {}, null, 2) }) : null;
  const out = el("pre", { hidden: true, ariaLive: "polite" });
  const go = el("button", { textContent: "Send" }), halt = el("button", { textContent: "Stop", hidden: true });
  go.addEventListener("click", async () => {
    const stop = new AbortController();
    halt.onclick = () => stop.abort();
    out.hidden = halt.hidden = false;
    await send(method.toUpperCase(), path, inputs, text ? text.value : null, out, stop.signal);
    halt.hidden = true;
  });
  return [el("h3", { textContent: "Try it" }), ...inputs, text, el("div", {}, go, halt), out];
}

function operation(method, path, op) {
  const card = el("details", { className: "operation" },
    el("summary", {}, el("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      el("span", { className: "path", textContent: path }), el("span", { className: "doc", textContent: op.summary })));
  card.addEventListener("toggle", () => {
    if (!card.open || card.children.length > 1) return;
    const box = el("div");
    if (op.parameters) {
      const rows = op.parameters.map((p) => el("tr", {}, el("td", {}, el("code", { textContent: p.name, className: p.required ? "required" : "" })),
        el("td", { className: "doc", textContent: `${p.in}, ${typeText(p.schema)} — ${p.description}` })));
      box.append(el("h3", { textContent: "Parameters" }), el("table", {}, ...rows));
    }
    if (op.requestBody) {
      const { s } = unwrap(op.requestBody.content["application/json"].schema);
      box.append(el("h3", { textContent: "Request body" }), ...inside(s, 0));
    }
    box.append(el("h3", { textContent: "Answers" }));
    for (const [status, r] of Object.entries(op.responses)) {
      const [type, content] = Object.entries(r.content || {})[0] || ["", null];
      const kinds = Object.keys(r.content || {}).join(", ");
      const shape = content && type.startsWith("application/json") ? unwrap(content.schema) : null;
      const line = [el("code", { textContent: status }), " ", el("span", { className: "doc", textContent: `${r.description} ${kinds}` })];
      box.append(shape && shape.s.properties ? el("details", {}, el("summary", {}, ...line), ...inside(shape.s, 0)) : el("div", {}, ...line));
    }
    box.append(...tryIt(method, path, op).filter(Boolean));
    card.append(box);
  });
  return card;
}

async function main() {
  const root = document.getElementById("paths");
  try {
    api = await (await fetch("/openapi.json", { headers: document.getElementById("key").value ? { "x-api-key": document.getElementById("key").value } : {} })).json();
    if (!api.paths) throw new Error(api.error ? api.error.message : "no document");
  } catch (e) {
    root.textContent = `The document can't be read: ${e.message}`;
    return;
  }
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("about").textContent = api.info.summary;
  const sections = new Map();
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, op] of Object.entries(methods)) {
      const tag = op.tags[0];
      if (!sections.has(tag)) sections.set(tag, el("section", { id: tag.replace(/\W+/g, "-") }, el("h2", { textContent: tag })));
      sections.get(tag).append(operation(method, path, op));
    }
  root.replaceChildren(...sections.values());
  document.getElementById("tags").replaceChildren(...[...sections.keys()].map((t) => el("a", { href: `#${t.replace(/\W+/g, "-")}`, textContent: t })),
    el("a", { href: "/openapi.json", textContent: "openapi.json" }));
}

document.getElementById("key").addEventListener("change", main);
main();
