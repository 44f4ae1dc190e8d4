// The servers that share a registry, and who serves what.
import { get } from '../api.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { badge, code, name, quiet, table, time, told } from '../parts.js';
import { changed } from '../store.js';

const AGAIN = 5000;
let nodes = null;
let trouble = null;

export function enter(place, signal) {
  const look = async () => {
    try {
      nodes = (await get('/api/v1/nodes')).items;
      trouble = null;
    } catch (problem) {
      trouble = told(problem, '');
    }
    changed();
  };
  look();
  const timer = setInterval(() => document.hidden || look(), AGAIN);
  signal.addEventListener('abort', () => clearInterval(timer));
}

export function view() {
  if (!nodes) return quiet(trouble ?? t('loading'));
  return [
    h('h1', null, t('nodes.title')),
    trouble && h('p', { key: 'trouble', class: 'bad' }, trouble),
    nodes.map((node) => h('section', { key: node.id, class: node.stale ? 'card bad-edge' : 'card' },
      h('h2', null, h('bdi', null, node.host), ' ', node.this && h('span', { class: 'tag' }, t('nodes.this')), node.stale && h('span', { class: 'tag bad' }, t('nodes.stale'))),
      quiet(code(node.address), ` · ${node.version} · ${t('nodes.alive')} `, time(node.heard)),
      node.lags.length > 0 && h('p', { class: 'bad' }, t('nodes.lags', { list: node.lags.join(', ') })),
      node.serves.length > 0 && table(`${t('col.serves')}: ${node.host} ${node.address}`, [t('col.plugin'), t('col.state'), t('col.version'), t('col.generation'), t('col.why')], node.serves.map((one) => h('tr', { key: one.plugin },
        h('th', { scope: 'row' }, name(one.plugin)), h('td', null, badge({ ...one, failed: null })), h('td', null, one.version ?? ''), h('td', { class: 'number' }, one.generation ?? '—'), h('td', { class: 'why' }, one.reason ?? '')))))),
  ];
}
