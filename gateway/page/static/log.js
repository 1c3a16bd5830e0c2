// The lines that a job's model has written: as they come, and all that are kept as a file.

import { json } from './api.js';
import { h, toast } from './dom.js';

const MOST_LINES = 500;

async function allLines(path, signal) {
  const lines = [];
  let after = '';
  for (;;) {
    const page = await json(`jobs/${path}/logs${after ? `?after=${encodeURIComponent(after)}` : ''}`, { signal });
    lines.push(...page.lines);
    if (!page.next || !page.lines.length) return lines;
    after = page.next;
  }
}

async function save(id, path, signal) {
  try {
    const lines = (await allLines(path, signal)).map((line) => `${line.text}\n`);
    const file = URL.createObjectURL(new Blob(lines, { type: 'text/plain' }));
    h('a', { href: file, download: `${id}.log` }).click();
    URL.revokeObjectURL(file);
  } catch (problem) {
    if (!signal.aborted) toast(problem.message, true);
  }
}

export function jobLog(id, signal) {
  const lines = h('ol', {});
  const region = h('div', { class: 'log', tabindex: 0, role: 'region', 'aria-label': 'Lines of the log', hidden: true }, lines);
  const note = h('p', { class: 'muted' });
  const button = h('button', { type: 'button', class: 'quiet small', hidden: true, onclick: () => save(id, encodeURIComponent(id), signal) }, 'Save as a file');
  const element = h('section', { class: 'card', 'aria-label': 'Log' }, h('div', { class: 'row between' }, h('h2', {}, 'Log'), button), region, note);
  let count = 0;
  const draw = (empty) => {
    region.hidden = button.hidden = count === 0;
    note.textContent = count === 0 ? empty : count > MOST_LINES ? `The last ${MOST_LINES} of ${count} lines.` : '';
    note.hidden = !note.textContent;
  };
  const clear = () => {
    count = 0;
    lines.replaceChildren();
    draw('No lines yet.');
  };
  clear();
  return {
    element,
    // A new attempt begins its log anew, as `GET /jobs/{id}/logs` does.
    take(event, value) {
      if (event.kind === 'begin') clear();
      if (event.kind !== 'log') return;
      const follows = region.scrollTop + region.clientHeight >= region.scrollHeight - 4;
      count += 1;
      lines.append(h('li', {}, h('span', { class: 'place' }, count), h('span', {}, typeof value === 'string' ? value : JSON.stringify(value))));
      if (count > MOST_LINES) lines.firstChild.remove();
      draw('');
      if (follows) region.scrollTop = region.scrollHeight;
    },
    end() { draw('The model has written no line with job.log(). What it prints is in the log of its worker.'); },
    clear,
  };
}
