// Small parts that several views are made of, and acts as people set them off. What must not live here: views.
import { act, of, Problem } from './api.js';
import { modal, say } from './dialogs.js';
import { h } from './dom.js';
import { moment, t } from './messages.js';
import { go } from './router.js';
import { changed, may, state } from './store.js';

const MARKS = { serving: '●', starting: '◔', waiting: '◌', failed: '✕', disabled: '○', missing: '?', quarantined: '!' };

export const badge = (plugin) => h('span', { class: `badge ${plugin.state}` }, h('span', { 'aria-hidden': 'true' }, MARKS[plugin.state] ?? '·'), ` ${t(`state.${plugin.state}`)}`,
  plugin.failed && plugin.state === 'serving' && h('span', { class: 'also' }, ` · ${t('state.failed')}`));

export const name = (text) => h('bdi', { class: 'name' }, text);
export const code = (text) => h('code', null, text);
export const time = (when) => h('time', { datetime: when }, moment(when));
export const short = (digest) => (digest ? h('code', { title: digest }, digest.replace(/^sha256:/, '').slice(0, 12)) : '—');
export const quiet = (...content) => h('p', { class: 'quiet' }, ...content);

/** Words of the command line: what stands between backticks is code. */
export const words = (text) => text.split('`').map((part, at) => (at % 2 ? code(part) : part));

export function table(caption, heads, rows, props = {}) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption, ...props },
    h('table', null, h('caption', { class: 'unseen' }, caption),
      h('thead', null, h('tr', null, heads.map((head) => h('th', { scope: 'col' }, head)))),
      h('tbody', null, rows)));
}

export const pairs = (list) => h('dl', { class: 'pairs' }, list.filter(([, value]) => value !== null && value !== undefined && value !== false)
  .map(([label, value]) => h('div', null, h('dt', null, label), h('dd', null, value))));

export function told(problem, plugin) {
  if (problem.status === 0) return t('refused.offline');
  if (problem.status === 412) return t('refused.revision', { name: plugin });
  return problem.message;
}

/** Does something for whoever clicked, and says what came of it. */
export async function perform(key, work, { done, plugin = '', undo = null } = {}) {
  if (state.busy.has(key)) return null;
  state.busy.add(key);
  changed();
  try {
    const answer = await work();
    if (done) say(done, { undo });
    return answer ?? true;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    say(told(problem, plugin), { bad: true });
    return null;
  } finally {
    state.busy.delete(key);
    changed();
  }
}

const order = (plugin, word, options = {}) => perform(`${plugin.name}/${word}`,
  () => act('POST', of(plugin.name, `/${word}`), { body: {}, revision: options.anyRevision ? undefined : plugin.revision, ...options.send }),
  { done: t(`done.${word}`, { name: plugin.name }), plugin: plugin.name, undo: options.undo });

export const enable = (plugin) => order(plugin, 'enable');
export const reload = (plugin) => order(plugin, 'reload');
export const rollback = (plugin, to) => order(plugin, 'rollback', { send: { body: to ? { to } : {} } });
export const disable = (plugin) => order(plugin, 'disable', { undo: () => order(plugin, 'enable', { anyRevision: true }) });

export async function remove(plugin) {
  let typed = '';
  let purge = false;
  const sure = await modal(t('remove.title', { name: plugin.name }), (close, redraw) => h('form', { onsubmit: (event) => { event.preventDefault(); if (typed === plugin.name) close(true); } },
    h('p', null, words(t('remove.how'))),
    h('label', { for: 'remove-name' }, t('remove.name')),
    h('input', { id: 'remove-name', autocomplete: 'off', spellcheck: 'false', oninput: (event) => { typed = event.target.value; redraw(); } }),
    h('fieldset', null, h('legend', null, t('remove.data')),
      [[false, 'remove.keep'], [true, 'remove.purge']].map(([value, key]) => h('label', { class: 'choice' },
        h('input', { type: 'radio', name: 'purge', checked: purge === value, onchange: () => { purge = value; redraw(); } }), t(key)))),
    h('p', { class: 'acts' }, h('button', { type: 'button', onclick: () => close(false) }, t('cancel')),
      h('button', { class: 'danger', type: 'submit', disabled: typed !== plugin.name }, t('remove.do')))));
  if (!sure) return;
  // Whoever types its name wants it gone, whatever became of it while the question stood there.
  const done = await perform(`${plugin.name}/remove`, () => act('DELETE', of(plugin.name, `?purge=${purge}`), {}), { done: t('done.remove', { name: plugin.name }), plugin: plugin.name });
  if (done) go('overview');
}

/** What may be done with a plugin, by whoever is here: `[word, label, act, danger]`. */
export function acts(plugin) {
  const list = [];
  if (may('operator')) {
    if (plugin.enabled) list.push(['disable', t('act.disable'), disable]);
    else list.push(['enable', t('act.enable'), enable]);
    if (plugin.enabled && plugin.state !== 'missing') list.push(['reload', t('act.reload'), reload]);
    if (plugin.kind === 'dynamic' && (plugin.serving ? plugin.serving.generation > 1 || plugin.failed : plugin.state === 'quarantined')) list.push(['rollback', t('act.rollback'), (it) => rollback(it)]);
  }
  if (may('admin') && plugin.kind === 'dynamic') list.push(['remove', t('act.remove'), remove, true]);
  return list;
}

export const buttons = (plugin, list) => list.map(([word, label, run, danger]) => h('button', {
  key: word, class: danger ? 'danger' : null, 'aria-busy': state.busy.has(`${plugin.name}/${word}`) ? 'true' : null,
  'aria-label': `${label} ${plugin.name}`, onclick: () => run(plugin),
}, label));
