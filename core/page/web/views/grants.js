// What a plugin may: what it asks for, what of it is granted, and the difference.
import { ask, get, of } from '../api.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { code, perform, quiet, table, told } from '../parts.js';
import { changed, may } from '../store.js';

let shown = null;

export async function enter({ name }) {
  shown = { name, grants: null, trouble: null };
  const own = shown;
  try {
    own.grants = await get(of(name, '/grants'));
  } catch (problem) {
    own.trouble = told(problem, name);
  }
  changed();
}

async function decide(plugin, granted) {
  const own = shown;
  // What was decided here a moment ago may not have come back yet with the stream.
  const revision = Math.max(plugin.revision, own.revision ?? 0);
  const decided = await perform(`${plugin.name}/grants`, async () => {
    const answer = await ask('PUT', of(plugin.name, '/grants'), { body: { granted }, revision });
    return { grants: await answer.json(), revision: Number(/\d+/.exec(answer.headers.get('etag') ?? '')?.[0] ?? 0) };
  }, { done: t('done.grants', { name: plugin.name }), plugin: plugin.name });
  if (decided) Object.assign(own, decided);
  changed();
}

export function view(place, signal, plugin) {
  const { grants, trouble } = shown ?? {};
  if (!grants) return quiet(trouble ?? t('loading'));
  const lacking = grants.asked.filter((one) => !one.granted);
  const extra = grants.granted.filter((one) => !grants.asked.some(({ permission }) => permission === one));
  const decides = may('admin');
  const row = (one) => h('tr', { key: one.permission }, h('th', { scope: 'row' }, code(one.permission)), h('td', null, one.meaning), h('td', { class: one.granted ? 'good' : 'bad' }, t(one.granted ? 'grants.has' : 'grants.lacks')),
    decides && h('td', { class: 'acts' }, h('button', { 'aria-label': `${t(one.granted ? 'grants.revoke' : 'grants.grant')} ${one.permission}`, onclick: () => decide(plugin, one.granted ? grants.granted.filter((it) => it !== one.permission) : [...grants.granted, one.permission]) }, t(one.granted ? 'grants.revoke' : 'grants.grant'))));
  return [
    h('p', { class: lacking.length ? 'bad' : 'good' }, grants.asked.length ? (lacking.length ? t('grants.lacking', { count: lacking.length }) : t('grants.all')) : t('grants.none'),
      decides && lacking.length > 1 && [' ', h('button', { onclick: () => decide(plugin, [...grants.granted, ...lacking.map(({ permission }) => permission)]) }, t('grants.grantAll'))]),
    grants.asked.length > 0 && h('div', { key: 'asked' }, table(t('tab.grants'), [t('col.permission'), t('col.meaning'), t('col.granted'), ...(decides ? [t('col.acts')] : [])], grants.asked.map(row))),
    extra.length > 0 && h('div', { key: 'extra' }, quiet(t('grants.extra', { list: extra.join(', ') }))),
    h('div', { key: 'source' }, quiet(t('grants.source', { source: grants.source }), ' ', t('grants.enforcement', { how: grants.enforcement }))),
  ];
}
