// The page's frame: views by the address' hash, theme, and the state of the connection.

import { forgetKey, key } from './api.js';
import { clock, h, setText } from './dom.js';
import { follow, live, onLive, queueNames } from './live.js';
import { showJob } from './job.js';
import { showJobs } from './jobs.js';
import { showNow } from './now.js';
import { showReference } from './reference.js';
import { showTime } from './time.js';
import { showTry } from './try.js';

const VIEWS = [['now', 'Now', showNow], ['time', 'Time', showTime], ['jobs', 'Jobs', showJobs], ['try', 'Try', showTry],
  ['api', 'API', showReference]];
const view = document.getElementById('view');
const notice = document.getElementById('notice');
const tabs = new Map(VIEWS.map(([name, title]) => [name, h('a', { href: `#/${name}` }, title)]));
document.getElementById('tabs').append(...tabs.values());

let leaving = new AbortController();
let first = true;

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function show() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, argument] = path.split('/');
  const known = VIEWS.find(([one]) => one === name) || VIEWS[0];
  leaving.abort();
  leaving = new AbortController();
  for (const [one, tab] of tabs) {
    if (one === known[0]) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  document.title = `${known[1]} · Leadtime`;
  view.replaceChildren();
  view.className = `view-${known[0]}`;
  const parameters = new URLSearchParams(query);
  if (known[0] === 'jobs' && argument) showJob(view, decoded(argument), leaving.signal);
  else known[2](view, parameters, leaving.signal);
  if (!first) view.focus({ preventScroll: true });
  first = false;
  scrollTo(0, 0);
}

// theme: as the system has it, unless one was chosen

const THEMES = ['auto', 'light', 'dark'];
const themeButton = h('button', { type: 'button', class: 'quiet small', onclick: () => setTheme(THEMES[(THEMES.indexOf(theme()) + 1) % 3]) });

function theme() {
  return localStorage.getItem('leadtime-theme') || 'auto';
}

function setTheme(name) {
  localStorage.setItem('leadtime-theme', name);
  if (name === 'auto') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.dataset.theme = name;
  setText(themeButton, { auto: '◐ Auto', light: '☀ Light', dark: '☾ Dark' }[name]);
  themeButton.setAttribute('aria-label', `Theme: ${name}`);
  themeButton.title = 'Theme: as the system has it, light or dark';
  document.dispatchEvent(new CustomEvent('theme'));
}

// which queue the views show, if there are several

export function chosenQueue() {
  const names = queueNames();
  const chosen = sessionStorage.getItem('leadtime-queue');
  return names.length < 2 ? '' : names.includes(chosen) ? chosen : names[0];
}

const queues = h('select', { 'aria-label': 'Queue', hidden: true, onchange: () => {
  sessionStorage.setItem('leadtime-queue', queues.value);
  show();
} });
const state = h('span', { class: 'state' });
const keyButton = h('button', { type: 'button', class: 'quiet small', hidden: true, onclick: () => { forgetKey(); location.reload(); } }, 'Forget key');
document.getElementById('bar-end').append(queues, state, keyButton, themeButton);

let shownQueues = '';
let wasAway = false;

// What is shown while it can't be kept up to date.
function trouble() {
  if (live.state === 'away') return `The gateway can't be reached${live.now ? `: what is shown is of ${clock(live.now)}` : ''}. The page goes on by itself.`;
  if (live.state === 'live' && !live.reachable) return 'The gateway can\'t reach its server: what is shown is of before. The page goes on by itself.';
  return '';
}

function frame() {
  const words = live.state === 'live' ? (live.reachable ? 'live' : 'no server') : live.state === 'away' ? 'reconnecting' : 'connecting';
  setText(state, words);
  state.className = `state ${words === 'live' ? 'ok' : 'bad'}`;
  setText(notice, trouble());
  notice.hidden = !notice.textContent;
  if (wasAway && live.state === 'live') document.dispatchEvent(new CustomEvent('back'));
  wasAway = live.state === 'away';
  keyButton.hidden = !key();
  const names = queueNames();
  if (names.join() !== shownQueues) {
    shownQueues = names.join();
    queues.hidden = names.length < 2;
    queues.replaceChildren(...names.map((name) => h('option', { value: name }, name)));
    if (names.length > 1) {
      queues.value = chosenQueue();
      show();
    }
  }
}

setTheme(theme());
addEventListener('hashchange', show);
onLive(frame, new AbortController().signal);
show();
follow();
