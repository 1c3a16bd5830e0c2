// A value of a job, shown: JSON as text, files as images or links, large texts cut until they are wanted.

import { key, request, url } from './api.js';
import { bytes, h, toast } from './dom.js';

const MOST_CHARS = 20000;
const MOST_SHOWN_CHARS = 2e6;
const MOST_IMAGE_BYTES = 20e6;
const OWN_FILE = /^(\/[A-Za-z0-9._~-]+)*\/(files|uploads)\//;
const IMAGE = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;
const DATA_IMAGE = /^data:image\/(png|jpeg|gif|webp|avif|bmp);base64,[A-Za-z0-9+/=]+$/;

function isFile(value) {
  return value !== null && typeof value === 'object' && typeof value.url === 'string' && typeof value.content_type === 'string';
}

function filesIn(value, found = [], depth = 0) {
  if (found.length >= 20 || depth > 8 || value === null) return found;
  if (typeof value === 'string') {
    if (DATA_IMAGE.test(value)) found.push({ url: value, content_type: value.slice(5, value.indexOf(';')), isData: true });
  } else if (typeof value === 'object') {
    if (isFile(value)) found.push(value);
    else for (const member of Object.values(value)) filesIn(member, found, depth + 1);
  }
  return found;
}

// The path of a file at this gateway; empty for a file that is elsewhere, which is never fetched by this page.
function ownPath(file) {
  return OWN_FILE.test(file.url) ? file.url.slice(file.url.search(/\/(files|uploads)\//)) : '';
}

async function download(file) {
  try {
    const blob = await (await request(ownPath(file))).blob();
    const link = h('a', { href: URL.createObjectURL(blob), download: file.name || file.url.split('/').pop() });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (error) {
    toast(`The file can't be fetched: ${error.message}`, true);
  }
}

function image(file, label) {
  const picture = h('img', { alt: label, loading: 'lazy' });
  if (file.isData) picture.src = file.url;
  else if (!key()) picture.src = url(ownPath(file));
  else {
    request(ownPath(file)).then((response) => response.blob()).then((blob) => {
      picture.src = URL.createObjectURL(blob);
      picture.addEventListener('load', () => URL.revokeObjectURL(picture.src), { once: true });
    }).catch(() => picture.remove());
  }
  picture.addEventListener('error', () => picture.remove());
  return picture;
}

function fileView(file) {
  if (file.isData) return h('figure', { class: 'file' }, image(file, 'Image in the value'));
  const label = file.name || file.url.split('/').pop();
  const size = typeof file.size_bytes === 'number' ? ` · ${bytes(file.size_bytes)}` : '';
  const isShown = ownPath(file) && IMAGE.test(file.content_type) && !(file.size_bytes > MOST_IMAGE_BYTES);
  const name = ownPath(file)
    ? h('button', { type: 'button', class: 'link', onclick: () => download(file) }, `Download ${label}`)
    : h('span', {}, file.url);
  return h('figure', { class: 'file' }, isShown ? image(file, label) : null,
    h('figcaption', { class: 'muted small' }, name, ` ${file.content_type}${size}`));
}

// What the model returned, and the service's members (`names`), which are apart in `_job` where the model's have their names.
export function partsOf(document, id, names) {
  const apart = Object.keys(document).filter((name) => /^_+job$/.test(name) && document[name] && document[name].id === id)
    .sort((one, other) => other.length - one.length)[0];
  const job = apart ? document[apart] : document;
  const { input, ...members } = document;
  if (apart) delete members[apart];
  for (const name of names) if (JSON.stringify(members[name]) === JSON.stringify(job[name])) delete members[name];
  return { job, input, output: Object.keys(members).join() === 'output' ? members.output : members };
}

export function textOf(value) {
  return typeof value === 'string' ? value : JSON.stringify(value, (_, one) =>
    (typeof one === 'string' && one.length > 2000 && one.startsWith('data:') ? `${one.slice(0, 60)}… (${bytes(one.length)})` : one), 2);
}

export function showValue(value, label) {
  const text = value === '' ? '""' : textOf(value) ?? ''; // an empty text would look like none
  const pre = h('pre', { tabindex: 0, role: 'region', 'aria-label': label }, text.slice(0, MOST_CHARS));
  const parts = [pre];
  if (text.length > MOST_CHARS) {
    const more = h('button', { type: 'button', class: 'link', onclick: () => {
      pre.textContent = text.slice(0, MOST_SHOWN_CHARS);
      more.remove();
    } }, text.length > MOST_SHOWN_CHARS ? `Show the first ${bytes(MOST_SHOWN_CHARS)} of ${bytes(text.length)}` : `Show all (${bytes(text.length)})`);
    parts.push(more);
  }
  return h('div', { class: 'value' }, filesIn(value).map(fileView), parts);
}
