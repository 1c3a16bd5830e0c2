// API: the gateway's own description (OpenAPI), rendered.

import { json, url, withQueue } from './api.js';
import { h } from './dom.js';
import { resolved } from './form.js';
import { chosenQueue } from './main.js';

const MOST_DEPTH = 3;

function typeOf(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(' | ');
  if (Array.isArray(schema.type)) return schema.type.join(' | ');
  const choices = schema.anyOf || schema.oneOf;
  return schema.type || (choices ? choices.map((one) => (one.$ref ? one.$ref.split('/').pop() : typeOf(one))).join(' | ') : 'any JSON');
}

function bounds(schema) {
  const words = [];
  if (schema.minimum !== undefined) words.push(`≥ ${schema.minimum}`);
  if (schema.maximum !== undefined) words.push(`≤ ${schema.maximum}`);
  if (schema.maxLength !== undefined) words.push(`≤ ${schema.maxLength} characters`);
  if (schema.default !== undefined) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(', ');
}

function members(given, document, depth = 0) {
  const schema = resolved(given, document);
  const inner = schema.type === 'array' ? resolved(schema.items, document) : schema;
  if (!inner.properties || depth >= MOST_DEPTH) return null;
  const required = new Set(inner.required || []);
  return h('dl', { class: 'members' }, Object.entries(inner.properties).map(([name, one]) => {
    const member = resolved(one, document);
    return [h('dt', {}, h('code', {}, name), ' ', h('span', { class: 'muted' }, typeOf(member), required.has(name) ? '' : ', optional')),
      h('dd', {}, [member.description, bounds(member)].filter(Boolean).join('; '), members(member, document, depth + 1))];
  }));
}

function contents(content, document) {
  return Object.entries(content || {}).map(([type, { schema }]) => h('div', {}, h('p', { class: 'small' }, h('code', {}, type), ' ',
    h('span', { class: 'muted' }, schema ? typeOf(resolved(schema, document)) : '')), schema ? members(schema, document) : null));
}

function operation(method, path, one, document) {
  const parameters = one.parameters || [];
  return h('details', { class: 'operation' },
    h('summary', {}, h('span', { class: `method ${method}` }, method.toUpperCase()), h('code', {}, path), h('span', { class: 'muted' }, one.summary)),
    h('div', { class: 'body' }, one.description ? h('p', {}, one.description) : null,
      parameters.length ? [h('h3', {}, 'Parameters'), h('dl', { class: 'members' }, parameters.map((parameter) => [
        h('dt', {}, h('code', {}, parameter.name), ' ', h('span', { class: 'muted' }, `${parameter.in}, ${typeOf(parameter.schema || {})}${parameter.required ? '' : ', optional'}`)),
        h('dd', {}, [parameter.description, bounds(parameter.schema || {})].filter(Boolean).join('; '))]))] : null,
      one.requestBody ? [h('h3', {}, 'Body'), contents(one.requestBody.content, document)] : null,
      h('h3', {}, 'Answers'), Object.entries(one.responses).map(([status, response]) => h('details', { class: 'answer' },
        h('summary', {}, h('span', { class: `status s${status[0]}` }, status), ' ', response.description || ''), contents(response.content, document)))));
}

export async function showReference(view, _parameters, signal) {
  let description;
  try {
    description = await json(withQueue('openapi.json', chosenQueue()), { signal });
  } catch (problem) {
    if (signal.aborted) return;
    const note = h('p', { class: 'empty' }, problem.message);
    view.append(note);
    document.addEventListener('back', () => { note.remove(); showReference(view, _parameters, signal); }, { once: true, signal });
    return;
  }
  if (signal.aborted) return;
  const filter = h('input', { type: 'search', id: 'api-filter', placeholder: 'path or word', spellcheck: 'false' });
  const groups = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const [method, one] of Object.entries(item)) {
      const tag = (one.tags || ['other'])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([`${method} ${path} ${one.summary}`.toLowerCase(), operation(method, path, one, description)]);
    }
  }
  filter.addEventListener('input', () => {
    for (const [, operations] of groups) for (const [text, element] of operations) element.hidden = !text.includes(filter.value.toLowerCase());
  });
  view.append(h('div', { class: 'row between' }, h('div', {}, h('h1', {}, `${description.info.title} ${description.info.version}`), h('p', { class: 'muted' }, description.info.description)),
    h('a', { class: 'button quiet', href: url('openapi.json'), target: '_blank', rel: 'noopener' }, 'openapi.json')),
  h('div', { class: 'filters' }, h('div', { class: 'field' }, h('label', { for: 'api-filter' }, 'Find'), filter)),
  [...groups].map(([tag, operations]) => h('section', { class: 'card' }, h('h2', {}, tag), operations.map(([, element]) => element))).reduce((all, one) => { all.append(one); return all; }, h('div', { class: 'stack' })));
}
