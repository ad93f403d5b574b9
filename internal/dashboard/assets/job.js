import { h, put, putIf, card, table, num, compact, bytes, ms, ago, time, when, chip, colour, stateOf, jobLink, words } from './dom.js';
import { fleet, get } from './fleet.js';
import { phaseClass } from './overview.js';
import { act, copy } from './acts.js';

const keepOutput = 400_000; // characters of a stream that are kept on the page

export function jobPage(page, id, setTitle) {
  const stop = new AbortController();
  const head = h('div'), why = h('div'), facts = h('div', { class: 'in' }), times = h('div', { class: 'in' }), tries = h('div'), files = h('div'), denials = h('div');
  const out = outputs(id);
  setTitle('Job ' + id);
  put(page, head, why, h('div', { class: 'grid' },
    card('Timeline', { cls: 'w7' }, times), card('Facts', { cls: 'w5' }, facts), out.el, tries, files, denials));
  let source = null, traced = false, timer;

  async function look() {
    clearTimeout(timer);
    let j;
    try {
      j = await get('jobs/' + encodeURIComponent(id), stop.signal);
    } catch (e) {
      if (e.name !== 'AbortError') put(page, h('p', { class: 'empty' }, e.message), h('p', { class: 'empty' }, h('a', { href: '#/jobs' }, 'All jobs')));
      return;
    }
    draw(j);
    if (j.state === 'done') {
      if (source) { source.close(); source = null; }
      out.done(j.result);
      if (!traced) { traced = true; trace(j); }
      return;
    }
    timer = setTimeout(look, 3000);
    if (!source && !stop.signal.aborted) listen();
  }

  function listen() {
    source = new EventSource('/api/jobs/' + encodeURIComponent(id) + '/events');
    source.addEventListener('log', (e) => out.add(JSON.parse(e.data)));
    source.addEventListener('state', look);
    source.addEventListener('end', () => { source.close(); source = null; look(); });
    source.addEventListener('error', () => { if (source && source.readyState === EventSource.CLOSED) source = null; });
  }

  function draw(j) {
    const open = j.state !== 'done';
    putIf(head, [j.state, j.outcome, j.exit_code, j.cancel_requested], () => h('div', { class: 'headline' },
      h('span', { class: 'id' }, id), chip(j),
      h('span', { class: 'right' },
        h('button', { type: 'button', id: 'copy', onclick: () => copy(id) }, 'Copy id'),
        open && fleet.session.actions && h('button', {
          type: 'button', id: 'cancel', class: 'danger', disabled: j.cancel_requested,
          onclick: () => act(`Cancel job ${id}?`, 'Cancel the job', 'jobs/' + encodeURIComponent(id) + '/cancel').then((ok) => ok && look()),
        }, 'Cancel job'))));
    const r = j.result;
    const reason = r ? r.error || (r.tool_error && 'The tool says: ' + r.tool_error) : j.error && 'The last attempt failed: ' + j.error;
    putIf(why, [reason, r && r.trap], () => reason ? h('div', { class: 'why ' + colour(stateOf(j)) }, reason,
      r && r.trap && r.trap.functions && h('div', { class: 'mono muted' }, r.trap.functions.map((f) => h('div', null, 'at ' + f)))) : null);
    const fact = (name, value) => value === null || value === undefined || value === '' || value === false ? null : h('div', null, h('dt', null, name), h('dd', null, value));
    putIf(facts, [j, Math.floor(Date.now() / 5000)], () => h('dl', { class: 'facts' },
      fact('Tool', h('a', { href: '#/jobs?tool=' + encodeURIComponent(j.tool) }, j.tool)),
      fact('Priority', j.priority), fact('Submitted', h('span', { title: time(j.submitted) }, time(j.submitted), h('span', { class: 'muted' }, ' ', ago(j.submitted)))),
      fact('Starts', j.run_at && j.state === 'scheduled' && when(j.run_at)),
      fact('Waits for', j.after && j.state === 'held' && [...(j.after.jobs || []).map((x) => [jobLink(x), ' ']), ...(j.after.batches || []).map((x) => h('a', { href: '#/jobs?batch=' + encodeURIComponent(x) }, 'batch ' + x))]),
      fact('Expires', j.expires && j.state !== 'done' && when(j.expires)),
      fact('Worker', j.worker), fact('Attempt', j.attempt > 1 || j.state === 'retrying' ? String(j.attempt) : ''),
      fact('Batch', j.batch && h('a', { href: '#/jobs?batch=' + encodeURIComponent(j.batch) }, j.batch)),
      fact('Replay of', j.replay_of && jobLink(j.replay_of)), fact('Result of', r && r.reused_from && jobLink(r.reused_from)),
      r && [
        fact('Exit code', j.exit_code), fact('Fuel', h('span', { title: num(r.fuel) }, compact(r.fuel))), fact('Peak memory', bytes(r.peak_memory)),
        fact('Staged', r.bytes_in > 0 && bytes(r.bytes_in)), fact('Outputs', r.outputs_all > 0 && `${num(r.outputs_all)} (${bytes(r.bytes_out)})`),
        fact('Module from', r.cache_hit && (r.cache_hit === 'none' ? 'the store' : r.cache_hit)),
        fact('Trace', r.trace_id && (fleet.session.trace_url ? h('a', { href: traceAddress(r.trace_id), target: '_blank', rel: 'noopener noreferrer' }, h('code', null, r.trace_id)) : h('code', null, r.trace_id))),
      ],
      fact('Module', h('code', { title: j.digest }, j.digest.slice(0, 19) + '… ', h('span', { class: 'muted' }, bytes(j.module_size)))),
      fact('Labels', j.all_labels.length > 0 && j.all_labels.map(([k, v]) => h('a', { class: 'tag', href: '#/jobs?label=' + encodeURIComponent(k + '=' + v) }, `${k}=${v}`)))));
    if (!traced) putIf(times, [r && r.phases, j.state, j.started, Math.floor(Date.now() / 3000)], () => r ? phaseFall(r.phases) : waitText(j));
    putIf(tries, j.tries, () => j.tries.length ? card('Attempts that did not end it', null, h('div', { class: 'list' }, table([
      { name: '#', cell: (t) => String(t.number) }, { name: 'Worker', cls: 'tight', cell: (t) => t.worker }, { name: 'When', cls: 'tight', cell: (t) => when(t.at) },
      { name: 'Why', cls: 'wrap', cell: (t) => t.error + (t.uncounted ? ' (not counted)' : '') },
    ], j.tries, 'Attempts'))) : null);
    if (j.tries.length) tries.className = 'w12';
    tries.hidden = !j.tries.length;
    putIf(files, r && r.outputs, () => r && r.outputs.length ? card('Files', { note: r.outputs_all > r.outputs.length ? `the first ${num(r.outputs.length)} of ${num(r.outputs_all)}` : '' }, h('div', { class: 'list' }, table([
      { name: 'Path', cls: 'wrap', cell: (f) => fleet.session.files ? h('a', { class: 'row', href: `/api/jobs/${encodeURIComponent(id)}/files/${f.index}`, download: true }, f.path) : f.path },
      { name: 'Size', num: true, cell: (f) => bytes(f.size) }, { name: 'SHA-256', cell: (f) => h('code', { title: f.sha256, class: 'muted' }, f.sha256.slice(0, 16) + '…') },
    ], r.outputs, 'Files'))) : null);
    files.className = 'w12';
    files.hidden = !(r && r.outputs.length);
    putIf(denials, r && r.denials, () => r && r.denials.length ? card('Asked for and denied', null, h('div', { class: 'list' }, table([
      { name: 'What', cell: (d) => d.what }, { name: 'Target', cls: 'wrap', cell: (d) => d.target }, { name: 'Rule', cls: 'wrap', cell: (d) => d.rule }, { name: 'Times', num: true, cell: (d) => num(d.count) },
    ], r.denials, 'Denials'))) : null);
    denials.className = 'w12';
    denials.hidden = !(r && r.denials.length);
  }

  async function trace(j) {
    try {
      const got = await get('jobs/' + encodeURIComponent(id) + '/trace', stop.signal);
      if (got.spans.length) put(times, spanFall(got.spans));
    } catch { /* the phases are shown */ }
  }

  look();
  return () => { stop.abort(); clearTimeout(timer); if (source) source.close(); };
}

function traceAddress(traceID) {
  const address = fleet.session.trace_url.replaceAll('{trace_id}', traceID);
  return /^https?:\/\//.test(address) ? address : '#';
}

function waitText(j) {
  const says = {
    scheduled: 'It waits for its time.', held: 'It waits for other jobs to end.', queued: 'It waits for a worker.', retrying: 'It waits for its next attempt.',
    running: 'It has been running for ' + ago(j.started).replace(' ago', '') + '.',
  };
  return h('p', { class: 'empty' }, says[j.state] || words(j.state));
}

const bar = (from, to, all, cls, title) => h('div', { class: 'track', title }, h('i', { class: cls, style: { left: (from / all) * 100 + '%', width: Math.max(0, Math.min(100 - (from / all) * 100, ((to - from) / all) * 100)) + '%' } }));

function phaseFall(phases) {
  if (!phases.length) return h('p', { class: 'empty' }, 'It ended without having started.');
  const all = phases.reduce((a, p) => a + p.ms, 0) || 1;
  let at = 0;
  return h('div', { class: 'fall', role: 'list', 'aria-label': 'Phases' }, phases.map((p) => {
    const row = [h('span', { class: 'name', role: 'listitem' }, p.name), bar(at, at + p.ms, all, phaseClass(p.name), `${p.name}: ${ms(p.ms)}`), h('span', { class: 'ms' }, ms(p.ms))];
    at += p.ms;
    return row;
  }));
}

// spanFall draws spans below their parents; a cycle of parents is broken.
function spanFall(spans) {
  const known = new Set(spans.map((x) => x.id)), below = new Map();
  for (const x of spans) {
    const parent = known.has(x.parent) && x.parent !== x.id ? x.parent : '';
    below.set(parent, [...(below.get(parent) || []), x]);
  }
  const first = Math.min(...spans.map((x) => x.start)), all = Math.max(1, Math.max(...spans.map((x) => x.end)) - first);
  const rows = [], seen = new Set();
  const walk = (parent, depth) => {
    for (const x of (below.get(parent) || []).sort((a, b) => a.start - b.start)) {
      if (seen.has(x.id) || rows.length > 400) continue;
      seen.add(x.id);
      const title = [x.name, ...Object.entries(x.attributes || {}).map(([k, v]) => `${k}=${v}`)].join('\n');
      rows.push(h('span', { class: 'name', title, style: { 'padding-left': Math.min(depth, 8) * 13 + 'px' } }, x.name),
        bar(x.start - first, x.end - first, all, phaseClass(x.name), title), h('span', { class: 'ms' }, ms((x.end - x.start) / 1e6)));
      walk(x.id, depth + 1);
    }
  };
  walk('', 0);
  return h('div', { class: 'fall', 'aria-label': 'Trace' }, rows);
}

// outputs shows both streams: as they come while the job runs, and those of the result after.
function outputs(id) {
  const names = ['stdout', 'stderr'];
  const texts = { stdout: '', stderr: '' }, ends = {}, result = {};
  let shown = 'stdout', follows = true;
  const pre = h('pre', { class: 'out', tabindex: '0', 'aria-label': 'Output' });
  const note = h('span', { class: 'note' });
  const tabs = names.map((name) => h('button', { type: 'button', role: 'tab', 'aria-selected': String(name === shown), onclick: () => { pick(name); } }, name));
  const whole = h('a', { href: '#', download: true, hidden: true }, 'download');
  const el = h('section', { class: 'card w12', 'aria-label': 'Output' },
    h('header', null, h('h2', null, 'Output'), h('div', { class: 'tabs', role: 'tablist' }, tabs), note, h('span', { class: 'right' }, whole)), h('div', { style: { height: '11px' } }), pre);
  pre.addEventListener('scroll', () => { follows = pre.scrollTop + pre.clientHeight > pre.scrollHeight - 24; });

  function pick(name) {
    shown = name;
    follows = true;
    show();
  }
  function show() {
    tabs.forEach((t, i) => {
      t.setAttribute('aria-selected', String(names[i] === shown));
      const n = result[names[i]] ? result[names[i]].bytes : texts[names[i]].length;
      t.textContent = names[i] + (n ? ' ' + bytes(n) + (result[names[i]] && result[names[i]].more ? '+' : '') : '');
    });
    const r = result[shown];
    const text = r ? r.text : texts[shown];
    if (pre.textContent !== text || !text) {
      pre.replaceChildren(text || h('span', { class: 'muted' }, r ? 'Nothing was written.' : 'Nothing has been written yet.'));
      if (follows && !r) pre.scrollTop = pre.scrollHeight;
    }
    note.textContent = r ? (r.binary ? 'not text; download it to see its bytes' : r.more ? 'its beginning; download the whole' : '') : 'live';
    whole.hidden = !r || !r.bytes;
    whole.setAttribute('href', `/api/jobs/${encodeURIComponent(id)}/output/${shown}`);
  }
  show();
  return {
    el,
    add(piece) {
      if (!(piece.stream in texts) || result[piece.stream]) return;
      const end = ends[piece.stream] || { attempt: 0, offset: -1 };
      if (piece.attempt < end.attempt || (piece.attempt === end.attempt && piece.offset <= end.offset)) return;
      if (piece.attempt > end.attempt) texts[piece.stream] = '';
      ends[piece.stream] = { attempt: piece.attempt, offset: piece.offset };
      texts[piece.stream] = (texts[piece.stream] + piece.text).slice(-keepOutput);
      show();
    },
    done(r) {
      names.forEach((n) => { result[n] = r[n]; });
      if (!r.stdout.bytes && r.stderr.bytes) shown = 'stderr';
      show();
    },
  };
}

