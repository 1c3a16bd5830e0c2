// Who got what of the budget that the models share: a bar for each resource, and a row for each model.

import { h, number, setText } from './dom.js';

const TONES = ['a', 'b', 'c', 'd'];

function sharesOf(queues) {
  return Object.entries(queues).filter(([, queue]) => queue.scaler && queue.scaler.share)
    .map(([name, { scaler }], place) => ({ name, given: scaler.replicas, ...scaler.share, tone: TONES[place % TONES.length], round: Math.floor(place / TONES.length) % 2 }));
}

function bar(resource, amount, shares) {
  const used = shares.reduce((sum, one) => sum + one.given * (one.takes[resource] || 0), 0);
  const parts = shares.map((one) => {
    const taken = one.given * (one.takes[resource] || 0);
    const part = h('span', { class: `part tone-${one.tone}${one.round ? ' pale' : ''}`, title: `${one.name}: ${number(taken)} ${resource}` });
    part.style.width = `${amount > 0 ? taken / Math.max(amount, used) * 100 : 0}%`;
    return part;
  });
  return h('div', { class: 'resource' }, h('p', { class: 'row between' }, h('span', {}, resource), h('span', { class: 'muted' }, `${number(used)} of ${number(amount)} given`)),
    h('div', { class: 'share', 'aria-hidden': 'true' }, parts));
}

function row(one, resources) {
  const why = one.reason || (one.given === one.wanted ? 'all that it wants' : 'an older decision holds');
  return h('tr', {},
    h('th', { scope: 'row' }, h('span', { class: `key tone-${one.tone}${one.round ? ' pale' : ''}`, 'aria-hidden': 'true' }), one.name),
    h('td', { class: 'num' }, one.wanted), h('td', { class: one.given < one.wanted ? 'num less' : 'num' }, one.given),
    h('td', { class: 'num wide' }, one.guaranteed),
    h('td', { class: 'wide' }, resources.filter((name) => name !== 'pods').map((name) => `${number(one.takes[name] || 0)} ${name}`).join(', ') || '1 pod'),
    h('td', { class: 'why' }, why));
}

export class BudgetCard {
  constructor() {
    this.bars = h('div', { class: 'resources' });
    this.rows = h('tbody', {});
    this.note = h('p', { class: 'muted' });
    this.last = '';
    this.element = h('section', { class: 'card budget', 'aria-label': 'Budget', hidden: true },
      h('div', { class: 'row between' }, h('h2', {}, 'Budget'), this.note), this.bars,
      h('table', {}, h('caption', { class: 'hidden' }, 'What each model wants and gets, in workers'),
        h('thead', {}, h('tr', {}, [['Model', ''], ['Wants', 'num'], ['Gets', 'num'], ['Guaranteed', 'num wide'], ['One worker takes', 'wide'], ['Why', '']]
          .map(([name, kind]) => h('th', { scope: 'col', class: kind }, name)))), this.rows));
  }

  draw(queues) {
    const shares = sharesOf(queues);
    const key = JSON.stringify(shares);
    if (key === this.last) return;
    this.last = key;
    this.element.hidden = !shares.length;
    if (!shares.length) return;
    const amounts = Object.entries(shares[0].budget);
    const less = shares.filter((one) => one.given < one.wanted).length;
    setText(this.note, less ? `${less} of ${shares.length} models get fewer workers than they want` : 'each model gets what it wants');
    this.bars.replaceChildren(...amounts.map(([resource, amount]) => bar(resource, amount, shares)));
    this.rows.replaceChildren(...shares.map((one) => row(one, amounts.map(([name]) => name))));
  }
}
