// One job: its timeline, input and output, its events as they come, and what can be done to it.

import { ApiError, eventsOf, exact, exactJson, isAway, json, request } from './api.js';
import { clock, confirmed, duration, h, setText, toast } from './dom.js';
import { badge, took } from './jobs.js';
import { jobLog } from './log.js';
import { partsOf, showValue, textOf } from './value.js';

const ENDS = ['finished', 'failed', 'cancelled'];
const MOST_EVENTS = 500;
const AGAIN_MS = 1000;
const HINTS = {
  AttemptsExhausted: 'The worker died during each attempt: out of memory, a crash of the process, or a node that went away.',
  Expired: 'No worker was free within the job\'s ttl. A retry gives it a new one.',
  FunctionNotFound: 'No worker that runs now has this function: deploy one that does, then retry.',
  InvalidInput: 'The model refused the input. A retry with the same input fails again.',
  JobTimeout: 'An attempt took longer than JOB_TIMEOUT_S, or than the push\'s timeout.',
  ModelCrashed: 'The model\'s process ended during the job: see the worker\'s log.',
  TimeoutError: 'An attempt took longer than JOB_TIMEOUT_S, or than the push\'s timeout.',
};

export function streamed(place, output, journal) {
  // Partial results and events: texts are joined as they come, all else is a line each. Log lines go to a journal if there is one.
  const partial = h('pre', { class: 'partial', hidden: true, tabindex: 0, role: 'region', 'aria-label': 'Output so far' });
  const log = h('ol', { class: 'events', 'aria-label': 'Events' });
  const bar = h('progress', { max: 1, hidden: true, 'aria-label': 'Progress' });
  const said = h('p', { class: 'muted', hidden: true });
  place.append(bar, said, partial, log);
  let isText = true;
  return (event) => {
    let value;
    try { value = (event.kind === 'progress' ? JSON.parse : exact)(event.data); } catch { value = event.data; }
    if (event.kind === 'progress' && value) {
      bar.hidden = typeof value.fraction !== 'number';
      if (!bar.hidden) bar.value = value.fraction;
      said.hidden = !value.text;
      setText(said, value.text);
    } else if (event.kind === 'partial' || event.kind === 'output') {
      isText &&= typeof value === 'string';
      partial.hidden = false;
      partial.append(isText ? value : `${textOf(value)}\n`);
      if (output) output(value);
    } else if (event.kind === 'end') {
      bar.hidden = true;
      said.hidden = true;
      return value;
    }
    if (event.kind === 'begin') { // what an attempt before has told is dropped
      partial.replaceChildren();
      partial.hidden = isText = true;
    }
    if (journal) journal.take(event, value);
    if (event.kind !== 'partial' && event.kind !== 'progress' && !(journal && event.kind === 'log')) {
      // An id has the time when the attempt began, and the event's number.
      const [began, number] = event.id.split('-');
      log.append(h('li', {}, h('time', {}, number === '0' ? clock(Number(began)) : number ? `#${number}` : ''), h('span', { class: 'kind' }, event.kind), h('span', {}, textOf(value))));
      if (log.children.length > MOST_EVENTS) log.firstChild.remove();
    }
    return null;
  };
}

export function errorView(error) {
  return h('div', { class: 'error', role: 'group', 'aria-label': 'Error' }, h('strong', {}, error.type), h('pre', {}, error.message),
    error.hint || HINTS[error.type] ? h('p', {}, error.hint || HINTS[error.type]) : null);
}

function stamp(at) {
  const day = new Date(at).toDateString() === new Date().toDateString() ? '' : new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  return day ? `${day} ${clock(at)}` : clock(at);
}

function timeline(job) {
  const queued = Date.parse(job.queued);
  const steps = [['pushed', queued, '']];
  if (job.due) steps.push(['due', Date.parse(job.due), '']);
  if (job.started) steps.push([job.attempts > 1 ? `attempt ${job.attempts}` : 'started', Date.parse(job.started), `waited ${duration(Math.max(0, Date.parse(job.started) - queued) / 1000)}`]);
  if (job.finished) steps.push([job.status, Date.parse(job.finished), job.started ? `took ${took(job)}` : '']);
  return h('ol', { class: 'timeline' }, steps.map(([name, at, note]) => h('li', { class: ENDS.includes(name) ? name : null },
    h('span', { class: 'step' }, name), h('time', { datetime: new Date(at).toISOString(), title: new Date(at).toISOString() }, stamp(at)), h('span', { class: 'muted' }, note))),
  ENDS.includes(job.status) ? null : h('li', { class: 'open' }, h('span', { class: 'step' }, job.status), h('span', { class: 'muted' },
    job.status === 'queued' ? `${job.ahead} ahead` : '')));
}

export function showJob(view, id, signal) {
  const head = h('div', { class: 'row between head' });
  const line = h('div', {});
  const error = h('div', {});
  const input = h('div', {});
  const output = h('div', {});
  const events = h('div', {});
  const journal = jobLog(id, signal);
  const missing = h('p', { class: 'empty', hidden: true });
  const parts = h('div', { class: 'job', hidden: true });
  view.append(h('p', { class: 'back' }, h('a', { href: '#/jobs' }, '← Jobs')), head, missing, parts);
  parts.append(
      h('section', { class: 'card', 'aria-label': 'Timeline' }, h('h2', {}, 'Timeline'), line, error),
      h('section', { class: 'card', 'aria-label': 'Input' }, h('h2', {}, 'Input'), input),
      h('section', { class: 'card', 'aria-label': 'Output' }, h('h2', {}, 'Output'), output),
      journal.element,
      h('section', { class: 'card', 'aria-label': 'Events' }, h('h2', {}, 'Events'), events));
  const path = encodeURIComponent(id);
  let hasInput = false;
  let hasOutput = false;
  let last = '';
  let isWaiting = false;
  let listening = null;
  const drawHead = (job) => {
    const act = (label, kind, method, where, done, question) => h('button', { type: 'button', class: kind, onclick: async () => {
      if (question && !(await confirmed(question, label))) return;
      try {
        await request(where, { method });
        toast(done);
        if (method === 'DELETE') location.hash = '#/jobs';
        else { hasOutput = false; await look(); listen(); }
      } catch (problem) {
        toast(problem.message, true);
      }
    } }, label);
    const actions = [];
    if (!ENDS.includes(job.status)) actions.push(act('Cancel', 'danger', 'POST', `cancel/${path}`, 'The job is cancelled.'));
    if (job.status === 'failed') actions.push(act('Retry', 'primary', 'POST', `retry/${path}`, 'The job runs again.'));
    actions.push(act('Delete', 'quiet', 'DELETE', `jobs/${path}`, 'The job is forgotten.', 'Forget this job, its input and its result?'));
    head.replaceChildren(h('h1', {}, h('span', { class: 'mono' }, id), badge(job.status), job.tag ? h('span', { class: 'tag' }, `#${job.tag}`) : null),
      h('div', { class: 'row' }, actions));
  };
  const look = async () => {
    let job;
    try {
      job = await json(`status/${path}`, { signal });
    } catch (problem) {
      if (signal.aborted) return null;
      if (isAway(problem)) {
        if (!isWaiting) document.addEventListener('back', start, { once: true, signal });
        isWaiting = true;
        if (last) return null;
      }
      missing.hidden = false;
      setText(missing, problem.message);
      parts.hidden = true;
      return null;
    }
    missing.hidden = true;
    parts.hidden = false;
    const key = JSON.stringify(job);
    if (key === last) return job;
    last = key;
    drawHead(job);
    line.replaceChildren(timeline(job));
    error.replaceChildren(...(job.error ? [errorView(job.error)] : []));
    if (job.status === 'finished' && !hasOutput) {
      hasOutput = hasInput = true;
      try {
        const found = partsOf(await exactJson(`data/${path}`, { signal }), id, ['id', 'latency', 'warnings']);
        const { input: given, job: { warnings } } = found;
        output.replaceChildren(showValue(found.output, 'Output'),
          warnings ? h('p', { class: 'muted' }, `Written with ${warnings.length} warnings: ${warnings.map((one) => `${one.pointer} ${one.detail}`).join('; ')}`) : '');
        input.replaceChildren(given === undefined || given === null ? h('p', { class: 'muted' }, 'not kept') : showValue(given, 'Input'));
      } catch (problem) {
        if (signal.aborted) return job;
        output.replaceChildren(h('p', { class: 'muted' }, problem.message));
        if (isAway(problem)) { hasOutput = hasInput = false; last = ''; }
      }
    } else if (job.status !== 'finished') {
      output.replaceChildren(h('p', { class: 'muted' }, ENDS.includes(job.status) ? 'There is none.' : 'Not yet.'));
      if (!hasInput) {
        hasInput = true;
        exactJson(`inputs/${path}`, { signal }).then(({ args }) => input.replaceChildren(showValue(args.length === 1 ? args[0] : args, 'Input')))
          .catch((problem) => {
            const text = problem.status === 404 && job.status === 'cancelled' ? 'The input of a cancelled job is not kept.' : problem.message;
            if (signal.aborted) return;
            input.replaceChildren(h('p', { class: 'muted' }, text));
            if (isAway(problem)) { hasInput = false; last = ''; }
          });
      }
    }
    return job;
  };
  const listen = async () => {
    if (listening) listening.abort();
    listening = new AbortController();
    const ending = listening.signal;
    events.replaceChildren();
    journal.clear();
    const take = streamed(events, null, journal);
    let after = '';
    for (let isOver = false; !isOver;) {
      try {
        const headers = { Accept: 'text/event-stream', ...(after ? { 'Last-Event-ID': after } : {}) };
        for await (const event of eventsOf(await request(`events/${path}`, { headers, signal: ending }))) {
          if (event.kind === 'cut') break;
          after = event.id || after;
          take(event);
          if (event.kind === 'begin') look();
          isOver ||= event.kind === 'end';
        }
      } catch (problem) {
        if (problem instanceof ApiError && !isAway(problem)) return;
      }
      if (!isOver) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      if (ending.aborted) return;
    }
    journal.end();
    await look();
    if (!events.querySelector('li') && events.querySelector('.partial[hidden]')) events.replaceChildren(h('p', { class: 'muted' }, 'The job told nothing: no progress, and no partial results.'));
  };
  const start = async () => {
    isWaiting = false;
    if (await look() && !listening) listen();
  };
  start();
  const timer = setInterval(() => { if (!document.hidden && !/"(finished|failed|cancelled)"/.test(last.slice(0, 200))) look(); }, 2000);
  signal.addEventListener('abort', () => {
    clearInterval(timer);
    if (listening) listening.abort();
  });
}
