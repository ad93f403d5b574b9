import { h, put, putIf, table, num, ms, when, chip, labels } from './dom.js';
import { fleet, get } from './fleet.js';
import { rowJobs } from './overview.js';

const every = 2000; // milliseconds between looks

// quick are sets of states that one asks for often.
const failures = ['exited', 'trapped', 'invalid', 'timed_out', 'out_of_fuel', 'out_of_memory', 'stack_overflow', 'output_limit', 'denied', 'failed'];
const quick = [
  ['', 'All'], ['queued,scheduled,held', 'Waiting'], ['running,retrying', 'Running'], ['succeeded', 'Succeeded'], ['failures', 'Failures'], ['canceled', 'Canceled'],
];

export function jobsPage(page, query) {
  const stop = new AbortController();
  const field = (name, label, props) => h('input', { id: 'f-' + name, name, 'aria-label': label, placeholder: label, value: query.get(name) || '', size: 14, spellcheck: 'false', autocomplete: 'off', ...props });
  const states = h('div', { class: 'tabs', role: 'group', 'aria-label': 'State' }, quick.map(([state, name]) =>
    h('button', { type: 'button', 'data-key': 'q' + state, 'aria-pressed': String((query.get('state') || '') === state), onclick: () => go({ state }) }, name)));
  const exact = h('select', { 'aria-label': 'One state or outcome', onchange: (e) => go({ state: e.target.value }) },
    h('option', { value: '' }, 'any state'),
    ['scheduled', 'held', 'queued', 'running', 'retrying', ...fleet.session.outcomes].map((o) => h('option', { value: o }, o.replaceAll('_', ' '))));
  exact.value = query.get('state') || '';
  if (exact.selectedIndex < 0) exact.value = '';
  const fields = [
    field('q', 'Text', { size: 20, type: 'search' }), field('tool', 'Tool'), field('label', 'Label: key=value'), field('batch', 'Batch'), field('worker', 'Worker'),
  ];
  const priority = h('select', { name: 'priority', 'aria-label': 'Priority', onchange: () => go({}) }, ['', 'high', 'normal', 'low'].map((p) => h('option', { value: p }, p || 'any priority')));
  priority.value = query.get('priority') || '';
  const form = h('form', { class: 'bar', 'aria-label': 'Filters', onsubmit: (e) => { e.preventDefault(); go({}); } }, states, exact, fields, priority, h('button', null, 'Filter'),
    h('a', { class: 'muted right', href: '#/jobs' }, 'clear'));
  const note = h('p', { class: 'muted', role: 'status' }), list = h('div', { class: 'list' });
  put(page, form, h('section', { class: 'card', 'aria-label': 'Jobs' }, h('header', null, note), list));

  function go(change) {
    const next = new URLSearchParams();
    for (const el of [...fields, priority]) if (el.value.trim()) next.set(el.name, el.value.trim());
    const state = 'state' in change ? change.state : query.get('state') || '';
    if (state) next.set('state', state);
    if (query.get('limit')) next.set('limit', query.get('limit'));
    location.hash = '#/jobs' + (next.size ? '?' + next : '');
  }

  async function look() {
    const ask = new URLSearchParams(query);
    if (ask.get('state') === 'failures') ask.set('state', failures.join(','));
    let got;
    try {
      got = await get('jobs?' + ask, stop.signal);
    } catch (e) {
      if (e.name === 'AbortError') return;
      put(note, h('span', { class: 'bad' }, e.message));
      return again();
    }
    const shown = got.jobs.length;
    put(note, !got.loaded ? 'Reading the jobs there are… ' : '', `${num(got.found)} ${got.found === 1 ? 'job' : 'jobs'}`, shown < got.found ? `, the newest ${num(shown)} are shown` : '',
      got.older ? '. Older ones are not searched; find them by their id.' : '', got.more_waiting ? ' More wait in the queue than were looked at.' : '');
    putIf(list, [got.jobs, Math.floor(Date.now() / 10000)], () => [table(rowJobs([
      { name: 'State', cls: 'tight', cell: chip },
      { name: 'Priority', cell: (j) => j.priority },
      { name: 'Submitted', cls: 'tight', cell: (j) => when(j.submitted) },
      { name: 'Run', num: true, cell: (j) => j.run_ms ? ms(j.run_ms) : '–' },
      { name: 'Total', num: true, cell: (j) => j.total_ms ? ms(j.total_ms) : '–' },
      { name: 'Worker', cls: 'tight', cell: (j) => j.worker || '–' },
      { name: 'Why', cls: 'text', cell: (j) => j.error || '' },
      { name: 'Labels', cls: 'tight', cell: (j) => [j.batch && h('a', { class: 'tag', href: '#/jobs?batch=' + encodeURIComponent(j.batch), title: 'batch ' + j.batch }, j.batch), labels(j.labels, j.batch ? 1 : 2)] },
    ]), got.jobs, 'Jobs', 'No such jobs.'),
    shown < got.found && shown < 1000 && h('p', { class: 'empty' }, h('button', { type: 'button', 'data-key': 'more', onclick: () => { query.set('limit', '1000'); look(); } }, 'Show up to 1,000'))]);
    again();
  }
  let timer;
  const again = () => { if (!stop.signal.aborted) timer = setTimeout(() => document.hidden ? again() : look(), every); };
  look();
  return () => { stop.abort(); clearTimeout(timer); };
}
