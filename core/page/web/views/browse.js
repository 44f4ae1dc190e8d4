// What catalogs list: found as one types, narrowed, in an order.
import { get } from '../api.js';
import { isInstalling, known, versions } from '../catalogs.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { name, quiet, told, words } from '../parts.js';
import { link } from '../router.js';
import { changed, may, state } from '../store.js';

const SORTS = ['relevance', 'name', 'rating', 'downloads', 'created_at'];
const PAGE = 48;
/** So long after a key it is asked. */
const PAUSE = 120;
const wish = { search: '', category: '', sort: 'relevance', available_here: false };
const found = { items: null, next: null, categories: [], trouble: null, seen: null };
let asked = 0;
let timer = null;

export function enter() {
  look();
}

function query(cursor) {
  const said = Object.entries({ ...wish, limit: PAGE, cursor }).filter(([, value]) => value);
  return `/api/v1/marketplace/plugins?${new URLSearchParams(said)}`;
}

/** Asks; whoever asked before and is answered later is not listened to. */
async function look(cursor = null) {
  asked += 1;
  const mine = asked;
  found.seen = known.catalogs ? versions() : null;
  try {
    const [page, categories] = await Promise.all([get(query(cursor)), get('/api/v1/marketplace/categories')]);
    if (mine !== asked) return;
    Object.assign(found, { items: cursor ? [...found.items, ...page.items] : page.items, next: page.next, categories: categories.items, trouble: null });
  } catch (problem) {
    if (mine === asked) found.trouble = told(problem, '');
  }
  changed();
}

function set(change, pause = 0) {
  Object.assign(wish, change);
  clearTimeout(timer);
  timer = setTimeout(look, pause);
  changed();
}

/** What people think of it and how many have it, where its catalog knows. */
export const regard = (one) => [one.rating !== null && t('catalog.rating', { rating: Math.round(one.rating * 10) / 10 }), one.downloads !== null && t('catalog.downloads', { count: new Intl.NumberFormat().format(one.downloads) })].filter(Boolean);

function card(one) {
  const there = state.plugins.get(one.name);
  const newer = known.outdated?.find(({ plugin, newest, installed }) => plugin === one.name && newest !== installed);
  return h('li', { key: `${one.catalog}/${one.name}`, class: 'card' },
    h('h2', null, h('a', { href: link('catalog', one.name) }, name(one.display_name || one.name)), h('span', { class: 'quiet number' }, one.version)),
    h('p', { class: 'says' }, one.description),
    h('p', { class: 'quiet' }, [one.display_name && one.display_name !== one.name && one.name, one.category, one.license, ...regard(one), t('catalog.of', { catalog: one.catalog })].filter(Boolean).map((part, at) => [at > 0 && ' · ', h('bdi', null, part)])),
    h('p', { class: 'marks' }, isInstalling(one.name) ? h('span', { class: 'tag' }, t('catalog.installing')) : there && h('span', { class: 'tag good' }, t('catalog.installed', { version: there.version })),
      newer && h('span', { class: 'tag careful' }, t('catalog.newer', { version: newer.newest })), !one.available_here && h('span', { class: 'tag bad' }, t('catalog.elsewhere')), one.tags.map((tag) => h('span', { class: 'quiet' }, '#', h('bdi', null, tag)))));
}

export function view() {
  // Another version of a catalog may list something else.
  if (known.catalogs && found.seen === null) found.seen = versions();
  else if (known.catalogs && found.seen !== versions()) look();
  const none = known.catalogs?.length === 0;
  return [
    found.trouble && h('p', { key: 'trouble', class: 'notice bad-edge', role: 'alert' }, found.trouble),
    h('div', { key: 'filter', class: 'filter' },
      h('label', { class: 'unseen', for: 'catalog-search' }, t('catalog.search')),
      h('input', { id: 'catalog-search', type: 'search', placeholder: t('catalog.search'), value: wish.search, autocomplete: 'off', spellcheck: 'false', oninput: (event) => set({ search: event.target.value }, PAUSE) }),
      h('label', { for: 'catalog-category', class: 'unseen' }, t('plugin.category')),
      h('select', { id: 'catalog-category', value: wish.category, onchange: (event) => set({ category: event.target.value }) }, h('option', { value: '' }, t('catalog.category.any')), found.categories.map(({ category, listed }) => h('option', { value: category }, `${category} (${listed})`))),
      h('label', { for: 'catalog-sort' }, t('catalog.sort')),
      h('select', { id: 'catalog-sort', value: wish.sort, onchange: (event) => set({ sort: event.target.value }) }, SORTS.map((sort) => h('option', { value: sort }, t(`catalog.sort.${sort}`)))),
      h('label', { class: 'choice' }, h('input', { type: 'checkbox', checked: wish.available_here, onchange: (event) => set({ available_here: event.target.checked }) }), t('catalog.here')),
      h('span', { class: 'quiet', role: 'status' }, found.items && t(found.next ? 'catalog.found.more' : 'catalog.found', { count: found.items.length }))),
    !found.items ? h('div', { key: 'loading' }, quiet(found.trouble ? '' : t('loading')))
      : found.items.length ? h('div', { key: 'list' }, h('ul', { class: 'offers', 'aria-label': t('catalog.title') }, found.items.map(card)), found.next && h('button', { onclick: () => look(found.next) }, t('more')))
        : h('p', { key: 'none', class: 'quiet' }, words(none ? t(may('admin') ? 'catalog.none.add' : 'catalog.none') : t('catalog.nothing'))),
  ];
}
