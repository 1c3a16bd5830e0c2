// The first view: each queue's figures, its workers as dots, and what the scaler decided.

import { BudgetCard } from './budget.js';
import { duration, h, number, setText } from './dom.js';
import { live, onLive, serverNow } from './live.js';

const LONG_WAIT_S = 120;
const ORDER = { busy: 0, idle: 1, starting: 2, stopping: 3 };

function figure(label, hint) {
  const value = h('dd', {});
  const note = h('dd', { class: 'note' });
  return { value, note, element: h('div', { class: 'figure', title: hint }, h('dt', {}, label), value, note) };
}

class QueueCard {
  constructor(name) {
    this.figures = {
      waiting: figure('Waiting', 'jobs that no worker runs'),
      running: figure('Running', 'jobs that workers run'),
      oldest: figure('Oldest wait', 'how long the job waits that has waited longest'),
      rate: figure('Jobs/s', 'jobs that ended in the last minute'),
      p50: figure('Latency p50', 'from push to end, in the last five minutes'),
      p95: figure('Latency p95', 'from push to end, in the last five minutes'),
    };
    this.dots = h('ul', { class: 'dots', 'aria-label': `Workers of ${name}` });
    this.summary = h('p', { class: 'muted' });
    this.more = h('p', { class: 'muted' });
    this.empty = h('p', { class: 'muted', hidden: true });
    this.legend = legend();
    this.scaler = h('section', { class: 'scaler', 'aria-label': 'Scaler' });
    this.reason = h('p', { class: 'reason' });
    this.forecast = h('p', { class: 'muted' });
    this.scaler.append(h('h3', {}, 'Scaler'), this.reason, this.forecast);
    this.bars = new Map();
    this.element = h('section', { class: 'card queue' },
      h('div', { class: 'row between' }, h('h2', {}, name), this.more),
      h('dl', { class: 'figures' }, Object.values(this.figures).map((one) => one.element)),
      h('div', { class: 'columns' },
        h('section', { 'aria-label': 'Workers' }, h('div', { class: 'row between' }, h('h3', {}, 'Workers'), this.summary), this.dots, this.empty, this.legend),
        this.scaler));
  }

  draw(queue, now) {
    const f = this.figures;
    const scaler = queue.scaler;
    setText(f.waiting.value, number(queue.waiting));
    setText(f.running.value, number(queue.running));
    const age = queue.oldest_ms === undefined ? null : Math.max(0, (now - queue.oldest_ms) / 1000);
    const late = scaler && scaler.objective_s !== undefined && age > scaler.objective_s;
    setText(f.oldest.value, age === null ? 'none' : duration(age));
    f.oldest.element.classList.toggle('late', Boolean(late));
    setText(f.oldest.note, scaler && scaler.objective_s !== undefined ? `objective ${duration(scaler.objective_s)}` : '');
    setText(f.rate.value, number(queue.ended_per_s));
    setText(f.rate.note, queue.arrived_per_s === undefined ? '' : `${number(queue.arrived_per_s)} pushed/s`);
    setText(f.p50.value, duration(queue.latency_p50_s));
    setText(f.p95.value, duration(queue.latency_p95_s));
    setText(f.p95.note, queue.wait_p95_s === undefined ? '' : `wait p95 ${duration(queue.wait_p95_s)}`);
    this.drawMore(queue);
    this.drawScaler(scaler);
    this.drawWorkers(queue, now);
  }

  drawMore({ deferred, dead }) {
    const key = `${deferred}|${dead}`;
    if (key === this.lastMore) return;
    this.lastMore = key;
    const links = [];
    if (deferred) links.push(h('a', { href: '#/jobs?status=scheduled' }, `${number(deferred)} scheduled`));
    if (dead) links.push(h('a', { href: '#/jobs?status=dead' }, `${number(dead)} dead letter${dead === 1 ? '' : 's'}`));
    this.more.replaceChildren(...links.flatMap((link, place) => (place ? [' · ', link] : [link])));
  }

  drawScaler(scaler) {
    if (!scaler) {
      setText(this.reason, 'No scaler has decided anything: the number of workers is fixed.');
      setText(this.forecast, 'WORKERS=auto starts and stops workers as jobs come and go.');
      return;
    }
    setText(this.reason, `${scaler.replicas} worker${scaler.replicas === 1 ? '' : 's'}: ${scaler.reason}`);
    const parts = [];
    if (scaler.rate !== undefined) parts.push(`expects ${number(scaler.rate)} jobs/s in ${duration(scaler.lead_s)}`);
    if (scaler.startup_s !== undefined) parts.push(`a start takes ${duration(scaler.startup_s)}${ofStart(scaler)}`);
    if (scaler.service_s !== undefined) parts.push(`a job takes ${duration(scaler.service_s)}`);
    if (scaler.max_replicas !== undefined) parts.push(`at most ${scaler.max_replicas} workers`);
    setText(this.forecast, parts.join(' · '));
  }

  drawWorkers(queue, now) {
    const workers = Object.entries(queue.workers).sort(([a, one], [b, other]) =>
      (ORDER[one.state] ?? 4) - (ORDER[other.state] ?? 4) || (a < b ? -1 : 1));
    const counts = {};
    for (const [, worker] of workers) counts[worker.state] = (counts[worker.state] || 0) + 1;
    setText(this.summary, workers.length ? Object.entries(counts).map(([state, count]) => `${count} ${state}`).join(' · ') : 'none');
    this.dots.classList.toggle('many', workers.length > 24);
    this.empty.hidden = workers.length > 0;
    this.legend.hidden = !workers.length;
    if (!workers.length) setText(this.empty, whyNobody(queue, now));
    let place = 0;
    const left = new Set(this.bars.keys());
    for (const [id, worker] of workers) {
      left.delete(id);
      let dot = this.bars.get(id);
      if (!dot) this.bars.set(id, dot = new Dot(id));
      dot.draw(worker, now, queue.scaler);
      if (this.dots.children[place] !== dot.element) this.dots.insertBefore(dot.element, this.dots.children[place] || null);
      place += 1;
    }
    for (const id of left) {
      this.bars.get(id).element.remove();
      this.bars.delete(id);
    }
  }
}

function ofStart(scaler) {
  const took = Object.entries(scaler.startup_parts_s || {}).sort(([, one], [, other]) => other - one);
  return took.length ? ` (${took.map(([name, seconds]) => `${name} ${duration(seconds)}`).join(', ')})` : '';
}

function whyNobody(queue, now) {
  if (queue.scaler) return 'No worker is there. The scaler starts one when jobs come.';
  const waited = queue.oldest_ms >= 0 ? (now - queue.oldest_ms) / 1000 : 0;
  if (waited < LONG_WAIT_S) return 'No worker is there: jobs wait until one is started.';
  return `No worker is there, and a job has waited for ${duration(Math.floor(waited))}. On Kubernetes, kubectl get events --field-selector type=Warning says why pods don't start.`;
}

class Dot {
  constructor(id) {
    this.id = id;
    this.fill = h('span', { class: 'fill' });
    this.words = h('span', { class: 'words' });
    this.link = h('a', { class: 'dot-link' }, h('span', { class: 'dot', 'aria-hidden': 'true' }, this.fill), this.words);
    this.element = h('li', {}, this.link);
    this.last = '';
  }

  draw(worker, now, scaler) {
    const age = Math.max(0, (now - (worker.state === 'busy' ? worker.started || now : worker.since || now)) / 1000);
    let share = null;
    let words = worker.state;
    if (worker.state === 'starting') {
      const startup = scaler && scaler.startup_s;
      words = `starting ${duration(Math.floor(age))}`;
      if (startup) {
        share = Math.min(1, age / startup);
        words += age < startup ? `, ready in ${duration(Math.ceil(startup - age))}` : ', any moment';
      }
    } else if (worker.state === 'busy') {
      share = worker.fraction ?? null;
      words = `busy ${duration(Math.floor(age))}`;
      if (worker.fraction !== undefined) words += `, ${Math.round(worker.fraction * 100)} %`;
      if (worker.slots > 1) words += `, ${worker.running} of ${worker.slots}`;
      if (worker.text) words += ` · ${worker.text}`;
    } else if (worker.state === 'idle') {
      words = 'idle';
    }
    const percent = share === null ? '' : `${Math.round(share * 100)}%`;
    const key = `${worker.state}|${percent}|${words}|${worker.job || ''}`;
    if (key === this.last) return;
    this.last = key;
    this.element.className = worker.state;
    this.fill.style.height = share === null ? '100%' : percent;
    setText(this.words, words);
    this.link.title = `${this.id}: ${words}${worker.job ? `, job ${worker.job}` : ''}`;
    if (worker.job) this.link.href = `#/jobs/${encodeURIComponent(worker.job)}`;
    else this.link.removeAttribute('href');
  }
}

function legend() {
  return h('ul', { class: 'legend', 'aria-hidden': 'true' }, ['busy', 'idle', 'starting', 'stopping'].map((state) =>
    h('li', { class: state }, h('span', { class: 'dot' }, h('span', { class: 'fill' })), state)));
}

export function showNow(view, _parameters, signal) {
  const cards = new Map();
  const budget = new BudgetCard();
  const steps = firstSteps();
  const hint = h('p', { class: 'empty' }, 'Waiting for the first figures …');
  view.append(h('h1', { class: 'hidden' }, 'Now'), hint, budget.element, steps);
  const draw = () => {
    const now = serverNow();
    for (const [name, queue] of Object.entries(live.queues)) {
      let card = cards.get(name);
      if (!card) {
        cards.set(name, card = new QueueCard(name));
        hint.remove();
        steps.before(card.element);
        steps.hidden = false;
      }
      card.draw(queue, now);
    }
    budget.draw(live.queues);
  };
  onLive(draw, signal);
  const timer = setInterval(draw, 1000);
  signal.addEventListener('abort', () => clearInterval(timer));
}

function firstSteps() {
  return h('p', { class: 'first-steps', hidden: true }, h('a', { class: 'button primary', href: '#/try' }, 'Try a job'),
    h('a', { class: 'button quiet', href: '#/jobs' }, 'See all jobs'));
}
