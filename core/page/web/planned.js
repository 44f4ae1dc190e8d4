// Parts that show an install before it is one, as it goes, and what it changes. What must not live here: asking the server.
import { installOf } from './catalogs.js';
import { h } from './dom.js';
import { t } from './messages.js';
import { code, name, quiet, table } from './parts.js';
import { between, changes, STAGES, stageOf, versionOf } from './offers.js';
import { state } from './store.js';

/** What an install would do, plugin by plugin. */
export function steps(plan) {
  const row = (step) => h('tr', { key: step.plugin },
    h('th', { scope: 'row' }, name(step.plugin)), h('td', { class: 'number' }, step.from ? `${step.from} → ${step.version}` : step.version), h('td', { 'data-head': t('plan.part') }, t(`plan.part.${step.part}`)),
    h('td', { 'data-head': t('plan.catalog') }, name(step.catalog)), h('td', { 'data-head': t('plan.signature'), class: step.publisher ? null : 'bad' }, t(step.publisher ? 'plan.signed' : 'plan.unsigned')), h('td', { 'data-head': t('plan.asks') }, step.asks.length ? step.asks.map((one, at) => [at > 0 && ', ', code(one.permission)]) : t('plan.nothing')));
  return table(t('plan.title'), [t('col.plugin'), t('col.version'), t('plan.part'), t('plan.catalog'), t('plan.signature'), t('plan.asks')], plan.steps.map(row));
}

/** What it asks to be allowed, beside what it was granted. */
export const asks = (list) => table(t('offer.asks'), [t('col.permission'), t('col.meaning'), t('col.granted')], list.map((one) => h('tr', { key: one.permission },
  h('th', { scope: 'row' }, code(one.permission)), h('td', null, one.meaning), h('td', { class: one.granted ? 'good' : 'bad' }, t(one.granted ? 'grants.has' : 'grants.lacks')))));

/** What is wrong with versions of it. */
export const advisories = (list) => h('section', { key: 'advisories', class: 'attention' }, h('h2', null, t('offer.advisories')), h('ul', null, list.map((one) => h('li', { key: `${one.catalog}/${one.id}` },
  h('span', { class: 'tag' }, one.severity || t('offer.severity.none')), ' ', h('strong', null, one.title), h('span', { class: 'quiet below' }, t('offer.advisory', { id: one.id, versions: one.versions })), one.remedy && h('span', { class: 'below' }, '→ ', one.remedy), one.url && h('span', { class: 'quiet below' }, code(one.url))))));

/** What changes from one version to another. */
export function difference(offer, [from, to], schemas) {
  const [before, after] = [versionOf(offer, from), versionOf(offer, to)];
  if (!after) return null;
  const known = before && schemas;
  const found = before ? changes({ version: before, schema: schemas?.before }, { version: after, schema: schemas?.after }) : [];
  const newer = between(offer, from, to);
  return h('section', { key: 'changes' }, h('h3', null, t('update.changes', { from, to })),
    h('ul', { class: 'plain' }, newer.map((one) => h('li', { key: one.version }, h('span', { class: 'number' }, one.version), h('span', { class: 'quiet' }, ` · ${one.published_at.slice(0, 10)}`), one.yanked && h('span', { class: 'bad' }, ` · ${t('offer.yanked', { why: one.yanked })}`))),
      found.map(([word, list]) => h('li', { key: word, class: word === 'permissions.more' ? 'bad' : null }, t(`update.${word}`), ' ', list.map((one, at) => [at > 0 && ', ', code(one)])))),
    !found.length && known && quiet(t('update.same')), !before && quiet(t('update.unknown', { version: from })));
}

/** How far an install is: each stage, and what the server does with each plugin of it. */
export function progress(plugin) {
  const install = installOf(plugin);
  const now = stageOf(install);
  const of = (step) => {
    const word = step.split(' ')[0];
    const candidate = state.plugins.get(word)?.candidate;
    return h('li', { key: step }, name(step), candidate && h('span', { class: 'quiet' }, ' · ', [candidate.stage, candidate.doing].filter(Boolean).join(': ')));
  };
  return h('section', { key: 'progress', class: 'card', 'aria-label': t('install.stages', { name: plugin }) }, h('h2', null, t('install.stages', { name: plugin })),
    h('ol', { class: 'stages', 'aria-live': 'polite' }, STAGES.map((word, at) => h('li', { key: word, class: at < now ? 'good' : at === now ? 'now' : 'quiet', 'aria-current': at === now ? 'step' : null }, h('span', { 'aria-hidden': 'true' }, at < now ? '✓ ' : at === now ? '◔ ' : '○ '), t(`install.stage.${word}`),
      word === 'placed' && at === now && install && h('ul', null, install.steps.map(of))))),
    quiet(t('install.goesOn')));
}
