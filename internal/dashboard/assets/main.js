// The page: its frame, its addresses and its keys.
import { h, s, put, num } from './dom.js';
import { fleet, follow, start } from './fleet.js';
import { dialog, token, unlock } from './acts.js';
import { overview } from './overview.js';
import { jobsPage } from './jobs.js';
import { jobPage } from './job.js';
import { deadPage } from './dead.js';
import { workersPage, toolsPage, batchesPage, schedulesPage } from './lists.js';

const $ = (id) => document.getElementById(id);

// pages by the first part of the address; key is what follows g on the keyboard, icon the path of a 24 x 24 drawing.
const pages = [
  { path: '', name: 'Overview', key: 'o', draw: overview, icon: 'M4 19V5M4 19h16M8 15l3.5-4 3 2.5L20 7' },
  { path: 'jobs', name: 'Jobs', key: 'j', draw: jobsPage, icon: 'M4 6h16M4 12h16M4 18h10' },
  { path: 'batches', name: 'Batches', key: 'b', draw: batchesPage, icon: 'M12 3 3 8l9 5 9-5ZM3 13l9 5 9-5' },
  { path: 'schedules', name: 'Schedules', key: 's', draw: schedulesPage, icon: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7v5l3.5 2' },
  { path: 'dead', name: 'Dead letters', key: 'd', draw: deadPage, icon: 'M3 7l9 6 9-6M3 6h18v12H3Z' },
  { path: 'tools', name: 'Tools', key: 't', draw: toolsPage, icon: 'M12 3 4 7.5v9L12 21l8-4.5v-9ZM4 7.5l8 4.5 8-4.5M12 12v9' },
  { path: 'workers', name: 'Workers', key: 'w', draw: workersPage, icon: 'M4 5h16v6H4ZM4 13h16v6H4ZM8 8h.01M8 16h.01' },
];

let leave = null, here = null;

function route() {
  const [path, search] = (location.hash.replace(/^#\/?/, '')).split('?');
  const parts = path.split('/').map((p) => { try { return decodeURIComponent(p); } catch { return ''; } });
  const page = pages.find((p) => p.path === parts[0]);
  if (leave) leave();
  leave = null;
  const moved = here !== path;
  here = path;
  const main = h('main', { id: 'main', tabindex: '-1' });
  $('main').replaceWith(main);
  for (const a of $('nav').querySelectorAll('a')) a.getAttribute('href') === '#/' + parts[0] ? a.setAttribute('aria-current', 'page') : a.removeAttribute('aria-current');
  const title = (text) => { $('title').textContent = text; document.title = text + ' · boxfleet'; };
  if (!page || (parts.length > 1 && page.path !== 'jobs')) {
    title('No such page');
    put(main, h('p', { class: 'empty' }, 'There is no such page. ', h('a', { href: '#/' }, 'Overview')));
    return;
  }
  title(page.name);
  if (parts.length > 1) leave = jobPage(main, parts[1], title);
  else leave = page.draw(main, new URLSearchParams(search || ''));
  if (moved) { window.scrollTo(0, 0); $('title').focus({ preventScroll: true }); }
}

function theme(next) {
  if (next) localStorage.setItem('boxfleet-theme', next);
  const chosen = localStorage.getItem('boxfleet-theme') || 'system';
  if (chosen === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.dataset.theme = chosen;
  const signs = { system: 'Auto', light: 'Light', dark: 'Dark' };
  $('theme').textContent = signs[chosen];
  $('theme').title = $('theme').ariaLabel = 'Colours: ' + signs[chosen].toLowerCase() + '. Change';
}

function lock() {
  const el = $('lock');
  el.hidden = false;
  el.textContent = !fleet.session.actions ? 'Read-only' : token.get() ? 'Actions on' : 'Unlock actions';
  el.disabled = !fleet.session.actions;
  el.title = fleet.session.actions ? '' : 'Start submit dashboard with --actions to cancel, replay and pause from here.';
}

function help() {
  const keys = [['/', 'find jobs'], ['j k', 'next and previous row'], ['Enter', 'open it'], ...pages.map((p) => ['g ' + p.key, p.name.toLowerCase()]), ['t', 'colours'], ['← →', 'move over a chart that has the focus'], ['?', 'this list'], ['Esc', 'close']];
  dialog((close) => h('div', { class: 'in' }, h('h2', null, 'Keys'),
    h('dl', null, keys.map(([k, what]) => [h('dt', null, k.split(' ').map((x) => [h('kbd', null, x), ' '])), h('dd', null, what)])),
    h('div', { class: 'ends' }, h('button', { type: 'button', class: 'main', autofocus: true, onclick: () => close() }, 'Close'))));
}

function keys() {
  let g = 0;
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
    if (e.target.closest('input, select, textarea')) {
      if (e.key === 'Escape') e.target.blur();
      return;
    }
    const page = Date.now() - g < 1500 && pages.find((p) => p.key === e.key);
    g = 0;
    if (page) location.hash = '#/' + page.path;
    else if (e.key === 'g') { g = Date.now(); return; }
    else if (e.key === '/') $('find-text').focus();
    else if (e.key === '?') help();
    else if (e.key === 't') $('theme').click();
    else if (e.key === 'j' || e.key === 'k') {
      const rows = [...$('main').querySelectorAll('a.row, td:first-child button')];
      const at = rows.indexOf(document.activeElement);
      const next = rows[at < 0 ? (e.key === 'j' ? 0 : rows.length - 1) : at + (e.key === 'j' ? 1 : -1)];
      if (next) { next.focus(); next.scrollIntoView({ block: 'nearest' }); }
    } else return;
    e.preventDefault();
  });
}

function frame() {
  put($('nav'), pages.map((p) => h('a', { href: '#/' + p.path, title: 'g ' + p.key }, s('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, s('path', { d: p.icon })), p.name, h('span', { class: 'count', 'data-count': p.path }))));
  const x = fleet.session;
  put($('about'), h('div', null, h('b', null, x.tenant), 'tenant'), h('div', null, h('b', null, x.fleet), 'queue'), x.version && h('div', null, 'boxfleet ' + x.version));
  $('theme').addEventListener('click', () => {
    const all = ['system', 'light', 'dark'];
    theme(all[(all.indexOf(localStorage.getItem('boxfleet-theme') || 'system') + 1) % 3]);
  });
  $('help').addEventListener('click', help);
  $('lock').addEventListener('click', () => token.get() ? (token.set(''), lock()) : unlock());
  window.addEventListener('boxfleet-token', lock);
  $('find').addEventListener('submit', (e) => {
    e.preventDefault();
    const text = $('find-text').value.trim();
    if (text) location.hash = '#/jobs?' + new URLSearchParams({ q: text });
    $('find-text').value = '';
  });
  lock();
  keys();
  follow((snap) => {
    const count = (path, text) => { const el = document.querySelector(`[data-count="${path}"]`); if (el.textContent !== text) el.textContent = text; };
    count('jobs', snap.active + snap.waiting ? num(snap.active + snap.waiting) : '');
    count('workers', num(snap.workers.length));
    const says = snap.problems.map((p) => h('p', { class: 'problem' + (snap.connected ? '' : ' hard') }, p));
    if ($('problems').dataset.says !== JSON.stringify(snap.problems)) { $('problems').dataset.says = JSON.stringify(snap.problems); put($('problems'), says); }
  });
}

theme();
try {
  await start((on) => {
    if (fleet.live === on) return;
    fleet.live = on;
    $('live').className = 'live ' + (on ? 'on' : 'off');
    put($('live'), h('i'), h('b', null, on ? 'live' : 'lost; trying again'));
  });
  frame();
  window.addEventListener('hashchange', route);
  route();
} catch (e) {
  put($('main'), h('p', { class: 'empty' }, e.message));
}
