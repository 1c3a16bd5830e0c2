// Jobs: a list with filters that follows what is new, and the dead letters by their kinds.

import { isAway, json, withQueue } from './api.js';
import { confirmed, duration, h, toast } from './dom.js';
import { serverNow } from './live.js';
import { chosenQueue } from './main.js';

const STATUSES = ['scheduled', 'queued', 'processing', 'finished', 'failed', 'cancelled'];
const TIMES = [['', 'any time'], ['600', 'last 10 minutes'], ['3600', 'last hour'], ['86400', 'last day']];
const PAGE = 100;
const REFRESH_MS = 3000;

export function badge(status) {
  return h('span', { class: `badge ${status}` }, status);
}

export function ago(text) {
  if (!text) return '–';
  const seconds = Math.max(0, serverNow() - Date.parse(text)) / 1000;
  const [size, unit] = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']].find(([one]) => seconds >= one) || [0];
  return size ? `${Math.floor(seconds / size)} ${unit} ago` : 'now';
}

export function took(job) {
  if (!job.started || !job.finished) return '–';
  return duration((Date.parse(job.finished) - Date.parse(job.started)) / 1000);
}

function said({ fraction, text }) {
  return [typeof fraction === 'number' ? `${Math.round(fraction * 100)} %` : '', text].filter(Boolean).join(' · ');
}

function row(job) {
  return h('tr', {},
    h('td', {}, h('a', { href: `#/jobs/${encodeURIComponent(job.id)}`, class: 'mono' }, job.id.slice(0, 12), job.id.length > 12 ? '…' : '')),
    h('td', {}, badge(job.status)),
    h('td', { title: job.queued }, ago(job.queued)),
    h('td', { class: 'wide' }, job.started ? duration(Math.max(0, Date.parse(job.started) - Date.parse(job.queued)) / 1000) : '–'),
    h('td', { class: 'wide' }, took(job)),
    h('td', { class: 'num wide' }, job.attempts),
    h('td', { class: 'detail' }, job.error ? `${job.error.type}: ${job.error.message}` : job.progress ? said(job.progress)
      : job.tag ? `#${job.tag}` : job.ahead !== null ? `${job.ahead} ahead` : ''));
}

export function showJobs(view, parameters, signal) {
  const status = h('select', { id: 'filter-status' }, h('option', { value: '' }, 'any status'),
    STATUSES.map((one) => h('option', { value: one }, one)), h('option', { value: 'dead' }, 'dead letters'));
  const tag = h('input', { id: 'filter-tag', type: 'search', placeholder: 'any tag', size: 14, spellcheck: 'false' });
  const time = h('select', { id: 'filter-time' }, TIMES.map(([value, label]) => h('option', { value }, label)));
  const open = h('input', { id: 'filter-id', type: 'search', placeholder: 'id of a job', size: 20, spellcheck: 'false' });
  status.value = parameters.get('status') || '';
  tag.value = parameters.get('tag') || '';
  time.value = parameters.get('seconds') || '';
  const place = h('div', {});
  const openForm = h('form', { class: 'field' }, h('label', { for: 'filter-id' }, 'Open a job'), open);
  openForm.addEventListener('submit', (event) => {
    event.preventDefault();
    if (open.value.trim()) location.hash = `#/jobs/${encodeURIComponent(open.value.trim())}`;
  });
  view.append(h('h1', { class: 'hidden' }, 'Jobs'), h('div', { class: 'filters' },
    h('div', { class: 'field' }, h('label', { for: 'filter-status' }, 'Status'), status),
    h('div', { class: 'field' }, h('label', { for: 'filter-tag' }, 'Tag'), tag),
    h('div', { class: 'field' }, h('label', { for: 'filter-time' }, 'Pushed'), time), openForm), place);
  const change = () => {
    const chosen = new URLSearchParams(Object.entries({ status: status.value, tag: tag.value.trim(), seconds: time.value }).filter(([, value]) => value));
    history.replaceState(null, '', `#/jobs${String(chosen) ? `?${chosen}` : ''}`);
    draw();
  };
  for (const one of [status, tag, time]) one.addEventListener('change', change);
  let inner = new AbortController();
  signal.addEventListener('abort', () => inner.abort());
  const draw = () => {
    inner.abort();
    inner = new AbortController();
    place.replaceChildren();
    if (status.value === 'dead') showLetters(place, inner.signal);
    else showList(place, status.value, tag.value.trim(), Number(time.value), inner.signal);
  };
  draw();
}

function showList(place, status, tag, seconds, signal) {
  const body = h('tbody', {});
  const note = h('p', { class: 'empty', hidden: true });
  const more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => load(false) }, 'Older jobs');
  place.append(h('div', { class: 'table list' }, h('table', {}, h('caption', { class: 'hidden' }, 'Jobs, newest first'),
    h('thead', {}, h('tr', {}, ['Job', 'Status', 'Pushed', 'Waited', 'Took', 'Attempts', 'Detail'].map((name, index) =>
      h('th', { scope: 'col', class: { 3: 'wide', 4: 'wide', 5: 'num wide' }[index] }, name)))), body)), note, more);
  let next = '';
  let pages = 0;
  const load = async (isAnew) => {
    const query = new URLSearchParams({ limit: PAGE });
    if (status) query.set('status', status);
    if (tag) query.set('tag', tag);
    if (!isAnew && next) query.set('before', next);
    try {
      const page = await json(withQueue(`jobs?${query}`, chosenQueue()), { signal });
      const oldest = seconds ? serverNow() - seconds * 1000 : 0;
      const shown = page.jobs.filter((job) => Date.parse(job.queued) >= oldest);
      const isOver = shown.length < page.jobs.length;
      if (isAnew) body.replaceChildren();
      body.append(...shown.map(row));
      next = isOver ? '' : page.next;
      pages = isAnew ? 1 : pages + 1;
      more.hidden = !next;
      note.hidden = body.children.length > 0;
      note.textContent = next ? 'None among the newest jobs: look at older ones.' : 'No jobs here. A job that you push under Try shows up at once.';
    } catch (error) {
      if (signal.aborted) return;
      note.hidden = false;
      note.textContent = error.message;
    }
  };
  load(true);
  // Only the first page follows what is new: a reader of older jobs is left in peace, and so is the keyboard's place.
  const timer = setInterval(() => {
    if (pages <= 1 && !document.hidden && !body.contains(document.activeElement)) load(true);
  }, REFRESH_MS);
  signal.addEventListener('abort', () => clearInterval(timer));
}

async function showLetters(place, signal) {
  const kinds = h('div', { class: 'kinds' });
  const list = h('tbody', {});
  const note = h('p', { class: 'empty', hidden: true });
  const more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => load() }, 'Older ones');
  place.append(h('p', { class: 'muted' }, 'Failed jobs whose inputs are kept. A job that is put back runs again under its id, with all of its attempts.'),
    kinds, h('div', { class: 'table list letters' }, h('table', {}, h('caption', { class: 'hidden' }, 'Dead letters, newest first'),
      h('thead', {}, h('tr', {}, ['Job', 'Failed', 'Attempts', 'Error', ''].map((name) => h('th', { scope: 'col', class: { Attempts: 'num wide', Error: 'detail' }[name] }, name || h('span', { class: 'hidden' }, 'Action'))))), list)), note, more);
  const counts = new Map();
  let next = '';
  const load = async () => {
    try {
      const page = await json(withQueue(`dead-letters${next ? `?before=${next}` : ''}`, chosenQueue()), { signal });
      for (const letter of page.letters) {
        counts.set(letter.error.type, (counts.get(letter.error.type) || 0) + 1);
        list.append(letterRow(letter));
      }
      next = page.next;
      more.hidden = !next;
      note.hidden = list.children.length > 0;
      note.textContent = 'No dead letters.';
      kinds.replaceChildren(...[...counts].map(([kind, count]) => h('button', { type: 'button', class: 'quiet', onclick: () => requeueAll(kind) },
        `Requeue all ${kind} (${count}${next ? '+' : ''})`)));
    } catch (error) {
      if (signal.aborted) return;
      note.hidden = false;
      note.textContent = error.message;
      if (isAway(error) && !next) document.addEventListener('back', load, { once: true, signal });
    }
  };
  const requeueAll = async (kind) => {
    if (!(await confirmed(`Run all dead letters of the kind ${kind} again?`, 'Requeue all'))) return;
    try {
      const { requeued } = await json(withQueue(`dead-letters/requeue?type=${encodeURIComponent(kind)}`, chosenQueue()), { method: 'POST' });
      toast(`${requeued} job${requeued === 1 ? '' : 's'} put back.`);
      place.replaceChildren();
      showLetters(place, signal);
    } catch (error) {
      toast(error.message, true);
    }
  };
  load();
}

function letterRow(letter) {
  const element = h('tr', {},
    h('td', {}, h('a', { href: `#/jobs/${encodeURIComponent(letter.id)}`, class: 'mono' }, `${letter.id.slice(0, 12)}…`)),
    h('td', { title: letter.failed }, ago(letter.failed)),
    h('td', { class: 'num wide' }, letter.attempts),
    h('td', { class: 'detail' }, h('strong', {}, letter.error.type), ` ${letter.error.message}`),
    h('td', {}, h('button', { type: 'button', class: 'quiet small', 'aria-label': `Requeue ${letter.id}`, onclick: async () => {
      try {
        await json(`retry/${encodeURIComponent(letter.id)}`, { method: 'POST' });
        toast('The job is put back.');
        element.remove();
      } catch (error) {
        toast(error.message, true);
      }
    } }, 'Requeue')));
  return element;
}
