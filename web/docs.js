// Shows /openapi.json. Every text goes into the page as text, never as markup; parts are built when they are opened.
'use strict';

let api; // the document

function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props ?? {}))
    if (v != null) k in e ? (e[k] = v) : e.setAttribute(k, v);
  e.append(...children.filter((c) => c != null));
  return e;
}

// A details element whose content is made at its first opening.
function fold(props, summary, fill) {
  const d = el('details', props, summary);
  d.addEventListener('toggle', () => d.open && d.children.length === 1 && d.append(fill()));
  return d;
}

const resolve = (o) => (o?.$ref ? resolve(o.$ref.slice(2).split('/').reduce((at, k) => at[k], api)) : o);
const isNull = (s) => s.type === 'null';
const branches = (s) => (s.anyOf ?? s.oneOf ?? []).filter((b) => !isNull(b));
const types = (s) => [s.type ?? []].flat();

// --- schemas ------------------------------------------------------------------------------------------------------

function typeText(schema) {
  const s = resolve(schema), parts = [], label = schema.$ref?.split('/').pop();
  if ('const' in s) return JSON.stringify(s.const);
  if (s.enum) return s.enum.map((v) => JSON.stringify(v)).join(' | ');
  const all = [s.anyOf, s.oneOf].flat().filter(Boolean);
  if (label) parts.push(label);
  else if (all.length) parts.push(...all.map(typeText));
  else parts.push(...types(s).map((t) => (t === 'array' && s.items ? `array of ${typeText(s.items)}` : t)));
  return parts.join(' | ') || 'any';
}

function limits(schema) {
  const s = resolve(schema);
  return [
    s.minimum != null && `≥ ${s.minimum}`, s.maximum != null && `≤ ${s.maximum}`,
    s.minLength && `at least ${s.minLength} character${s.minLength > 1 ? 's' : ''}`, s.pattern,
    s.minItems && `at least ${s.minItems} item${s.minItems > 1 ? 's' : ''}`, s.maxItems && `at most ${s.maxItems} items`,
  ].filter(Boolean).join(', ');
}

// What lies below a schema in the tree: [name, schema, required, doc].
function below(schema) {
  const s = resolve(schema), rows = [];
  for (const [name, p] of Object.entries(s.properties ?? {}))
    rows.push([name, p, s.required?.includes(name), p.description]);
  for (const b of branches(s)) {
    const type = resolve(b).properties?.type, tag = type?.const ?? type?.enum?.[0];
    if (branches(s).length === 1) rows.push(...below(b));
    else if (tag || below(b).length) rows.push([tag ? `type ${JSON.stringify(tag)}` : typeText(b), b]);
  }
  if (s.items) rows.push(...below(s.items));
  if (s.contentSchema) rows.push(...below(s.contentSchema));
  return rows;
}

function row([name, schema, required, doc]) {
  const isVariant = required === undefined;
  const type = typeText(schema).replace(required ? '' : / \| null$/, ''); // what is optional may be null
  const line = [
    el('code', { className: 'name' }, name), ' ',
    isVariant ? null : el('code', { className: 'type' }, type),
    required ? el('span', { className: 'must' }, ' required') : null,
    limits(schema) && !isVariant ? el('span', { className: 'type' }, ` (${limits(schema)})`) : null,
    doc ? el('span', { className: 'doc' }, ` ${doc}`) : null,
  ];
  const rows = below(schema);
  return el('li', null, rows.length ? fold(null, el('summary', null, ...line.filter(Boolean)), () => tree(rows))
                                    : el('span', null, ...line.filter(Boolean)));
}

const tree = (rows) => el('ul', { className: 'tree' }, ...rows.map(([n, s, req, doc]) => row([n, s, req, doc])));

function showSchema(schema) {
  const rows = below(schema).map((r) => (r.length === 4 && r[2] === undefined ? [r[0], r[1], false, r[3]] : r));
  return rows.length ? tree(rows) : el('code', { className: 'type' }, typeText(schema));
}

// --- operations ---------------------------------------------------------------------------------------------------

function showAnswer(status, response) {
  const r = resolve(response);
  const title = el('summary', null, el('code', { className: 'name' }, status), ' ', el('span', { className: 'doc' }, r.description));
  return fold({ className: 'answer' }, title, () => {
    const box = el('div');
    for (const name of Object.keys(r.headers ?? {}))
      box.append(el('p', null, 'Header ', el('code', null, name), ' ', el('span', { className: 'doc' }, resolve(r.headers[name]).description)));
    for (const [type, c] of Object.entries(r.content ?? {}))
      box.append(el('p', null, el('code', { className: 'type' }, type)), showSchema(c.schema));
    return box;
  });
}

// Sends the form; `show` is called with the answer's text so far.
async function send(method, url, key, body, signal, show) {
  const headers = { accept: '*/*' };
  if (key) headers['x-api-key'] = key;
  if (body != null) headers['content-type'] = 'application/json';
  const r = await fetch(url, { method: method.toUpperCase(), headers, body, signal });
  const head = `HTTP ${r.status} ${r.statusText}\n${[...r.headers].map(([k, v]) => `${k}: ${v}`).join('\n')}\n\n`;
  const isJson = r.headers.get('content-type') === 'application/json';
  const reader = r.body?.getReader(), decoder = new TextDecoder();
  let text = '';
  for (show(head); reader;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    show(head + text);
    if (done) break;
  }
  if (isJson && text) show(head + JSON.stringify(JSON.parse(text), null, 2));
}

function tryIt(method, path, op) {
  const fields = (op.parameters ?? []).map((p) => ({ p, input: el('input', { type: 'text', required: p.required, placeholder: p.description }) }));
  const media = op.requestBody?.content['application/json'];
  const body = media && el('textarea', { spellcheck: false, value: media.example ? JSON.stringify(media.example, null, 2) : '{}' });
  const go = el('button', { type: 'submit' }, 'Send'), stop = el('button', { type: 'button', disabled: true }, 'Stop');
  const out = el('pre', { tabIndex: 0, hidden: true, 'aria-label': 'Answer' }), state = el('span', { className: 'dim', role: 'status' });
  let abort;
  const form = el('form', null, ...fields.map(({ p, input }) => el('label', null, `${p.name} (${p.in})`, input)),
    body && el('label', null, 'Body', body), el('div', null, go, ' ', stop, ' ', state), out);
  stop.addEventListener('click', () => abort.abort());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    for (const { p, input } of fields) {
      if (p.in === 'path') url = url.replace(`{${p.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(p.name, input.value);
    }
    abort = new AbortController();
    [go.disabled, stop.disabled, out.hidden, state.textContent] = [true, false, false, 'waiting …'];
    try {
      await send(method, query.size ? `${url}?${query}` : url, document.getElementById('key').value, body?.value, abort.signal,
        (text) => { out.textContent = text; out.scrollTop = out.scrollHeight; });
      state.textContent = 'done';
    } catch (e) {
      state.textContent = e.name === 'AbortError' ? 'stopped' : `failed: ${e.message}`;
    }
    [go.disabled, stop.disabled] = [false, true];
  });
  return form;
}

function showOperation(path, method, op) {
  const title = el('summary', null, el('span', { className: `method ${method}` }, method), el('code', null, path),
    el('span', { className: 'doc' }, op.summary));
  return fold({ className: 'op', id: op.operationId }, title, () => {
    const box = el('div');
    if (op.parameters) box.append(el('h3', null, 'Parameters'), tree(op.parameters.map((p) => [p.name, p.schema, !!p.required, `${p.description} (${p.in})`])));
    const body = op.requestBody?.content['application/json'];
    if (body) box.append(el('h3', null, 'Body'), showSchema(body.schema));
    box.append(el('h3', null, 'Answers'), ...Object.entries(op.responses).map(([s, r]) => showAnswer(s, r)));
    box.append(el('h3', null, 'Try it'), tryIt(method, path, op));
    return box;
  });
}

function show() {
  const main = document.getElementById('main');
  document.getElementById('title').textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById('about').replaceChildren(api.info.description, ' The document: ', el('a', { href: '/openapi.json' }, '/openapi.json'));
  for (const { name } of api.tags) {
    const id = name.toLowerCase().replace(/[^a-z]+/g, '-');
    document.getElementById('tags').append(el('a', { href: `#${id}` }, name));
    main.append(el('h2', { id }, name));
    for (const [path, methods] of Object.entries(api.paths))
      for (const [method, op] of Object.entries(methods))
        if (op.tags.includes(name)) main.append(showOperation(path, method, op));
  }
  const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named) {
    if (named.tagName === 'DETAILS') named.open = true;
    named.scrollIntoView();
  }
}

fetch('/openapi.json')
  .then((r) => (r.ok ? r.json() : Promise.reject(new Error(`HTTP ${r.status}`))))
  .then((json) => { api = json; show(); })
  .catch((e) => document.getElementById('about').replaceChildren(el('span', { className: 'error' }, `The document can't be read: ${e.message}`)));
