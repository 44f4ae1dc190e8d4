// What the server found to be wrong by its rules: asked for while somebody looks, and drawn with evidence, recommendation and the one act
// that helps. What must not live here: the rules, which are the server's.
import { get } from './api.js';
import { h } from './dom.js';
import { every } from './live.js';
import { t } from './messages.js';
import { name as named, pairs, reload, rollback, time } from './parts.js';
import { link } from './router.js';
import { changed, may, state } from './store.js';

const AGAIN = 5000;
let found = [];

/** Keeps asking until the signal says that nobody looks any more. */
export function watchFound(signal) {
  const look = async () => {
    const items = await get('/api/v1/problems').then((page) => page.items, () => null);
    if (!items || signal.aborted) return;
    found = items;
    changed();
  };
  every(AGAIN, look, signal);
}

export const foundOf = (plugin = null) => found.filter((one) => plugin === null || one.plugin === plugin);

const ACTS = { rollback: [rollback, 'act.rollback'], reload: [reload, 'act.reload'] };
const evidence = (value) => (Array.isArray(value) ? value.join(', ') : typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value));

/** One of them. */
export function problem(one, { withName = true } = {}) {
  const [run, label] = ACTS[one.act] ?? [];
  const plugin = state.plugins.get(one.plugin);
  return h('li', { key: `${one.plugin}/${one.rule}`, class: 'card bad-edge' },
    h('p', { class: 'reason' }, withName && [h('a', { href: link('plugin', one.plugin) }, named(one.plugin)), ' '], h('span', { class: 'tag' }, t(`rule.${one.rule}`)), ' ', one.what),
    h('p', { class: 'quiet' }, '→ ', one.recommendation),
    h('details', null, h('summary', null, t('problems.evidence')), pairs([[t('plugin.since'), time(one.since)], ...Object.entries(one.evidence ?? {}).map(([key, value]) => [key.replaceAll('_', ' '), evidence(value)])])),
    run && plugin && may('operator') && h('p', { key: 'act', class: 'acts' }, h('button', { 'aria-label': `${t(label)} ${one.plugin}`, 'aria-busy': state.busy.has(`${one.plugin}/${one.act}`) ? 'true' : null, onclick: () => run(plugin) }, t(label))));
}
