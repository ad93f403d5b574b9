import { h, put, putIf, card, table, num, compact, ms, ago, when, span, chip, jobLink } from './dom.js';
import { chart, key, bins } from './charts.js';
import { follow } from './fleet.js';

const step = 5; // seconds a point

const endings = [
  { name: 'succeeded', cls: 'c-ok' }, { name: 'exited', cls: 'c-guest' }, { name: 'limit', cls: 'c-limit' },
  { name: 'failed', cls: 'c-fleet' }, { name: 'canceled', cls: 'c-canceled' },
];
const depths = [{ name: 'waiting', cls: 'c-wait', area: true }, { name: 'running', cls: 'c-run' }];
const seats = [{ name: 'busy', cls: 'c-run', area: true }, { name: 'slots', cls: 'c-canceled', dash: true }];
const delays = [{ name: 'p95', cls: 'c-guest' }, { name: 'p50', cls: 'c-run', area: true }];

const axis = (v) => v < 1000 ? +v.toFixed(1) + ' ms' : v < 600e3 ? +(v / 1e3).toFixed(1) + ' s' : Math.round(v / 60e3) + ' min';

const mean = (bin, field) => {
  const known = bin.map((x) => x[field]).filter((v) => v !== null && v !== undefined);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
};
const most = (bin, field) => bin.reduce((a, x) => Math.max(a, x[field] || 0), 0) || null;

function tile(name) {
  const value = h('div', { class: 'value' }), note = h('div', { class: 'note' }), extra = h('div');
  return { el: h('section', { class: 'card tile', 'aria-label': name }, h('div', { class: 'name' }, name), value, note, extra), value, note, extra };
}

// failedPart is the part of the last minutes' jobs that did not succeed, without those that were canceled.
function failedPart(counts) {
  let all = 0, bad = 0;
  for (const [o, n] of Object.entries(counts)) {
    if (o === 'canceled') continue;
    all += n;
    if (o !== 'succeeded') bad += n;
  }
  return { all, bad };
}

export const rowJobs = (extra) => [
  { name: 'Job', cls: 'id', cell: (j) => jobLink(j.id) },
  { name: 'Tool', cls: 'tight', cell: (j) => j.tool },
  ...extra,
];

export function overview(page) {
  const tiles = ['Ended', 'Running', 'Waiting', 'Succeeded', 'Submission to end', 'Workers'].map(tile);
  const [ended, running, waiting, good, delay, workers] = tiles;
  const through = chart({ label: 'Jobs ended in a second, by outcome', height: 190, kind: 'bars', series: endings, value: compact, least: 1 });
  const queue = chart({ label: 'Jobs waiting and running', height: 190, kind: 'lines', series: depths, value: compact, least: 4 });
  const slots = chart({ label: 'Busy slots', height: 150, kind: 'lines', series: seats, value: compact, least: 4 });
  const latency = chart({ label: 'Time from submission to end', height: 150, kind: 'lines', series: delays, value: ms, axis, least: 1 });
  const phases = h('div', { class: 'in' }), tools = h('div', { class: 'list' }), queues = h('div', { class: 'list' });
  const fails = h('div', { class: 'list' }), longest = h('div', { class: 'list' }), last = h('div', { class: 'list' });
  put(page,
    h('div', { class: 'tiles' }, tiles.map((t) => t.el)),
    h('div', { class: 'grid' },
      card('Throughput', { cls: 'w7', note: 'jobs ended / s', right: key(endings) }, h('div', { class: 'in' }, through.el)),
      card('Queue', { cls: 'w5', note: 'jobs', right: key(depths) }, h('div', { class: 'in' }, queue.el)),
      card('Slots', { cls: 'w5', right: key(seats) }, h('div', { class: 'in' }, slots.el)),
      card('Latency', { cls: 'w7', note: 'submission to end', right: key(delays) }, h('div', { class: 'in' }, latency.el)),
      card('Where the time goes', { cls: 'w5', note: 'median of each phase' }, phases),
      card('Slowest tools', { cls: 'w7', note: 'time of the run' }, tools),
      card('Recent failures', { cls: 'w7', right: h('a', { href: '#/jobs?state=failures' }, 'all') }, fails),
      card('Queues', { cls: 'w5', note: 'by tenant and priority' }, queues),
      card('Running longest', { cls: 'w7', right: h('a', { href: '#/jobs?state=running' }, 'all') }, longest),
      card('Last ended', { cls: 'w5', right: h('a', { href: '#/jobs' }, 'all') }, last)));

  return follow((x) => {
    const lately = x.window_seconds >= 299 ? 'in the last 5 min' : `in the last ${span(x.window_seconds)}`;
    const { all, bad } = failedPart(x.counts);
    put(ended.value, compact(x.rate), h('small', null, '/s'));
    put(ended.note, num(Object.values(x.counts).reduce((a, b) => a + b, 0)) + ' ' + lately);
    put(running.value, num(x.running_all), x.slots ? h('small', null, 'of ' + num(x.slots) + ' slots') : '');
    put(running.note, x.slots ? Math.round((x.busy / x.slots) * 100) + ' % of the slots busy' : 'no slots');
    put(running.extra, h('div', { class: 'meter', 'aria-hidden': 'true' }, h('i', { style: { width: (x.slots ? Math.min(100, (x.busy / x.slots) * 100) : 0) + '%' } })));
    put(waiting.value, num(x.waiting));
    put(waiting.note, x.waiting && x.rate ? 'about ' + span(x.waiting / x.rate) + ' to go' : x.waiting ? 'none end now' : 'nothing waits for a worker');
    put(good.value, all ? Math.floor(((all - bad) / all) * 1000) / 10 + '' : '–', all ? h('small', null, '%') : '');
    put(good.note, bad ? num(bad) + ' of ' + num(all) + ' did not' : all ? 'all of them ' + lately : 'none ended lately');
    put(good.extra, h('div', { class: 'meter', 'aria-hidden': 'true' }, all ? [h('i', { style: { width: ((all - bad) / all) * 100 + '%', background: 'var(--ok)' } }), h('i', { style: { width: (bad / all) * 100 + '%', background: 'var(--fleet)' } })] : null));
    put(delay.value, x.total.n ? ms(x.total.p50).split(' ')[0] : '–', x.total.n ? h('small', null, ms(x.total.p50).split(' ').slice(1).join(' ')) : '');
    put(delay.note, x.total.n ? `p95 ${ms(x.total.p95)}, p99 ${ms(x.total.p99)}` : 'none ended lately');
    const sick = x.workers.filter((w) => w.sick).length;
    put(workers.value, num(x.workers.length), sick ? h('small', { class: 'bad' }, sick + ' sick') : '');
    put(workers.note, x.workers.length ? h('a', { href: '#/workers' }, x.workers.length === 1 ? x.workers[0].name : 'show them') : h('span', { class: 'bad' }, 'no worker is alive'));

    const flow = bins(x.series, step, (bin) => endings.map((_, i) => bin.reduce((a, y) => a + y.ended[i], 0) / step));
    through.update(flow, `${compact(x.rate)} a second now`);
    queue.update(bins(x.series, step, (bin) => [mean(bin, 'waiting'), mean(bin, 'active')]), `${num(x.waiting)} waiting and ${num(x.active)} running now`);
    slots.update(bins(x.series, step, (bin) => [mean(bin, 'busy'), mean(bin, 'slots')]), `${num(x.busy)} of ${num(x.slots)} busy now`);
    latency.update(bins(x.series, step, (bin) => [most(bin, 'p95'), most(bin, 'p50')]), `median ${ms(x.total.p50)}, 95th percentile ${ms(x.total.p95)}`);

    putIf(phases, x.phases, () => phaseBar(x.phases));
    putIf(tools, x.tools, () => {
      const top = Math.max(...x.tools.map((t) => t.run.p95), 0.001);
      return table([
        { name: 'Tool', cls: 'tight', cell: (t) => h('a', { href: '#/jobs?tool=' + encodeURIComponent(t.tool) }, t.tool) },
        { name: 'Jobs', num: true, cell: (t) => num(t.jobs) },
        { name: 'Failed', num: true, cell: (t) => t.failed ? h('span', { class: 'bad' }, num(t.failed)) : '0' },
        { name: 'p50', num: true, cell: (t) => ms(t.run.p50) },
        { name: 'p95', num: true, cell: (t) => ms(t.run.p95) },
        { name: 'max', num: true, cell: (t) => ms(t.run.max) },
        { name: '', cell: (t) => h('span', { class: 'inbar', 'aria-hidden': 'true', style: { width: Math.max(2, (t.run.p95 / top) * 110) + 'px' } }) },
      ], x.tools.slice(0, 8), 'Slowest tools', 'No jobs ended lately.');
    });
    putIf(queues, x.queues, () => table([
      { name: 'Tenant', cell: (q) => q.tenant },
      { name: 'Priority', cell: (q) => q.priority },
      { name: 'Waiting', num: true, cell: (q) => num(q.waiting) },
      { name: 'Running', num: true, cell: (q) => num(q.active) },
    ], x.queues.slice(0, 40), 'Queues', 'No queue has been used yet.'));
    putIf(fails, [x.failures.slice(0, 8), Math.floor(Date.parse(x.at) / 10000)], () => table(rowJobs([
      { name: 'Outcome', cls: 'tight', cell: chip },
      { name: 'Why', cls: 'text', cell: (j) => j.error || '–' },
      { name: 'When', num: true, cell: (j) => when(j.finished) },
    ]), x.failures.slice(0, 8), 'Recent failures', 'No job has failed.'));
    putIf(longest, [x.running.slice(0, 6), Math.floor(Date.parse(x.at) / 1000)], () => table(rowJobs([
      { name: 'Worker', cls: 'tight', cell: (j) => j.worker },
      { name: 'For', num: true, cell: (j) => ago(j.started).replace(' ago', '') },
    ]), x.running.slice(0, 6), 'Running longest', 'Nothing runs now.'));
    putIf(last, x.ended.slice(0, 6), () => table(rowJobs([
      { name: 'Outcome', cls: 'tight', cell: chip },
      { name: 'Took', num: true, cell: (j) => ms(j.total_ms) },
    ]), x.ended.slice(0, 6), 'Last ended', 'No job has ended yet.'));
  });
}

// phaseClass gives a phase its colour wherever it is drawn.
const order = ['queue wait', 'look up result', 'fetch module', 'compile', 'stage', 'instantiate', 'run', 'upload', 'commit'];
export const phaseClass = (name) => 'p' + Math.max(0, order.indexOf(name));

function phaseBar(list) {
  if (!list.length) return h('p', { class: 'empty' }, 'No jobs ended lately.');
  const total = list.reduce((a, p) => a + p.p50, 0) || 1;
  return [
    h('div', { class: 'stack', 'aria-hidden': 'true' }, list.map((p) => h('i', { class: phaseClass(p.name), title: `${p.name} ${ms(p.p50)}`, style: { width: (p.p50 / total) * 100 + '%' } }))),
    h('table', { class: 'legend-table', 'aria-label': 'Time of each phase' },
      h('thead', null, h('tr', null, ['Phase', 'p50', 'p95', 'p99'].map((t, i) => h('th', { scope: 'col', class: i ? 'num' : null }, t)))),
      h('tbody', null, list.map((p) => h('tr', null,
        h('td', { class: 'tight' }, h('i', { class: 'swatch ' + phaseClass(p.name) }), ' ', p.name),
        ['p50', 'p95', 'p99'].map((f) => h('td', { class: 'num' }, ms(p[f]))))))),
  ];
}

