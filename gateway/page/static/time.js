// Time: what has come, what was expected, what waited, and what the scaler had ready by then.

import { json, withQueue } from './api.js';
import { Chart } from './chart.js';
import { duration, h, number } from './dom.js';
import { chosenQueue } from './main.js';

const SPANS = [[900, '15 min'], [3600, '1 hour'], [21600, '6 hours'], [86400, '24 hours']];
const REFRESH_MS = 10000;
const LEAST_MS = 300000;

export function showTime(view, parameters, signal) {
  const span = h('select', { id: 'span' }, SPANS.map(([value, label]) => h('option', { value: String(value) }, label)));
  span.value = SPANS.some(([value]) => String(value) === parameters.get('seconds')) ? parameters.get('seconds') : '3600';
  const note = h('p', { class: 'empty', hidden: true });
  const charts = [
    new Chart('Arrivals', 'jobs per second; the forecast is drawn where it was for', [
      { name: 'pushed', kind: 'area', tone: 'a', value: (point) => point.arrivals },
      { name: 'ended', kind: 'line', tone: 'c', value: (point) => point.ended },
      { name: 'forecast', kind: 'dashed', tone: 'b', value: (point) => point.forecast, at: (point) => point.at + (point.lead_s || 0) * 1000 },
    ], number),
    new Chart('Workers', 'wanted by the scaler, ready, and on their way', [
      { name: 'ready', kind: 'area', tone: 'c', value: (point) => point.ready },
      { name: 'with starting', kind: 'step', tone: 'b', value: (point) => point.ready + point.starting },
      { name: 'wanted', kind: 'step dashed', tone: 'a', value: (point) => point.wanted },
    ], number),
    new Chart('Backlog', 'jobs', [
      { name: 'waiting', kind: 'area', tone: 'd', value: (point) => point.waiting },
      { name: 'running', kind: 'step', tone: 'c', value: (point) => point.running },
    ], number),
    new Chart('Latency', 'of jobs that ended, and how long they waited', [
      { name: 'latency p95', kind: 'line', tone: 'a', value: (point) => point.latency_p95_s },
      { name: 'latency p50', kind: 'line', tone: 'c', value: (point) => point.latency_p50_s },
      { name: 'wait p95', kind: 'line', tone: 'b', value: (point) => point.wait_p95_s },
    ], duration),
  ];
  view.append(h('h1', { class: 'hidden' }, 'Time'), h('div', { class: 'filters' },
    h('div', { class: 'field' }, h('label', { for: 'span' }, 'Last'), span)), note, h('div', { class: 'charts' }, charts.map((one) => one.element)));
  const draw = async () => {
    const seconds = Number(span.value);
    try {
      const history = await json(withQueue(`history?seconds=${seconds}`, chosenQueue()), { signal });
      note.hidden = true;
      // A service that is new would have its few minutes at the edge.
      const first = history.points.length ? history.points[0].at : history.now;
      const from = Math.max(history.now - seconds * 1000, Math.min(first, history.now - LEAST_MS));
      for (const chart of charts) {
        const limit = chart === charts[3] && history.objective_s ? { name: `objective of the wait: ${duration(history.objective_s)}`, value: history.objective_s } : null;
        chart.draw(history.points, from, history.now, limit);
      }
    } catch (problem) {
      if (signal.aborted) return;
      note.hidden = false;
      note.textContent = problem.message;
    }
  };
  span.addEventListener('change', () => {
    window.history.replaceState(null, '', `#/time?seconds=${span.value}`);
    draw();
  });
  addEventListener('resize', () => { for (const chart of charts) if (chart.from) chart.paint(); }, { signal });
  draw();
  const timer = setInterval(() => { if (!document.hidden) draw(); }, REFRESH_MS);
  signal.addEventListener('abort', () => clearInterval(timer));
}
