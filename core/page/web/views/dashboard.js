// Widgets of all plugins, beside each other. Those that were here stay where they were when their plugin does not serve.
import { extensions, part } from '../extensions.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { quiet, words } from '../parts.js';

let here = new Map();

export function enter() {
  here = new Map();
}

export function view(place, signal) {
  const known = extensions();
  for (const { plugin, widgets } of known?.values() ?? []) for (const widget of widgets) here.set(`${plugin}/${widget.id}`, [plugin, widget]);
  return [
    h('div', { class: 'head' }, h('h1', null, t('dashboard.title'))),
    here.size ? h('div', { key: 'widgets', class: 'widgets' }, [...here].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, [plugin, widget]]) => part(plugin, 'widgets', widget, signal))) : h('p', { key: 'none', class: 'quiet' }, known ? words(t('dashboard.none')) : t('loading')),
    known && here.size > 0 && h('div', { key: 'how' }, quiet(t('dashboard.how'))),
  ];
}
