// Elements and numbers. Everything shown goes through h(), which makes text nodes of strings: nothing that came
// from a guest is ever parsed as markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(el, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'style') for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
    else if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled') el[name] = value;
    else el.setAttribute(name, value === true ? '' : String(value));
  }
  el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ''));
  return el;
}

export const h = (name, props, ...children) => fill(document.createElement(name), props, children);
export const s = (name, props, ...children) => fill(document.createElementNS(SVG, name), props, children);

// put replaces what is in el, and keeps the focus where it was if the same thing is there again.
export function put(el, ...children) {
  const active = document.activeElement;
  const key = el.contains(active) ? active.getAttribute('href') || active.id || active.dataset.key : null;
  el.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  if (!key) return;
  for (const c of el.querySelectorAll('a, button, input, [tabindex]')) {
    if (c.getAttribute('href') === key || c.id === key || c.dataset.key === key) { c.focus({ preventScroll: true }); return; }
  }
}

// putIf is put for what has changed: redrawing the rest would take a reader's selection away.
export function putIf(el, sign, make) {
  const text = JSON.stringify(sign);
  if (el.signed === text) return;
  el.signed = text;
  put(el, make());
}

export function card(title, props, ...children) {
  const { note, right, cls } = props || {};
  return h('section', { class: 'card ' + (cls || ''), 'aria-label': title },
    h('header', null, h('h2', null, title), note && h('span', { class: 'note' }, note), right && h('span', { class: 'right' }, right)), children);
}

// table draws rows; a column is {name, num, cls, cell(row)}.
export function table(columns, rows, label, empty) {
  if (!rows.length) return h('p', { class: 'empty' }, empty || 'Nothing here.');
  const cls = (c) => [c.num && 'num', c.cls].filter(Boolean).join(' ') || null;
  return h('table', { 'aria-label': label },
    h('thead', null, h('tr', null, columns.map((c) => h('th', { scope: 'col', class: [c.num && 'num', c.cls === 'pick' && 'pick'].filter(Boolean).join(' ') || null }, c.head || c.name)))),
    h('tbody', null, rows.map((r) => h('tr', null, columns.map((c) => {
      const cell = c.cell(r);
      return h('td', { class: cls(c), title: typeof cell === 'string' && cell.length > 24 ? cell : null }, cell);
    })))));
}

export const num = (n) => Number(n || 0).toLocaleString('en-US');

export function compact(n) {
  n = Number(n || 0);
  for (const [unit, size] of [['T', 1e12], ['G', 1e9], ['M', 1e6], ['k', 1e4]]) {
    if (n >= size) { const x = n / (unit === 'k' ? 1e3 : size); return x.toFixed(x < 100 ? 1 : 0) + ' ' + unit; }
  }
  return num(Math.round(n * 100) / 100);
}

export function bytes(n) {
  n = Number(n || 0);
  if (n < 1024) return n + ' B';
  let i = -1;
  do { n /= 1024; i++; } while (n >= 1024 && i < 3);
  return n.toFixed(n < 10 ? 1 : 0) + ' ' + ['KiB', 'MiB', 'GiB', 'TiB'][i];
}

export function ms(x) {
  if (x === undefined || x === null) return '–';
  if (x < 1) return Math.round(x * 1000) + ' µs';
  if (x < 10) return x.toFixed(2) + ' ms';
  if (x < 1000) return x.toFixed(x < 100 ? 1 : 0) + ' ms';
  if (x < 60e3) return (x / 1e3).toFixed(x < 10e3 ? 2 : 1) + ' s';
  return span(x / 1e3);
}

export function span(sec) {
  sec = Math.max(0, Math.round(sec));
  if (sec < 60) return sec + ' s';
  if (sec < 3600) return Math.floor(sec / 60) + ' min ' + (sec % 60 ? (sec % 60) + ' s' : '');
  if (sec < 86400) return Math.floor(sec / 3600) + ' h ' + Math.floor((sec % 3600) / 60) + ' min';
  return Math.floor(sec / 86400) + ' d ' + Math.floor((sec % 86400) / 3600) + ' h';
}

const never = (t) => !t || t.startsWith('0001-');

export function ago(t) {
  if (never(t)) return '–';
  const sec = (Date.now() - Date.parse(t)) / 1000;
  if (sec < -1) return 'in ' + span(-sec);
  return sec < 1 ? 'now' : span(sec) + ' ago';
}

export function time(t) {
  if (never(t)) return '–';
  const d = new Date(t), p = (n, w = 2) => String(n).padStart(w, '0');
  return `${d.getFullYear()}-${p(d.getMonth() + 1)}-${p(d.getDate())} ${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}`;
}

export const when = (t) => never(t) ? '–' : h('time', { datetime: t, title: time(t) }, ago(t));

const groups = {
  succeeded: 'ok', exited: 'guest', trapped: 'guest', invalid: 'guest', failed: 'fleet', canceled: 'canceled',
  running: 'run', retrying: 'fleet', queued: 'wait', scheduled: 'wait', held: 'wait', open: 'run', closed: 'run', ended: 'ok',
};
export const colour = (state) => 'c-' + (groups[state] || 'limit');
export const stateOf = (j) => j.outcome || j.state;
export const words = (state) => String(state).replaceAll('_', ' ');

export function chip(j) {
  const state = stateOf(j);
  let text = words(state);
  if (state === 'exited' && j.exit_code !== undefined) text += ' ' + j.exit_code;
  if (j.state === 'running' && j.cancel_requested) text = 'stopping';
  return h('span', { class: 'chip ' + colour(state) }, text);
}

export const jobLink = (id) => h('a', { href: '#/jobs/' + encodeURIComponent(id), class: 'row' }, id);
// labels shows a few, and the rest on request.
export function labels(list, most = 2) {
  list = list || [];
  const tags = list.slice(0, most).map((l) => h('span', { class: 'tag', title: l }, l));
  if (list.length > most) tags.push(h('span', { class: 'tag', title: list.slice(most).join('\n') }, '+' + (list.length - most)));
  return tags;
}
