// Tools, workers, batches and schedules.
import { h, put, putIf, table, num, bytes, ago, when, span, chip, words, colour } from './dom.js';
import { fleet, get, follow } from './fleet.js';
import { act, dialog } from './acts.js';

// looking asks again and again until its result is called.
function looking(page, path, every, show) {
  const stop = new AbortController();
  let timer;
  const look = async () => {
    clearTimeout(timer);
    try {
      show(await get(path, stop.signal), look);
    } catch (e) {
      if (e.name === 'AbortError') return;
      put(page, h('p', { class: 'empty' }, e.message));
      page.signed = null;
    }
    if (!stop.signal.aborted) timer = setTimeout(look, every);
  };
  look();
  return () => { stop.abort(); clearTimeout(timer); };
}

export function workersPage(page) {
  return follow((x) => putIf(page, [x.workers, Math.floor(Date.parse(x.at) / 5000)], () => [
    h('section', { class: 'card', 'aria-label': 'Workers' }, h('header', null, h('p', { class: 'muted' }, `${num(x.workers.length)} ${x.workers.length === 1 ? 'worker' : 'workers'} with ${num(x.slots)} slots. Each gives a sign of life every 10 seconds.`)),
      h('div', { class: 'list' }, table([
        { name: 'Worker', cls: 'tight', cell: (w) => h('a', { class: 'row mono', href: '#/jobs?worker=' + encodeURIComponent(w.name) }, w.name) },
        { name: 'State', cls: 'tight', cell: (w) => w.sick ? h('span', { class: 'chip c-fleet' }, 'sick') : h('span', { class: 'chip c-ok' }, 'well') },
        { name: 'Busy', cell: (w) => h('div', { style: { 'min-width': '150px' } }, `${num(w.active)} of ${num(w.slots)}`, h('div', { class: 'meter', 'aria-hidden': 'true' }, h('i', { style: { width: (w.slots ? Math.min(100, (w.active / w.slots) * 100) : 0) + '%' } }))) },
        { name: 'Running here', num: true, cell: (w) => num(w.running) },
        { name: 'Finished', num: true, cell: (w) => num(w.finished) },
        { name: 'Version', cls: 'tight', cell: (w) => w.version || '–' },
        { name: 'Started', cls: 'tight', cell: (w) => when(w.started) },
        { name: 'Seen', cls: 'tight', cell: (w) => when(w.seen) },
        { name: 'Why sick', cls: 'wrap', cell: (w) => w.sick || '' },
      ], x.workers, 'Workers', 'No worker is alive. Start one with: worker run'))),
  ]));
}

const levels = { none: 'c-ok', read_only: 'c-ok', write: 'c-guest', execute: 'c-limit', dangerous: 'c-fleet', forbidden: 'c-fleet' };

export function toolsPage(page) {
  const text = h('input', { type: 'search', placeholder: 'Name, keyword or description', 'aria-label': 'Find tools', class: 'grow' });
  const body = h('div'), all = { tools: [] };
  put(page, h('div', { class: 'bar' }, text), body);
  const draw = () => {
    const t = text.value.trim().toLowerCase();
    const list = all.tools.filter((x) => !t || [x.name, x.description, ...x.keywords].some((y) => y.toLowerCase().includes(t)));
    put(body, h('section', { class: 'card', 'aria-label': 'Tools' }, h('header', null, h('p', { class: 'muted', role: 'status' }, `${num(list.length)} ${list.length === 1 ? 'tool' : 'tools'}`)), h('div', { class: 'list' }, table([
      { name: 'Tool', cls: 'tight', cell: (x) => h('button', { type: 'button', class: 'small', 'data-key': 'tool' + x.name, onclick: () => show(x) }, h('b', null, x.name)) },
      { name: 'Version', cls: 'tight', cell: (x) => [x.version, x.versions.length > 1 ? h('span', { class: 'muted' }, ` and ${x.versions.length - 1} more`) : null] },
      { name: 'Level', cls: 'tight', cell: (x) => h('span', { class: 'chip ' + (levels[x.level] || 'plain') }, x.level ? words(x.level) : 'not given') },
      { name: 'Signed', num: true, cell: (x) => x.signed ? num(x.signed) : '–' },
      { name: 'Size', num: true, cell: (x) => bytes(x.size) },
      { name: 'Kind', cls: 'tight', cell: (x) => x.kind },
      { name: 'What it does', cls: 'wrap', cell: (x) => x.description.split('\n')[0] },
      { name: '', cls: 'tight', cell: (x) => h('a', { href: '#/jobs?tool=' + encodeURIComponent(x.name) }, 'jobs') },
    ], list, 'Tools', 'No tools. Register some with: submit tool push'))));
  };
  text.addEventListener('input', draw);
  return looking(body, 'tools', 15000, (got) => {
    if (JSON.stringify(got) === JSON.stringify(all)) return;
    all.tools = got.tools;
    draw();
  });
}

function show(x) {
  dialog((close) => h('div', { class: 'in' },
    h('h2', null, `${x.name} ${x.version}`), x.description && h('p', null, x.description),
    h('dl', null, [
      ['Level', x.level || 'not given'], ['Keywords', x.keywords.join(', ')], ['Kind', [x.kind, x.wasi && `, WASI ${x.wasi}`]], ['Module', h('code', null, x.digest)], ['Size', bytes(x.size)],
      ['Pushed', when(x.pushed)], ['Signatures', num(x.signed)],
      ['Versions', x.versions.map((v) => h('span', { class: 'tag', title: v.yanked || '' }, v.version, v.yanked ? ' (yanked)' : '', v.channels ? ' ' + v.channels.join(' ') : ''))],
    ].map(([k, v]) => [h('dt', null, k), h('dd', { class: 'wrap' }, v || '–')])),
    x.schema && h('pre', { class: 'out', tabindex: '0', 'aria-label': 'Input schema' }, x.schema),
    h('div', { class: 'ends' }, h('button', { type: 'button', class: 'main', autofocus: true, onclick: () => close() }, 'Close'))), 'wide');
}

export function batchesPage(page) {
  return looking(page, 'batches', 2500, (got, again) => putIf(page, [got, Math.floor(Date.now() / 10000)], () => [
    h('section', { class: 'card', 'aria-label': 'Batches' }, h('header', null, h('p', { class: 'muted', role: 'status' }, `${num(got.found)} ${got.found === 1 ? 'batch' : 'batches'}`, got.batches.length < got.found ? `, the newest ${num(got.batches.length)} are shown` : '')),
      h('div', { class: 'list' }, table([
        { name: 'Batch', cls: 'id', cell: (b) => h('a', { class: 'row', href: '#/jobs?batch=' + encodeURIComponent(b.id) }, b.id) },
        { name: 'State', cls: 'tight', cell: (b) => chip({ state: b.canceling && b.state !== 'ended' ? 'canceled' : b.state }) },
        { name: 'Ended', cell: (b) => progress(b) },
        { name: 'Outcomes', cell: (b) => Object.entries(b.counts).map(([o, n]) => h('span', { class: 'chip ' + colour(o), style: { 'margin-right': '4px' } }, `${num(n)} ${words(o)}`)) },
        { name: 'Made', cls: 'tight', cell: (b) => when(b.created) },
        { name: 'Took', num: true, cell: (b) => b.finished ? span((Date.parse(b.finished) - Date.parse(b.created)) / 1000) : '–' },
        { name: 'Notice', cls: 'text', cell: (b) => b.notice || '' },
        { name: '', cls: 'tight', cell: (b) => fleet.session.actions && b.state !== 'ended' && !b.canceling ? h('button', { type: 'button', class: 'small danger', 'data-key': 'cancel' + b.id, onclick: () => act(`Cancel every job of batch ${b.id} that has not ended?`, 'Cancel the batch', `batches/${encodeURIComponent(b.id)}/cancel`).then(again) }, 'Cancel') : '' },
      ], got.batches, 'Batches', 'No batches. Make one with: submit batch FILE'))),
  ]));
}

function progress(b) {
  const total = b.total || b.listed || 0;
  const part = (cls, n) => n ? h('i', { class: cls, style: { width: (n / total) * 100 + '%', background: 'var(--c)' } }) : null;
  const ok = b.counts.succeeded || 0, canceled = b.counts.canceled || 0;
  return h('div', { style: { 'min-width': '170px' } }, `${num(b.ended)} of ${b.state === 'open' ? 'at least ' : ''}${num(total)}`,
    h('div', { class: 'meter', 'aria-hidden': 'true' }, total ? [part('c-ok', ok), part('c-fleet', b.ended - ok - canceled), part('c-canceled', canceled)] : null));
}

export function schedulesPage(page) {
  return looking(page, 'schedules', 5000, (got, again) => putIf(page, [got.schedules, Math.floor(Date.now() / 5000)], () => {
    const button = (x, what, label, question) => h('button', { type: 'button', class: 'small', 'data-key': what + x.name, onclick: () => act(question, label, `schedules/${encodeURIComponent(x.name)}/${what}`).then(again) }, label);
    return h('section', { class: 'card', 'aria-label': 'Schedules' }, h('header', null, h('p', { class: 'muted', role: 'status' }, `${num(got.schedules.length)} ${got.schedules.length === 1 ? 'schedule' : 'schedules'}`)), h('div', { class: 'list' }, table([
      { name: 'Schedule', cls: 'id', cell: (x) => h('a', { class: 'row', href: '#/jobs?label=' + encodeURIComponent('schedule=' + x.name) }, x.name) },
      { name: 'State', cls: 'tight', cell: (x) => x.paused ? h('span', { class: 'chip c-canceled' }, 'paused') : h('span', { class: 'chip c-ok' }, 'on') },
      { name: 'When', cls: 'tight', cell: (x) => h('code', null, x.when) },
      { name: 'Next', cls: 'tight', cell: (x) => x.next ? h('span', { title: x.next }, ago(x.next)) : '–' },
      { name: 'Tool', cls: 'tight', cell: (x) => x.tool || '–' },
      { name: 'Arguments', cls: 'text', cell: (x) => x.args || '' },
      { name: 'Priority', cell: (x) => x.priority || '–' },
      { name: 'Overlap', cell: (x) => x.overlap },
      { name: '', cls: 'tight', cell: (x) => fleet.session.actions ? [
        x.paused ? button(x, 'resume', 'Resume', `Let ${x.name} start by itself again?`) : button(x, 'pause', 'Pause', `Stop ${x.name} from starting by itself?`), ' ',
        button(x, 'start', 'Start now', `Start a job of ${x.name} now?`)] : '' },
    ], got.schedules, 'Schedules', 'No schedules. Make one with: submit schedule add')));
  }));
}
