// What served before and how candidates were made; and the way back.
import { get, of } from '../api.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { quiet, rollback, short, table, time, told } from '../parts.js';
import { changed, may } from '../store.js';

let shown = null;

export async function enter({ name }) {
  if (shown?.name !== name) shown = { name };
  await look(shown);
}

async function look(own) {
  try {
    const [generations, builds] = await Promise.all([get(of(own.name, '/generations')), get(of(own.name, '/builds'))]);
    Object.assign(own, { generations: generations.items, builds: builds.items, trouble: null });
  } catch (problem) {
    own.trouble = told(problem, own.name);
  }
  changed();
}

const stages = (times) => Object.entries(times).map(([stage, took]) => `${stage} ${Math.round(took)} ms`).join(', ');

export function view(place, signal, plugin) {
  const own = shown;
  // Another generation is another history.
  const now = `${plugin.serving?.generation}/${plugin.failed?.generation}/${plugin.draining.length}`;
  if (own && own.seen !== now) {
    own.seen = now;
    look(own);
  }
  if (!own?.generations) return quiet(own?.trouble ?? t('loading'));
  const back = (one) => may('operator') && one.state === 'kept' && one.artifact && one.artifact !== plugin.serving?.artifact
    && h('button', { 'aria-label': `${t('history.back')} ${one.version ?? ''} ${one.artifact.slice(7, 15)}`, onclick: () => rollback(plugin, one.artifact) }, t('history.back'));
  return [
    h('h2', null, t('history.generations')),
    own.generations.length ? table(t('history.generations'), [t('col.generation'), t('col.state'), t('col.version'), t('col.artifact'), t('plugin.since'), t('col.why'), t('col.acts')], own.generations.map((one, index) => h('tr', { key: `${index}` },
      h('th', { scope: 'row', class: 'number' }, one.generation ?? '—'), h('td', null, t(`phase.${one.state}`)), h('td', null, one.version ?? ''), h('td', null, short(one.artifact)), h('td', null, one.since && time(one.since)), h('td', null, one.reason ?? ''), h('td', { class: 'acts' }, back(one))))) : quiet(t('history.none')),
    h('h2', null, t('history.builds')),
    own.builds.length ? table(t('history.builds'), [t('col.generation'), t('col.when'), t('col.outcome'), t('col.stages')], own.builds.map((one, index) => h('tr', { key: `${index}` },
      h('th', { scope: 'row', class: 'number' }, one.generation), h('td', null, time(one.began)), h('td', { class: one.failed ? 'bad' : 'good' }, one.failed ? `${one.failed.stage}: ${one.failed.reason}` : t('history.ok')), h('td', { class: 'quiet' }, stages(one.stages))))) : quiet(t('history.none')),
  ];
}
