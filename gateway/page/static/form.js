// A form made of a JSON schema, and the input that it stands for.

import { exact } from './api.js';
import { h } from './dom.js';

const MOST_DEPTH = 4;

export function resolved(schema, document) {
  let one = schema || {};
  for (let i = 0; i < 8 && one.$ref; i += 1) {
    const { $ref, ...beside } = one;
    one = { ...$ref.split('/').slice(1).reduce((part, name) => (part || {})[name.replaceAll('~1', '/').replaceAll('~0', '~')], document), ...beside };
  }
  // `X | None`: the one that is something.
  const choices = one.anyOf || one.oneOf;
  if (choices) {
    const some = choices.map((choice) => resolved(choice, document)).filter((choice) => choice.type !== 'null');
    if (some.length === 1) {
      const { anyOf, oneOf, ...beside } = one;
      return { ...some[0], ...beside, isOptional: true };
    }
  }
  return one;
}

export function isFile(schema) {
  return (schema.title === 'File' && schema.properties && 'url' in schema.properties) || schema.format === 'binary';
}

let count = 0;

function labelled(name, schema, control, isRequired) {
  control.id = `field-${count += 1}`;
  const about = schema.description ? h('p', { class: 'muted small', id: `${control.id}-about` }, schema.description) : null;
  if (about) control.setAttribute('aria-describedby', about.id);
  if (control.type === 'checkbox') return h('div', { class: 'field check' }, control, h('label', { for: control.id }, name), about);
  return h('div', { class: 'field' }, h('label', { for: control.id }, name, isRequired ? h('span', { class: 'muted' }, ' required') : null), control, about);
}

// {element, read}: read() returns a value, undefined for what is left out, or throws an Error that says what is wrong.
export function fieldOf(name, given, document, isRequired, depth = 0) {
  const schema = resolved(given, document);
  // A box has two states: what may be left out has three.
  if (schema.type === 'boolean' && !isRequired && typeof schema.default !== 'boolean') schema.enum = [true, false];
  const say = (text) => { throw new Error(`${name}: ${text}`); };
  if (isFile(schema)) {
    const control = h('input', { type: 'file', required: isRequired });
    return { element: labelled(name, schema, control, isRequired), read: () => control.files[0] || (isRequired ? say('choose a file') : undefined) };
  }
  if (schema.type === 'array' && isFile(resolved(schema.items, document))) {
    const control = h('input', { type: 'file', multiple: true, required: isRequired });
    return { element: labelled(name, schema, control, isRequired), read: () => (control.files.length ? [...control.files] : isRequired ? say('choose a file') : undefined) };
  }
  if (schema.enum || schema.const !== undefined) {
    const values = schema.enum || [schema.const];
    const control = h('select', {}, isRequired ? null : h('option', { value: '' }, '–'), values.map((value, index) => h('option', { value: String(index) }, String(value))));
    const start = values.indexOf(schema.default);
    if (start >= 0) control.value = String(start);
    return { element: labelled(name, schema, control, isRequired), read: () => (control.value === '' ? undefined : values[Number(control.value)]) };
  }
  if (schema.type === 'boolean') {
    const control = h('input', { type: 'checkbox' });
    control.checked = schema.default === true;
    return { element: labelled(name, schema, control, isRequired), read: () => control.checked };
  }
  if (schema.type === 'integer' || schema.type === 'number') {
    const step = schema.type === 'integer' ? 1 : 'any';
    const control = h('input', { type: 'number', step, min: schema.minimum, max: schema.maximum, required: isRequired, value: schema.default ?? '' });
    return { element: labelled(name, schema, control, isRequired), read: () => {
      if (control.value === '') return isRequired || control.validity.badInput ? say('give a number') : undefined;
      return /^-?[1-9]\d{15,}$/.test(control.value) ? exact(control.value) : Number(control.value);
    } };
  }
  if (schema.type === 'string') {
    const control = schema.maxLength !== undefined && schema.maxLength <= 100 ? h('input', { type: 'text' }) : h('textarea', { rows: 3 });
    control.value = schema.default ?? '';
    if (isRequired && schema.minLength) control.required = true;
    return { element: labelled(name, schema, control, isRequired), read: () => (control.value === '' && !isRequired ? undefined : control.value) };
  }
  if (schema.type === 'object' && schema.properties && depth < MOST_DEPTH) {
    const needed = new Set(schema.required || []);
    const fields = Object.entries(schema.properties).map(([member, one]) => [member, fieldOf(member, one, document, needed.has(member), depth + 1)]);
    const about = schema.description ? h('p', { class: 'muted small' }, schema.description) : null;
    const inner = fields.map(([, field]) => field.element);
    return {
      element: depth ? h('fieldset', {}, h('legend', {}, name), about, inner) : h('div', { class: 'fields' }, about, inner),
      read: () => Object.fromEntries(fields.map(([member, field]) => [member, field.read()]).filter(([, value]) => value !== undefined)),
    };
  }
  const control = h('textarea', { rows: 4, class: 'mono', spellcheck: 'false', placeholder: 'JSON' });
  if (schema.default !== undefined) control.value = JSON.stringify(schema.default);
  return { element: labelled(`${name} (JSON)`, schema, control, isRequired), read: () => {
    if (control.value.trim() === '') return isRequired ? say('give a JSON value') : undefined;
    try { return exact(control.value); } catch (error) { return say(`this is no JSON: ${error.message}`); }
  } };
}

export function hasFiles(value) {
  return value instanceof File || (Array.isArray(value) ? value.some(hasFiles) : value !== null && typeof value === 'object' && Object.values(value).some(hasFiles));
}

// The body of a push: a form if there are files among an object's members, otherwise JSON.
export function bodyOf(value) {
  if (!hasFiles(value)) return { body: JSON.stringify(value), headers: { 'Content-Type': 'application/json' } };
  if (value instanceof File) return { body: value, headers: { 'Content-Type': value.type && !value.type.includes('json') ? value.type : 'application/octet-stream' } };
  const form = new FormData();
  for (const [name, member] of Object.entries(value)) {
    if (member instanceof File) form.append(name, member);
    else if (Array.isArray(member) && member.every((one) => one instanceof File)) for (const one of member) form.append(name, one);
    else if (hasFiles(member)) throw new Error(`${name}: a file that deep can't be sent by a form: upload it first (POST /uploads)`);
    else if (typeof member === 'string') form.append(name, member);
    else form.append(name, new Blob([JSON.stringify(member)], { type: 'application/json' }));
  }
  return { body: form, headers: {} };
}
