// What happened, of one plugin or of all: the journal, and as it goes on.
import { get } from '../api.js';
import { h } from '../dom.js';
import { follow } from '../live.js';
import { t } from '../messages.js';
import { name, quiet, table, time, told } from '../parts.js';
import { link } from '../router.js';
import { changed, sorted } from '../store.js';

const MOST = 2000;
let shown = null;
let what = '';

export async function enter({ name: plugin = null }, signal) {
  shown = { plugin, items: [], next: null, known: false, trouble: null };
  const own = shown;
  await older(own);
  const query = own.plugin ? `?plugin=${encodeURIComponent(own.plugin)}` : '';
  const last = own.items[0]?.id;
  const from = last ? `${query ? '&' : '?'}after=${encodeURIComponent(last)}` : '';
  if (signal.aborted) return;
  follow(`/api/v1/events${query}${from}`, (entry) => {
    if (own.items.some(({ id }) => id === entry.id)) return;
    own.items = [entry, ...own.items].slice(0, MOST);
    changed();
  }, { signal });
}

async function older(own) {
  try {
    const plugin = own.plugin ? `&plugin=${encodeURIComponent(own.plugin)}` : '';
    const cursor = own.next ? `&cursor=${encodeURIComponent(own.next)}` : '';
    const page = await get(`/api/v1/journal?limit=100${plugin}${cursor}`);
    own.items = [...own.items, ...page.items];
    own.next = page.next;
  } catch (problem) {
    own.trouble = told(problem, own.plugin ?? '');
  }
  own.known = true;
  changed();
}

const detail = (entry) => Object.entries(entry.detail ?? {}).filter(([, value]) => value !== null).map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`).join(', ');

export function view(place) {
  const own = shown;
  if (!own?.known) return quiet(t('loading'));
  const kinds = [...new Set(own.items.map((entry) => entry.what))].sort();
  const list = own.items.filter((entry) => !what || entry.what === what);
  return [
    place.view === 'events' && h('h1', { key: 'title' }, t('events.title')),
    own.trouble && h('p', { key: 'trouble', class: 'bad' }, own.trouble),
    h('div', { key: 'filter', class: 'filter' },
      place.view === 'events' && [h('label', { for: 'event-plugin' }, t('events.plugin')), h('select', { id: 'event-plugin', value: own.plugin ?? '', onchange: (event) => location.replace(event.target.value ? link('plugin', event.target.value, 'events') : link('events')) }, h('option', { value: '' }, t('events.all')), sorted().map((one) => h('option', { value: one.name }, one.name)))],
      h('label', { for: 'event-what' }, t('events.what')), h('select', { id: 'event-what', value: what, onchange: (event) => { what = event.target.value; changed(); } }, h('option', { value: '' }, t('events.any')), kinds.map((kind) => h('option', { value: kind }, kind)))),
    list.length ? h('div', { key: 'list' }, table(t('events.title'), [t('col.when'), t('col.plugin'), t('col.what'), t('col.who'), t('col.server'), t('col.detail')], list.map((entry) => h('tr', { key: entry.id },
      h('td', null, time(entry.at)), h('td', null, entry.plugin && h('a', { href: link('plugin', entry.plugin) }, name(entry.plugin)), entry.generation !== null && h('span', { class: 'quiet' }, ` #${entry.generation}`)),
      h('td', null, entry.what), h('td', null, h('bdi', null, entry.by)), h('td', { class: 'quiet' }, entry.node ?? ''), h('td', { class: 'why' }, detail(entry))))),
    own.next && h('button', { onclick: () => older(own) }, t('events.older'))) : h('p', { key: 'none', class: 'quiet' }, t('events.none')),
  ];
}
