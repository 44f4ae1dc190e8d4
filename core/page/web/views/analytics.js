// How a plugin is used and how it does: plots with their tables, generations beside each other, and what is wrong by rules.
import { get, of } from '../api.js';
import { h } from '../dom.js';
import { foundOf, problem, watchFound } from '../found.js';
import { every } from '../live.js';
import { size, t } from '../messages.js';
import { pairs, quiet, table, time, told } from '../parts.js';
import { plot } from '../plot.js';
import { changed } from '../store.js';

const AGAIN = 10_000;
/** How many seconds back, and for how long a point stands. */
const SPANS = { hour: [3600, '1m'], day: [86_400, '1h'], week: [7 * 86_400, '1h'], month: [30 * 86_400, '1d'], year: [365 * 86_400, '1d'] };
let span = 'hour';
let shown = null;
/** What servers are called, by their ids. */
let hosts = new Map();

export function enter({ name }, signal) {
  if (shown?.name !== name) shown = { name, used: null, trouble: null };
  const own = shown;
  every(AGAIN, () => look(own), signal);
  get('/api/v1/nodes').then(({ items }) => { hosts = new Map(items.map(({ id, host, address }) => [id, `${host} ${address}`])); changed(); }, () => null);
  watchFound(signal);
}

async function look(own) {
  const [back, step] = SPANS[span];
  const asked = span;
  const from = new Date(Date.now() - back * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  try {
    const used = await get(of(own.name, `/analytics?from=${from}&step=${step}`));
    if (asked === span) Object.assign(own, { used, trouble: null });
  } catch (problem) {
    own.trouble = told(problem, own.name);
  }
  changed();
}

const WHOLE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const whole = (number) => WHOLE.format(number);
const milliseconds = (number) => (number >= 1000 ? `${Math.round(number / 10) / 100} s` : `${Math.round(number * 100) / 100} ms`);
const counts = (...keys) => keys.map((key) => ({ label: t(`use.${key}`), pick: (point) => point[key] }));

export const PLOTS = [
  ['requests', whole, ['requests', 'errors', 'client_errors', 'abandoned']],
  ['latency', milliseconds, ['p50_ms', 'p95_ms', 'p99_ms']],
  ['memory', size, ['memory_bytes', 'left_behind_bytes']],
  ['work', whole, ['executions', 'tasks_done', 'events_delivered', 'events_emitted']],
  ['asks', whole, ['asks', 'ask_errors']],
  ['failures', whole, ['panics', 'unwell', 'tasks_failed', 'events_failed']],
  ['waiting', whole, ['tasks_waiting', 'events_waiting', 'events_dropped']],
];

const COMPARED = [['requests', whole], ['errors', whole], ['p50_ms', milliseconds], ['p95_ms', milliseconds], ['p99_ms', milliseconds], ['panics', whole], ['memory_bytes', size], ['asks', whole], ['executions', whole], ['tasks_done', whole], ['events_delivered', whole]];

/** Whose counts these are: servers by which it served lately. */
const servers = (own) => new Set(own.used.generations.map(({ node }) => node));

function generations(own) {
  const shownAs = (value, format) => (value === null ? '—' : format(value));
  return h('section', { key: 'generations' }, h('h2', null, t('use.generations')), quiet(t('use.generations.how')),
    table(t('use.generations'), [t('col.generation'), t('col.server'), t('plugin.since'), ...COMPARED.map(([key]) => t(`use.${key}`))], own.used.generations.map((one) => h('tr', { key: `${one.node}/${one.generation}` },
      h('th', { scope: 'row', class: 'number' }, one.generation), h('td', { class: 'quiet' }, hosts.get(one.node) ?? one.node.slice(0, 8)), h('td', null, time(one.since)), COMPARED.map(([key, format]) => h('td', { class: 'number' }, shownAs(one[key], format)))))));
}

export function view(place, signal, plugin) {
  const own = shown;
  // Another generation is worth a look at once.
  if (own && own.generation !== plugin.serving?.generation) {
    if (own.generation !== undefined) look(own);
    own.generation = plugin.serving?.generation;
  }
  if (!own?.used || own.name !== place.name) return quiet(own?.trouble ?? t('loading'));
  const { usage, points } = own.used;
  const found = foundOf(plugin.name);
  const choose = (event) => { span = event.target.value; look(own); };
  return [
    own.trouble && h('p', { key: 'trouble', class: 'bad' }, own.trouble),
    h('section', { key: 'usage', class: 'card' }, h('h2', null, t('use.title')), servers(own).size > 1 && quiet(t('use.servers', { count: servers(own).size })), pairs([
      [t('use.last'), usage.last_used_at ? time(usage.last_used_at) : t('use.never')], [t('use.since'), usage.since && time(usage.since)],
      ...['requests', 'errors', 'executions', 'tasks_done', 'events_delivered'].map((key) => [t(`use.${key}`), whole(usage[key])])])),
    h('section', { key: 'found' }, h('h2', null, t('problems.title')), found.length ? h('ul', { key: 'list', class: 'problems' }, found.map((one) => problem(one, { withName: false }))) : h('p', { key: 'none', class: 'good' }, t('use.well'))),
    h('div', { key: 'span', class: 'filter' }, h('label', { for: 'use-span' }, t('use.span')), h('select', { id: 'use-span', value: span, onchange: choose }, Object.keys(SPANS).map((word) => h('option', { value: word }, t(`use.span.${word}`)))), h('span', { class: 'quiet' }, t('use.marks'))),
    h('div', { key: 'plots', class: 'plots' }, PLOTS.map(([name, format, keys]) => plot({ name, title: t(`use.plot.${name}`), series: counts(...keys), points, format }))),
    own.used.generations.length > 0 && generations(own),
  ];
}
