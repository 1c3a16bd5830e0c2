// Try: a form of the model's schema, the result as it streams, and the same call to copy.

import { eventsOf, exact, json, key, request, url, withQueue } from './api.js';
import { copyable, duration, h, setText, toast } from './dom.js';
import { bodyOf, fieldOf, isFile, resolved } from './form.js';
import { errorView, streamed } from './job.js';
import { live, serverNow } from './live.js';
import { badge } from './jobs.js';
import { chosenQueue } from './main.js';
import { curl, inPython } from './snippets.js';
import { partsOf, showValue, textOf } from './value.js';

const STATUS_MEMBERS = ['id', 'status', 'attempts', 'queued', 'started', 'finished', 'error', 'ahead', 'progress', 'due', 'tag', 'priority', 'latency', 'warnings'];
const DRAFT = 'leadtime-draft';

function anyField(takesFiles) {
  const kind = h('select', { id: 'kind' }, h('option', { value: 'text' }, 'Text'), h('option', { value: 'json' }, 'JSON'),
    takesFiles ? h('option', { value: 'file' }, 'File') : null);
  const text = h('textarea', { id: 'input', rows: 5, spellcheck: 'false', 'aria-label': 'Input' });
  const file = h('input', { type: 'file', hidden: true, 'aria-label': 'File' });
  text.value = sessionStorage.getItem(DRAFT) ?? 'hello';
  kind.addEventListener('change', () => {
    text.hidden = kind.value === 'file';
    file.hidden = !text.hidden;
    text.classList.toggle('mono', kind.value === 'json');
  });
  return {
    element: h('div', { class: 'fields' }, h('div', { class: 'field' }, h('label', { for: 'kind' }, 'Input as'), kind), h('div', { class: 'field' }, text, file)),
    read: () => {
      if (kind.value === 'file') {
        if (!file.files[0]) throw new Error('choose a file');
        return file.files[0];
      }
      sessionStorage.setItem(DRAFT, text.value);
      if (kind.value === 'text') {
        if (!text.value) throw new Error('the input is empty');
        return text.value;
      }
      try { return exact(text.value); } catch (error) { throw new Error(`this is no JSON: ${error.message}`); }
    },
  };
}

function waitsFor() {
  const queue = live.queues[chosenQueue()] || Object.values(live.queues)[0];
  if (!queue) return 'Queued.';
  const workers = Object.values(queue.workers);
  if (!workers.length) return 'Queued: there is no worker yet.';
  if (workers.every((worker) => worker.state === 'starting')) {
    const startup = queue.scaler && queue.scaler.startup_s;
    const oldest = Math.max(...workers.map((worker) => (serverNow() - worker.since) / 1000));
    return `Queued: the worker loads its model, for ${duration(Math.floor(oldest))} so far${startup ? ` of about ${duration(startup)}` : ''}.`;
  }
  return `Queued: ${queue.waiting} wait, ${queue.running} run.`;
}

export async function showTry(view, _parameters, signal) {
  const form = h('form', { class: 'card', 'aria-label': 'Input' });
  const result = h('section', { class: 'card', 'aria-label': 'Result', 'aria-live': 'polite' }, h('h2', {}, 'Result'), h('p', { class: 'muted' }, 'It shows here as it comes.'));
  const calls = h('section', { class: 'card', 'aria-label': 'The same call' });
  view.append(h('h1', { class: 'hidden' }, 'Try'), h('div', { class: 'try' }, h('div', {}, form, calls), result));
  let description;
  try {
    description = await json(withQueue('openapi.json', chosenQueue()), { signal });
  } catch (problem) {
    if (!signal.aborted) form.append(h('p', { class: 'error' }, problem.message));
    return;
  }
  if (signal.aborted) return;
  const content = description.paths['/push'].post.requestBody.content;
  const schema = resolved(content['application/json'] && content['application/json'].schema, description);
  const takesFiles = 'multipart/form-data' in content;
  const isKnown = Boolean(schema.type || schema.enum || schema.properties || isFile(schema));
  const field = isKnown ? fieldOf('input', schema, description, true) : anyField(takesFiles);
  const send = h('button', { class: 'primary' }, 'Run');
  const stop = h('button', { type: 'button', class: 'danger', hidden: true }, 'Cancel');
  const wrong = h('div', { class: 'error', hidden: true, role: 'alert' });
  if (!isKnown) form.append(h('p', { class: 'muted small' }, 'The model takes any JSON value.'));
  form.prepend(h('h2', {}, 'Input'));
  form.append(field.element, wrong, h('div', { class: 'row' }, send, stop, h('span', { class: 'muted small' }, 'Ctrl Enter')));
  form.noValidate = true;
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const address = url(withQueue('push', chosenQueue()));
  const drawCalls = () => {
    let value;
    try { value = field.read(); } catch { return; }
    calls.replaceChildren(h('h2', {}, 'The same call'), h('h3', {}, 'curl'), copyable(curl(address, value, Boolean(key())), 'curl'),
      h('h3', {}, 'Python'), copyable(inPython(address, value, Boolean(key())), 'Python'));
  };
  form.addEventListener('input', drawCalls);
  drawCalls();
  let running = new AbortController();
  signal.addEventListener('abort', () => running.abort());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    let push;
    try {
      push = bodyOf(field.read());
    } catch (problem) {
      wrong.hidden = false;
      setText(wrong, problem.message);
      return;
    }
    running.abort();
    running = new AbortController();
    await run(push, running.signal);
  });

  async function run({ body, headers }, ending) {
    const state = h('p', { class: 'row' });
    const place = h('div', {});
    const began = performance.now();
    let isQueued = true;
    result.replaceChildren(h('h2', {}, 'Result'), state, place);
    const draw = (words) => state.replaceChildren(badge(isQueued ? 'queued' : 'processing'), h('span', { class: 'muted' }, words));
    const tick = () => draw(`${isQueued ? waitsFor() : 'Running.'} ${duration(Math.floor((performance.now() - began) / 1000))}`);
    draw('Pushing …');
    send.disabled = true;
    let timer = 0;
    try {
      const response = await request(withQueue('push', chosenQueue()), { method: 'POST', body, headers: { ...headers, Accept: 'text/event-stream' }, signal: ending });
      const id = (response.headers.get('Location') || '').split('/').pop();
      result.firstChild.append(' ', h('a', { class: 'mono small', href: `#/jobs/${encodeURIComponent(id)}` }, `${id.slice(0, 12)}…`));
      stop.hidden = false;
      stop.onclick = () => request(`cancel/${encodeURIComponent(id)}`, { method: 'POST' }).catch((problem) => toast(problem.message, true));
      timer = setInterval(async () => {
        if (isQueued && Math.floor((performance.now() - began) / 1000) % 2 === 0) {
          try {
            const job = await json(`status/${encodeURIComponent(id)}`, { signal: ending });
            isQueued = job.status === 'queued' || job.status === 'scheduled';
          } catch { /* the end says it */ }
        }
        if (timer) tick();
      }, 1000);
      tick();
      const take = streamed(place);
      let end = null;
      for await (const one of eventsOf(response)) {
        isQueued = false;
        end = take(one) || end;
      }
      clearInterval(timer);
      timer = 0;
      if (end) drawEnd(end, id, state, place, began);
      else draw('The connection ended before the job: its own page goes on.');
    } catch (problem) {
      if (ending.aborted) return;
      state.replaceChildren(badge('failed'), h('span', {}, problem.message));
      for (const fault of (problem.problem && problem.problem.errors) || []) place.append(h('p', { class: 'error' }, `${fault.pointer || 'input'}: ${fault.detail}`));
    } finally {
      clearInterval(timer);
      timer = 0;
      send.disabled = false;
      stop.hidden = true;
    }
  }

  function drawEnd(end, id, state, place, began) {
    const { job, output } = partsOf(end, id, STATUS_MEMBERS);
    const seconds = job.latency === undefined ? (performance.now() - began) / 1000 : Number(textOf(job.latency));
    state.replaceChildren(badge(job.status), h('span', { class: 'muted' }, `after ${duration(seconds)}`));
    if (job.error) place.append(errorView(job.error));
    if (job.status === 'finished') {
      for (const old of place.querySelectorAll('.partial')) old.remove();
      place.prepend(showValue(output, 'Output'));
    }
  }
}
