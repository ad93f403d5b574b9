// Charts of the last ten minutes, drawn as SVG. A chart is also text: its label sums it up for those who do not see
// it, and the arrow keys move a cursor over it.
import { h, s } from './dom.js';

const left = 46, right = 6, top = 8, bottom = 20;

// ticks gives three to five round steps up to max.
function ticks(max) {
  if (!(max > 0)) return [0, 1];
  const raw = max / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((x) => x * power).find((x) => x >= raw);
  const out = [];
  for (let v = 0; v < max + step * 0.999; v += step) out.push(v);
  return out;
}

const clock = (t) => { const d = new Date(t * 1000); return String(d.getHours()).padStart(2, '0') + ':' + String(d.getMinutes()).padStart(2, '0'); };
const clockSeconds = (t) => clock(t) + ':' + String(new Date(t * 1000).getSeconds()).padStart(2, '0');

// chart makes one: spec is {label, height, kind: 'bars'|'lines', series: [{name, cls, area, dash}], value(v), axis(v)}.
// Its update takes points [{t, v: [..]}], evenly spaced, oldest first; a value may be null.
export function chart(spec) {
  const svg = s('svg', { height: spec.height, 'aria-hidden': 'true' });
  const tip = h('div', { class: 'tip', role: 'status' });
  const el = h('div', { class: 'chart', tabindex: '0', role: 'img', 'aria-label': spec.label }, svg, tip);
  let points = [], at = null, place = null;

  const sum = (p) => p.v.reduce((a, b) => a + (b || 0), 0);
  function draw() {
    const width = el.clientWidth;
    if (!width || points.length < 2) return;
    const inner = width - left - right, tall = spec.height - top - bottom;
    const first = points[0].t, step = points[1].t - first, last = points[points.length - 1].t + (spec.kind === 'bars' ? step : 0);
    let max = 0;
    for (const p of points) max = Math.max(max, spec.kind === 'bars' ? sum(p) : Math.max(...p.v.map((v) => v || 0)));
    const marks = ticks(Math.max(max, spec.least || 0)), most = marks[marks.length - 1];
    const x = (t) => left + ((t - first) / (last - first)) * inner, y = (v) => top + tall - (v / most) * tall;
    const nodes = [];
    for (const m of marks) {
      nodes.push(s('line', { class: 'gridline', x1: left, x2: width - right, y1: y(m), y2: y(m) }),
        s('text', { class: 'axis', x: left - 8, y: y(m) + 4, 'text-anchor': 'end' }, (spec.axis || spec.value)(m)));
    }
    for (let t = Math.ceil(first / 120) * 120; t < last; t += 120) {
      if (x(t) < left + 12 || x(t) > width - right - 14) continue;
      nodes.push(s('text', { class: 'axis', x: x(t), y: spec.height - 4, 'text-anchor': 'middle' }, clock(t)));
    }
    if (spec.kind === 'bars') {
      const w = Math.max(1, inner / points.length - 1);
      spec.series.forEach((serie, i) => {
        let d = '';
        for (const p of points) {
          if (!p.v[i]) continue;
          const below = p.v.slice(0, i).reduce((a, b) => a + (b || 0), 0);
          const y0 = y(below), y1 = y(below + p.v[i]);
          d += `M${x(p.t).toFixed(1)} ${y0.toFixed(1)}V${y1.toFixed(1)}h${w.toFixed(1)}V${y0.toFixed(1)}Z`;
        }
        if (d) nodes.push(s('path', { d, class: serie.cls, style: { fill: 'var(--c)' } }));
      });
    } else {
      spec.series.forEach((serie, i) => {
        let line = '', area = '', from = null, before = null;
        const close = () => { if (from !== null) area += `L${x(before).toFixed(1)} ${y(0)}L${x(from).toFixed(1)} ${y(0)}Z`; from = null; };
        for (const p of points) {
          const v = p.v[i];
          if (v === null || v === undefined) { close(); continue; }
          const xy = `${x(p.t).toFixed(1)} ${y(v).toFixed(1)}`;
          line += (from === null ? 'M' : 'L') + xy;
          area += (from === null ? 'M' : 'L') + xy;
          if (from === null) from = p.t;
          before = p.t;
        }
        close();
        if (serie.area && area) nodes.push(s('path', { d: area, class: serie.cls, style: { fill: 'var(--c)', 'fill-opacity': '.16' } }));
        if (line) nodes.push(s('path', { d: line, class: serie.cls, style: { fill: 'none', stroke: 'var(--c)', 'stroke-width': '1.7', 'stroke-linejoin': 'round', 'stroke-dasharray': serie.dash ? '4 3' : 'none' } }));
      });
    }
    const cursor = s('line', { class: 'cursor', y1: top, y2: top + tall });
    nodes.push(cursor);
    svg.replaceChildren(...nodes);
    svg.setAttribute('viewBox', `0 0 ${width} ${spec.height}`);
    place = { x, step, first, cursor, width };
    show();
  }

  function show() {
    if (at === null || !place) { tip.style.visibility = 'hidden'; return; }
    at = Math.max(0, Math.min(points.length - 1, at));
    const p = points[at], px = place.x(p.t + (spec.kind === 'bars' ? place.step / 2 : 0));
    place.cursor.setAttribute('x1', px);
    place.cursor.setAttribute('x2', px);
    place.cursor.style.visibility = 'visible';
    tip.replaceChildren(h('b', null, clockSeconds(p.t)), ...spec.series.map((serie, i) =>
      h('div', null, h('span', null, h('i', { class: 'swatch ' + serie.cls }), ' ', serie.name), h('span', null, p.v[i] === null || p.v[i] === undefined ? '–' : spec.value(p.v[i])))));
    tip.style.visibility = 'visible';
    const w = tip.offsetWidth;
    tip.style.left = (px + w + 16 > place.width ? px - w - 10 : px + 10) + 'px';
  }

  el.addEventListener('pointermove', (e) => {
    if (!place) return;
    const px = e.clientX - el.getBoundingClientRect().left - left;
    at = Math.floor((px / (place.width - left - right)) * points.length);
    show();
  });
  const hide = () => { at = null; if (place) place.cursor.style.visibility = 'hidden'; show(); };
  el.addEventListener('pointerleave', hide);
  el.addEventListener('blur', hide);
  el.addEventListener('keydown', (e) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (e.key === 'Escape') hide();
    else if (e.key === 'Home' || e.key === 'End') at = e.key === 'Home' ? 0 : points.length - 1;
    else if (moves[e.key]) at = (at === null ? points.length - 1 : at) + moves[e.key];
    else return;
    e.preventDefault();
    show();
  });
  new ResizeObserver(draw).observe(el);

  return {
    el,
    update(next, summary) {
      points = next;
      el.setAttribute('aria-label', spec.label + '. ' + summary);
      draw();
    },
  };
}

export const key = (series) => h('span', { class: 'key' }, series.map((x) => h('span', null, h('i', { class: 'swatch ' + x.cls }), x.name)));

// bins puts samples, one a second, into steps that start at round times; the one that is not over is left out.
export function bins(series, step, make) {
  const out = [];
  let bin = [], start = null;
  for (const x of series) {
    const t = Math.floor(x.t / step) * step;
    if (t !== start) {
      if (start !== null && (out.length || bin[0].t === start)) out.push({ t: start, v: make(bin) });
      bin = [];
      start = t;
    }
    bin.push(x);
  }
  if (bin.length === step) out.push({ t: start, v: make(bin) });
  return out;
}
