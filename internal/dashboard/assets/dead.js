import { h, put, putIf, table, num, when, time, jobLink, chip } from './dom.js';
import { fleet, get } from './fleet.js';
import { act, dialog, toast } from './acts.js';

export function deadPage(page, query) {
  const stop = new AbortController(), picked = new Set();
  const text = h('input', { name: 'error', type: 'search', placeholder: 'Text of the error', 'aria-label': 'Text of the error', value: query.get('error') || '', class: 'grow' });
  const tool = h('input', { name: 'tool', placeholder: 'Tool', 'aria-label': 'Tool', value: query.get('tool') || '' });
  const note = h('p', { class: 'muted', role: 'status' }), list = h('div', { class: 'list' }), does = h('span', { class: 'right bar', style: { margin: 0 } });
  put(page,
    h('form', { class: 'bar', onsubmit: (e) => {
      e.preventDefault();
      const q = new URLSearchParams();
      if (text.value.trim()) q.set('error', text.value.trim());
      if (tool.value.trim()) q.set('tool', tool.value.trim());
      location.hash = '#/dead' + (q.size ? '?' + q : '');
    } }, text, tool, h('button', null, 'Filter'), does),
    h('section', { class: 'card', 'aria-label': 'Dead letters' }, h('header', null, note), list));
  let letters = [];

  function buttons() {
    if (!fleet.session.actions) { put(does, h('span', { class: 'muted' }, 'read-only')); return; }
    const n = picked.size;
    put(does,
      h('button', { type: 'button', id: 'replay', class: 'main', disabled: !n, onclick: () => all('replay', `Submit ${num(n)} dead ${n === 1 ? 'job' : 'jobs'} again, under new ids?`, 'Replay') }, 'Replay' + (n ? ' ' + num(n) : '')),
      h('button', { type: 'button', id: 'purge', class: 'danger', disabled: !n, onclick: () => all('purge', `Remove ${num(n)} dead ${n === 1 ? 'letter' : 'letters'} for good?`, 'Remove') }, 'Remove'));
  }

  async function all(what, question, verb) {
    const answer = await act(question, verb, 'dead/' + what, { seqs: [...picked].slice(0, 500) });
    if (!answer) return;
    const bad = answer.letters.filter((l) => l.error);
    toast(`${num(answer.letters.length - bad.length)} ${what === 'replay' ? 'replayed' : 'removed'}` + (bad.length ? `; ${num(bad.length)} could not be: ${bad[0].error}` : ''), bad.length > 0);
    picked.clear();
    look();
  }

  function draw() {
    const pick = (l) => h('input', { type: 'checkbox', 'data-key': 'pick' + l.seq, 'aria-label': 'Choose dead letter ' + l.seq, checked: picked.has(l.seq), onchange: (e) => { e.target.checked ? picked.add(l.seq) : picked.delete(l.seq); draw(); } });
    const every = h('input', { type: 'checkbox', 'data-key': 'every', 'aria-label': 'Choose all shown', checked: letters.length > 0 && letters.every((l) => picked.has(l.seq)), onchange: (e) => { letters.forEach((l) => e.target.checked ? picked.add(l.seq) : picked.delete(l.seq)); draw(); } });
    const columns = [
      { name: 'No.', num: true, cell: (l) => String(l.seq) }, { name: 'Job', cls: 'id', cell: (l) => l.job ? jobLink(l.job) : '–' },
      { name: 'Tool', cls: 'tight', cell: (l) => l.tool || '–' }, { name: 'Why it died', cls: 'wrap', cell: (l) => l.error },
      { name: 'Attempts', num: true, cell: (l) => String(l.attempt) }, { name: 'When', cls: 'tight', cell: (l) => when(l.at) },
      { name: '', cell: (l) => h('button', { type: 'button', class: 'small', 'data-key': 'show' + l.seq, onclick: () => show(l.seq) }, 'Show') },
    ];
    if (fleet.session.actions) columns.unshift({ name: 'pick', head: every, cls: 'pick', cell: pick });
    put(list, table(columns, letters, 'Dead letters', 'No dead letters: every job that was accepted was run.'));
    buttons();
  }

  async function look() {
    clearTimeout(timer);
    try {
      const got = await get('dead?' + query, stop.signal);
      put(note, `${num(got.found)} dead ${got.found === 1 ? 'letter' : 'letters'}`, got.letters.length < got.found ? `, the newest ${num(got.letters.length)} are shown` : '', got.more ? ' of those looked at; there are more' : '', got.problem ? h('span', { class: 'bad' }, '. ' + got.problem) : '');
      const changed = JSON.stringify(letters) !== JSON.stringify(got.letters);
      letters = got.letters;
      for (const seq of picked) if (!letters.some((l) => l.seq === seq)) picked.delete(seq);
      if (changed || !list.firstChild) draw();
    } catch (e) {
      if (e.name === 'AbortError') return;
      put(note, h('span', { class: 'bad' }, e.message));
    }
    timer = setTimeout(look, 5000);
  }

  async function show(seq) {
    let l;
    try { l = await get('dead/' + seq); } catch (e) { toast(e.message, true); return; }
    dialog((close) => h('div', { class: 'in' },
      h('h2', null, 'Dead letter ' + seq),
      h('dl', null, [['Job', l.job], ['Tool', l.tool], ['Worker', l.worker], ['When', time(l.at)], ['Why', l.error], ...(l.tries || []).map((t) => ['Attempt ' + t.number, `${t.worker}: ${t.error}`])].map(([k, v]) => [h('dt', null, k), h('dd', null, v || '–')])),
      l.replayed && h('p', null, 'Replayed as ', h('a', { href: '#/jobs/' + encodeURIComponent(l.replayed), onclick: () => close() }, l.replayed), ' ', chip({ state: l.replay_state })),
      h('pre', { class: 'out', tabindex: '0', 'aria-label': 'Message' }, l.message),
      h('div', { class: 'ends' }, h('button', { type: 'button', class: 'main', onclick: () => close() }, 'Close'))), 'wide');
  }

  let timer;
  buttons();
  look();
  return () => { stop.abort(); clearTimeout(timer); };
}
