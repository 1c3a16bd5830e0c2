// Line charts in SVG: several series over time, with a crosshair that pointer and arrow keys move.

import { clock, h, s, setText } from './dom.js';

const HEIGHT = 150;
const LEFT = 44;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 22;

// The next round number: 1, 2, 2.5 or 5 times a power of ten.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((one) => one * power >= value) * power;
}

function timeStep(span) {
  return [60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600].find((one) => span / one / 1000 <= 7) * 1000 || 21600000;
}

// series: [{name, kind: 'line'|'step'|'area'|'dashed', tone, value(point), at?(point)}]; `limit` is {name, value}.
export class Chart {
  constructor(title, note, series, format) {
    this.series = series;
    this.format = format;
    this.points = [];
    this.read = h('p', { class: 'muted small reading', 'aria-live': 'off' });
    this.svg = s('svg', { role: 'img', tabindex: 0, class: 'chart' });
    this.titleText = s('title', {});
    this.element = h('figure', { class: 'card' },
      h('figcaption', {}, h('h2', {}, title), h('span', { class: 'muted small' }, note)),
      h('ul', { class: 'legend series' }, series.map((one) => h('li', { class: `tone-${one.tone}` }, h('span', { class: `stroke ${one.kind}` }), one.name)),
        this.limitName = h('li', { class: 'tone-limit', hidden: true }, h('span', { class: 'stroke dashed' }), h('span', {}))),
      this.svg, this.read);
    this.title = title;
    this.svg.addEventListener('pointermove', (event) => this.point(event.clientX - this.svg.getBoundingClientRect().left));
    this.svg.addEventListener('pointerleave', () => this.select(null));
    this.svg.addEventListener('blur', () => this.select(null));
    this.svg.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (!step || !this.points.length) return;
      event.preventDefault();
      this.select(Math.max(0, Math.min(this.points.length - 1, (this.chosen ?? this.points.length - 1) + step)));
    });
    this.chosen = null;
  }

  draw(points, from, to, limit) {
    Object.assign(this, { points, from, to, limit });
    this.paint();
  }

  paint() {
    const { points, from, to, limit } = this;
    const width = Math.max(260, this.svg.clientWidth || 600);
    this.width = width;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    const values = this.series.flatMap((one) => points.map(one.value)).filter((value) => value !== null && value !== undefined);
    const top = ceiling(Math.max(...values, limit ? limit.value * 1.1 : 0, 0));
    const x = this.x = (at) => LEFT + (at - from) / (to - from) * (width - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - Math.min(value, top) / top * (HEIGHT - TOP - BOTTOM);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(top * share);
      parts.push(s('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: at, y2: at }),
        s('text', { class: 'axis end', x: LEFT - 6, y: at + 4 }, this.format(top * share)));
    }
    const step = timeStep(to - from);
    const zone = new Date(to).getTimezoneOffset() * 60000;
    for (let at = Math.ceil((from - zone) / step) * step + zone; at < to; at += step) {
      parts.push(s('line', { class: 'tick', x1: x(at), x2: x(at), y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }),
        s('text', { class: 'axis', x: x(at), y: HEIGHT - 5 }, clock(at, false)));
    }
    for (const one of this.series) {
      for (const path of this.paths(one, x, y)) parts.push(path);
    }
    this.limitName.hidden = !limit;
    if (limit) {
      setText(this.limitName.lastChild, limit.name);
      parts.push(s('line', { class: 'line dashed tone-limit', x1: LEFT, x2: width - RIGHT, y1: y(limit.value), y2: y(limit.value) }));
    }
    this.hair = s('line', { class: 'hair', y1: TOP, y2: HEIGHT - BOTTOM, x1: -9, x2: -9 });
    setText(this.titleText, `${this.title}. ${this.words(points.length - 1)}`);
    this.svg.replaceChildren(this.titleText, ...parts, this.hair);
    this.select(this.chosen);
  }

  paths(one, x, y) {
    const runs = [];
    let run = [];
    const gap = 3.5 * (this.points.length > 1 ? this.points[1].at - this.points[0].at : 1);
    let last = null;
    for (const point of this.points) {
      const value = one.value(point);
      const at = one.at ? one.at(point) : point.at;
      if (value === null || value === undefined || at > this.to || (last !== null && point.at - last > gap)) {
        if (run.length) runs.push(run);
        run = [];
      }
      last = point.at;
      if (value !== null && value !== undefined && at <= this.to && at >= this.from) run.push([x(at), y(value)]);
    }
    if (run.length) runs.push(run);
    return runs.flatMap((points) => {
      let path = '';
      points.forEach(([px, py], index) => {
        if (!index) path = `M${px.toFixed(1)} ${py.toFixed(1)}`;
        else path += one.kind.includes('step') || one.kind === 'area' ? `H${px.toFixed(1)}V${py.toFixed(1)}` : `L${px.toFixed(1)} ${py.toFixed(1)}`;
      });
      if (points.length === 1 && one.kind !== 'area') return [s('circle', { class: `point tone-${one.tone}`, cx: points[0][0].toFixed(1), cy: points[0][1].toFixed(1), r: 2.2 })];
      if (points.length === 1) path += 'h1.5';
      const line = s('path', { class: `line ${one.kind} tone-${one.tone}`, d: path });
      if (one.kind !== 'area') return [line];
      const end = points[points.length - 1][0].toFixed(1);
      return [s('path', { class: `fill tone-${one.tone}`, d: `${path}L${end} ${HEIGHT - BOTTOM}L${points[0][0].toFixed(1)} ${HEIGHT - BOTTOM}Z` }), line];
    });
  }

  point(px) {
    if (!this.points.length) return;
    const at = this.from + (px * this.width / (this.svg.clientWidth || this.width) - LEFT) / (this.width - LEFT - RIGHT) * (this.to - this.from);
    let best = 0;
    this.points.forEach((point, index) => { if (Math.abs(point.at - at) < Math.abs(this.points[best].at - at)) best = index; });
    this.select(best);
  }

  select(index) {
    this.chosen = index === null || index >= this.points.length ? null : index;
    if (!this.hair) return;
    const px = this.chosen === null ? -9 : this.x(this.points[this.chosen].at);
    this.hair.setAttribute('x1', px);
    this.hair.setAttribute('x2', px);
    setText(this.read, this.words(this.chosen ?? this.points.length - 1));
  }

  words(index) {
    const point = this.points[index];
    if (!point) return 'Nothing is recorded yet: the first point comes within ten seconds.';
    return `${clock(point.at)} · ${this.series.map((one) => `${one.name} ${this.format(one.value(point))}`).join(' · ')}`;
  }
}
