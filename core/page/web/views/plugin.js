// One plugin: its state and what may be done, and the views of its parts.
import { advice, why } from '../advice.js';
import { h } from '../dom.js';
import { foundOf, problem, watchFound } from '../found.js';
import { lazy } from '../lazy.js';
import { brought, menuButton } from '../menu.js';
import { size, t } from '../messages.js';
import { acts, badge, buttons, code, name, pairs, quiet, short, table, time, words } from '../parts.js';
import { link, TABS } from '../router.js';
import { changed, may, state } from '../store.js';
import { pages } from './page.js';

const PARTS = lazy({
  analytics: () => import('./analytics.js'), try: () => import('./try.js'), configuration: () => import('./configuration.js'), grants: () => import('./grants.js'),
  values: () => import('./values.js'), subscriptions: () => import('./subscriptions.js'), tasks: () => import('./tasks.js'), executions: () => import('./executions.js'),
  logs: () => import('./logs.js'), history: () => import('./history.js'), events: () => import('./events.js'),
});
const ROLES = { try: 'operator', configuration: 'admin', values: 'admin', subscriptions: 'operator', tasks: 'operator', executions: 'operator' };

export const tabsOf = () => TABS.filter((tab) => !ROLES[tab] || may(ROLES[tab]));

export async function enter({ name: plugin, tab }, signal) {
  if (tab === 'state') watchFound(signal);
  else if (!ROLES[tab] || may(ROLES[tab])) {
    const part = PARTS.of(tab) ?? await PARTS.come(tab);
    if (!part || signal.aborted) return;
    part.enter?.({ name: plugin, tab }, signal);
    changed();
  }
}

export function view(place, signal) {
  const plugin = state.plugins.get(place.name);
  if (!plugin) return state.known ? [h('h1', null, name(place.name)), quiet(t('plugin.gone', { name: place.name }))] : quiet(t('loading'));
  const tabs = tabsOf();
  const tab = tabs.includes(place.tab) ? place.tab : 'state';
  return [
    h('div', { class: 'head' }, h('h1', null, name(plugin.name)), badge(plugin), h('span', { class: 'quiet number' }, plugin.version), h('span', { class: 'room' }), h('span', { class: 'acts' }, buttons(plugin, acts(plugin)), brought().length > 0 && menuButton(plugin))),
    plugin.description && h('p', { key: 'about', class: 'quiet about' }, plugin.description),
    h('nav', { key: 'tabs', class: 'tabs', 'aria-label': plugin.name }, tabs.map((one) => h('a', { key: one, href: link('plugin', plugin.name, one), 'aria-current': one === tab ? 'page' : null }, t(`tab.${one}`))),
      pages().filter((page) => page.plugin === plugin.name).map((page) => h('a', { key: `page-${page.id}`, href: page.href }, page.title))),
    h('div', { key: `part-${tab}`, class: 'part' }, tab === 'state' ? about(plugin) : (PARTS.of(tab)?.view({ ...place, tab }, signal, plugin) ?? PARTS.instead(tab))),
  ];
}

function about(plugin) {
  const next = advice(plugin);
  const reason = why(plugin);
  const { serving, candidate } = plugin;
  const found = foundOf(plugin.name);
  return h('div', { class: 'columns' }, h('div', null,
    (reason || next) && h('section', { key: 'why', class: plugin.failed || plugin.state === 'failed' ? 'card bad-edge' : 'card' },
      reason && [h('h2', null, plugin.failed ? t('plugin.failed') : t('plugin.reason')), h('p', { class: 'reason' }, reason),
        plugin.failed && quiet(t('plugin.generation', { number: plugin.failed.generation }), ' · ', time(plugin.failed.at), serving && serving.generation !== plugin.failed.generation && ` · ${t('plugin.serveson', { number: serving.generation })}`)],
      next && [h('h3', null, t('plugin.next')), h('p', null, words(next))]),
    found.length > 0 && h('ul', { key: 'found', class: 'problems' }, found.map((one) => problem(one, { withName: false }))),
    candidate && h('section', { key: 'candidate', class: 'card' }, h('h2', null, t('plugin.candidate')), h('p', null, `${t('plugin.generation', { number: candidate.generation })}: ${candidate.stage}`), h('p', { class: 'quiet', 'aria-live': 'polite' }, candidate.doing)),
    plugin.failed?.diagnostics.length > 0 && h('section', { key: 'compiler' }, h('h2', null, t('plugin.compiler')), plugin.failed.diagnostics.map(diagnostic)),
    serving && h('section', { key: 'serving', class: 'card' }, h('h2', null, t('plugin.serving')), pairs([
      [t('col.generation'), serving.generation], [t('plugin.since'), time(serving.since)], [t('col.artifact'), short(serving.artifact)], [t('plugin.inflight'), serving.in_flight],
      [t('plugin.memory'), serving.memory_bytes === null ? null : size(serving.memory_bytes)], [t('plugin.left'), serving.left_behind_bytes === null ? null : size(serving.left_behind_bytes)], [t('plugin.descriptors'), serving.descriptors]])),
    plugin.draining.length > 0 && h('section', { key: 'leaving', class: 'card' }, h('h2', null, t('plugin.leaving')), h('ul', null, plugin.draining.map((one) => h('li', null, t('plugin.generation', { number: one.generation }), `: ${one.why || one.in_flight}, `, time(one.deadline))))),
    plugin.pinned.length > 0 && h('section', { key: 'pinned', class: 'card' }, h('h2', null, t('plugin.pinned')), h('ul', null, plugin.pinned.map((one) => h('li', null, t('plugin.generation', { number: one.generation }), `: ${one.reason}`))))),
  h('div', null,
    h('section', { key: 'facts', class: 'card' }, h('h2', null, t('plugin.facts')), pairs([
      [t('plugin.kind'), t(`plugin.kind.${plugin.kind}`)], [t('plugin.category'), plugin.category], [t('plugin.revision'), plugin.revision], [t('plugin.path'), plugin.path ? code(plugin.path) : plugin.kind === 'dynamic' && !['missing', 'starting'].includes(plugin.state) && t('plugin.path.named')],
      [t('plugin.urls'), plugin.urls.map((url) => h('div', null, code(url)))]])),
    plugin.endpoints.length > 0 && h('section', { key: 'endpoints' }, h('h2', null, t('plugin.endpoints')), table(t('plugin.endpoints'), [t('col.method'), t('col.path')], plugin.endpoints.map((one, index) => h('tr', { key: `${index}` }, h('td', null, one.method), h('td', null, code(one.path))))))));
}

const diagnostic = (one, index) => h('details', { key: `${index}`, open: index === 0, class: 'diagnostic' },
  h('summary', null, one.file && code(`${one.file}:${one.line}`), ' ', one.message), h('pre', { tabindex: '0' }, one.rendered));
