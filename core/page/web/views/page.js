// A page that a plugin brings. It stays where it was while its plugin is away.
import { extensions, part } from '../extensions.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { quiet } from '../parts.js';
import { link } from '../router.js';

let here = null;

export function enter() {
  here = null;
}

/** All pages of plugins that serve, by their titles: `{ plugin, id, title, href }`. */
export function pages() {
  const all = [...(extensions()?.values() ?? [])].flatMap(({ plugin, pages: brought }) => brought.map((page) => ({ ...page, plugin, href: link('page', plugin, page.id) })));
  return all.sort((one, other) => (one.title < other.title ? -1 : 1));
}

export function view({ name, id }, signal) {
  here = pages().find((page) => page.plugin === name && page.id === id) ?? here;
  return here ? part(name, 'pages', here, signal, { heading: 'h1' }) : [h('h1', null, name), quiet(extensions() ? t('ext.none') : t('loading'))];
}
