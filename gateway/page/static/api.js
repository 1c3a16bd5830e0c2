// Requests to the gateway that served this page, with the API key if it asks for one.

import { h } from './dom.js';

const KEY = 'leadtime-key';
const AGAIN_MS = 300;
export const base = new URL('.', document.baseURI);

export function url(path) {
  return new URL(path.replace(/^\//, ''), base).href;
}

export function key() {
  return sessionStorage.getItem(KEY) || '';
}

export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || `the gateway answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

let asking = null;

function askForKey(detail, isWrong) {
  asking ||= new Promise((resolve) => {
    const input = h('input', { type: 'password', id: 'api-key', autocomplete: 'off', required: true, spellcheck: 'false', pattern: '[ -~]+', title: 'Letters, digits and signs of ASCII' });
    const form = h('form', { method: 'dialog' },
      h('h2', {}, 'API key'),
      h('p', isWrong ? { class: 'error', role: 'alert' } : { class: 'muted' }, detail),
      h('label', { for: 'api-key' }, 'Key'), input,
      h('p', { class: 'muted small' }, 'It stays in this tab, and is forgotten when the tab is closed.'),
      h('div', { class: 'row end' }, h('button', { class: 'primary' }, 'Use it')));
    const dialog = h('dialog', { 'aria-label': 'API key' }, form);
    dialog.addEventListener('cancel', (event) => event.preventDefault());
    form.addEventListener('submit', () => {
      sessionStorage.setItem(KEY, input.value.trim());
      dialog.close();
      dialog.remove();
      asking = null;
      document.dispatchEvent(new CustomEvent('key'));
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

async function reached(address, options) {
  // A change of the machine's networks cuts what is under way: what changes nothing is asked once more.
  for (let isLast = Boolean(options.method); ; isLast = true) {
    try {
      return await fetch(address, options);
    } catch (problem) {
      if (problem.name === 'AbortError') throw problem;
      if (isLast) throw new ApiError(0, { detail: 'The gateway can\'t be reached.' });
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

// Whether it may be there later.
export function isAway(problem) {
  return problem.status === 0 || problem.status === 503;
}

export async function request(path, options = {}) {
  for (;;) {
    const headers = new Headers(options.headers);
    if (key()) headers.set('Authorization', `Bearer ${key()}`);
    const response = await reached(url(path), { ...options, headers });
    if (response.ok) return response;
    let problem = {};
    try { problem = await response.json(); } catch { /* no problem document */ }
    if (response.status !== 401) throw new ApiError(response.status, problem);
    const isWrong = Boolean(key());
    forgetKey();
    await askForKey(isWrong ? `This key can't be used: ${problem.detail || 'the gateway refuses it'}.` : 'This gateway asks for an API key.', isWrong);
  }
}

export async function json(path, options) {
  return (await request(path, options)).json();
}

// JSON whose numbers keep their digits, of which JavaScript's have 16; older browsers can't.
export function exact(text) {
  if (!JSON.rawJSON) return JSON.parse(text);
  return JSON.parse(text, (_, value, { source }) => (typeof value === 'number' && String(value) !== source ? JSON.rawJSON(source) : value));
}

export async function exactJson(path, options) {
  return exact(await (await request(path, options)).text());
}

// Server-sent events of a response: fetch sends headers, which EventSource can't.
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split('\n\n');
    rest = parts.pop();
    for (const part of parts) {
      const event = { id: '', kind: 'message', data: '' };
      for (const line of part.split('\n')) {
        if (line.startsWith('id: ')) event.id = line.slice(4);
        else if (line.startsWith('event: ')) event.kind = line.slice(7);
        else if (line.startsWith('data: ')) event.data += line.slice(6);
      }
      if (event.data) yield event;
    }
  }
}

export function withQueue(path, queue) {
  return queue ? `${path}${path.includes('?') ? '&' : '?'}queue=${encodeURIComponent(queue)}` : path;
}
