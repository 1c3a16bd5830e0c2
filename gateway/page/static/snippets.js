// The call of the form as curl and as Python.

import { hasFiles } from './form.js';

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// curl ends what is not in quotes at a semicolon.
function inForm(text) {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

function python(value, indent = '') {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return String(value);
  if (JSON.isRawJSON && JSON.isRawJSON(value)) return value.rawJSON;
  const inner = `${indent}    `;
  if (Array.isArray(value)) return value.length ? `[${value.map((one) => python(one, inner)).join(', ')}]` : '[]';
  const members = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one, inner)}`);
  const line = `{${members.join(', ')}}`;
  return line.length < 80 ? line : `{\n${members.map((one) => `${inner}${one},\n`).join('')}${indent}}`;
}

export function curl(address, value, hasKey) {
  const parts = ["curl -N -H 'Accept: text/event-stream'"];
  if (hasKey) parts.push("-H 'Authorization: Bearer KEY'");
  if (!hasFiles(value)) parts.push(`--json ${quoted(JSON.stringify(value))}`);
  else if (value instanceof File) parts.push(`-H ${quoted(`Content-Type: ${value.type || 'application/octet-stream'}`)}`, `--data-binary ${quoted(`@${value.name}`)}`);
  else {
    for (const [name, member] of Object.entries(value)) {
      for (const one of Array.isArray(member) && hasFiles(member) ? member : [member]) {
        if (one instanceof File) parts.push(`-F ${quoted(`${name}=@${inForm(one.name)}`)}`);
        else if (typeof one === 'string') parts.push(`--form-string ${quoted(`${name}=${one}`)}`);
        else parts.push(`-F ${quoted(`${name}=${inForm(JSON.stringify(one))};type=application/json`)}`);
      }
    }
  }
  return `${parts.join(' \\\n  ')} \\\n  ${quoted(address)}`;
}

export function inPython(address, value, hasKey) {
  const lines = ['import requests', ''];
  const given = [`"${address}${address.includes('?') ? '&' : '?'}wait=60"`];
  if (hasKey) given.push('headers={"Authorization": "Bearer KEY"}');
  if (!hasFiles(value)) given.push(`json=${python(value, '    ')}`);
  else if (value instanceof File) given.push(`data=open(${JSON.stringify(value.name)}, "rb")`, `headers={"Content-Type": ${JSON.stringify(value.type || 'application/octet-stream')}}`);
  else {
    const files = [];
    for (const [name, member] of Object.entries(value)) {
      for (const one of Array.isArray(member) && hasFiles(member) ? member : [member]) {
        if (one instanceof File) files.push(`(${JSON.stringify(name)}, open(${JSON.stringify(one.name)}, "rb"))`);
        else if (typeof one === 'string') files.push(`(${JSON.stringify(name)}, (None, ${JSON.stringify(one)}))`);
        else files.push(`(${JSON.stringify(name)}, (None, ${JSON.stringify(JSON.stringify(one))}, "application/json"))`);
      }
    }
    given.push(`files=[${files.join(', ')}]`);
  }
  lines.push('answer = requests.post(', ...given.map((one) => `    ${one},`), ')', 'answer.raise_for_status()', 'print(answer.json())');
  return lines.join('\n');
}
