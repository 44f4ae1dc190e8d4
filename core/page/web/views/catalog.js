// The catalog: what is offered, one plugin of it, what is not the newest, and which catalogs are followed.
import { known, watchCatalogs } from '../catalogs.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { CATALOG_TABS, link } from '../router.js';
import * as browse from './browse.js';
import * as offer from './offer.js';
import * as sources from './sources.js';
import * as updates from './updates.js';

const PARTS = { browse, updates, sources, offer };

export function enter(place, signal) {
  watchCatalogs(signal);
  PARTS[place.tab].enter?.(place, signal);
}

const count = (tab) => ({ updates: known.outdated?.length, sources: known.catalogs?.filter(({ trouble }) => trouble).length })[tab];

export function view(place, signal) {
  const part = h('div', { key: `part-${place.tab}`, class: 'part' }, PARTS[place.tab].view(place, signal));
  if (place.tab === 'offer') return part;
  return [
    h('div', { class: 'head' }, h('h1', null, t('catalog.title'))),
    h('nav', { key: 'tabs', class: 'tabs', 'aria-label': t('catalog.title') }, CATALOG_TABS.map((tab) => h('a', { key: tab, href: link('catalog', null, tab), 'aria-current': tab === place.tab ? 'page' : null }, t(`catalog.tab.${tab}`), count(tab) > 0 && [' ', h('span', { class: tab === 'sources' ? 'count bad' : 'count' }, t(`catalog.tab.${tab}.count`, { count: count(tab) }))]))),
    known.trouble && h('p', { key: 'trouble', class: 'notice bad-edge' }, known.trouble),
    part,
  ];
}
