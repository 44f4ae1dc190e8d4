// What is wrong that this server knows of, each with what to do; and what server it is.
import { advice, needsAttention, why } from '../advice.js';
import { get } from '../api.js';
import { h } from '../dom.js';
import { foundOf, problem, watchFound } from '../found.js';
import { moment, size, t } from '../messages.js';
import { name, pairs, quiet, words } from '../parts.js';
import { link } from '../router.js';
import { changed, sorted, state } from '../store.js';

const AGAIN = 5000;
const known = { health: null, nodes: [] };

export function enter(place, signal) {
  const look = async () => {
    [known.health, known.nodes] = await Promise.all([get('/_/health').catch(() => null), get('/api/v1/nodes').then(({ items }) => items, () => [])]);
    changed();
  };
  look();
  watchFound(signal);
  const timer = setInterval(() => document.hidden || look(), AGAIN);
  signal.addEventListener('abort', () => clearInterval(timer));
}

/** All of them: `{ plugin, text, next }`. Pure. */
export function problems(plugins, { health, nodes, trouble, registryTrouble }) {
  const all = [];
  if (trouble) all.push({ text: t('trouble', { why: trouble }), next: t('problems.directory.next') });
  if (registryTrouble) all.push({ text: t('trouble.registry', { why: registryTrouble }), next: t('problems.registry.next') });
  for (const plugin of plugins) {
    if (needsAttention(plugin)) all.push({ plugin: plugin.name, text: why(plugin) ?? t(`state.${plugin.state}`), next: advice(plugin) });
    const left = plugin.serving?.left_behind_bytes ?? 0;
    if (left > 1 << 20) all.push({ plugin: plugin.name, text: t('problems.left', { size: size(left) }), next: t('problems.left.next') });
  }
  for (const one of health?.blocked ?? []) all.push({ plugin: one.plugin, text: t('problems.blocked', { ...one, method: one.method, route: one.route, seconds: Math.round(one.seconds) }), next: t('problems.blocked.next') });
  for (const node of nodes) {
    if (node.stale) all.push({ text: t('problems.node', { node: node.host, time: moment(node.heard) }), next: t('problems.node.next') });
    if (node.lags.length) all.push({ text: t('problems.lags', { node: node.host, list: node.lags.join(', ') }), next: t('problems.lags.next') });
  }
  return all;
}

export function view() {
  const all = problems(sorted(), { ...known, trouble: state.trouble, registryTrouble: state.registryTrouble });
  const { health } = known;
  const found = foundOf();
  return [
    h('h1', null, t('problems.title')),
    found.length > 0 && h('ul', { key: 'found', class: 'problems' }, found.map((one) => problem(one))),
    all.length ? h('ul', { key: 'list', class: 'problems' }, all.map((one, index) => h('li', { key: `${index}`, class: 'card bad-edge' }, one.plugin && h('a', { href: link('plugin', one.plugin) }, name(one.plugin)), h('p', { class: 'reason' }, one.text), one.next && h('p', { class: 'quiet' }, '→ ', words(one.next))))) : !found.length && h('p', { key: 'none', class: 'good' }, t('problems.none')),
    health ? h('section', { key: 'server', class: 'card' }, h('h2', null, t('problems.about')), pairs([[t('problems.version'), [health.version, health.revision].filter(Boolean).join(' ')], [t('problems.rustc'), health.rustc], [t('problems.abi'), health.abi], [t('problems.builtin'), health.built_in.join(', ')]])) : quiet(t('loading')),
  ];
}
