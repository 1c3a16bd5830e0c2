// The one connection that the page listens to: the overview of all queues, and what changes in it.

import { eventsOf, request } from './api.js';

export const live = { now: 0, seen: 0, state: 'connecting', queues: {}, reachable: true };
const listeners = new Set();

export function onLive(listener, signal) {
  listeners.add(listener);
  signal.addEventListener('abort', () => listeners.delete(listener));
  listener();
}

export function serverNow() {
  return live.now ? live.now + (performance.now() - live.seen) : Date.now();
}

export function queueNames() {
  return Object.keys(live.queues);
}

// RFC 7396
function merged(target, patch) {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const result = target !== null && typeof target === 'object' && !Array.isArray(target) ? target : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

let drawing = false;

function tell() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    // A listener may leave the view that others of these draw.
    for (const listener of [...listeners]) if (listeners.has(listener)) listener();
  });
}

function take(event) {
  const document = JSON.parse(event.data);
  if (event.kind === 'overview') Object.assign(live, { queues: document.queues, reachable: document.reachable });
  else merged(live, document.patch);
  live.now = document.now;
  live.seen = performance.now();
  live.state = 'live';
  tell();
}

export async function follow() {
  let pause = 500;
  for (;;) {
    try {
      const response = await request('overview', { headers: { Accept: 'text/event-stream' }, cache: 'no-store' });
      for await (const event of eventsOf(response)) {
        take(event);
        pause = 500;
      }
    } catch { /* comes again below */ }
    live.state = 'away';
    tell();
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(10000, pause * 2);
  }
}
