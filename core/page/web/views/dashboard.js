// Widgets of all plugins, beside each other: all there are, or those of a layout, which is kept for whoever is here, or came in a link.
// Those that were here stay where they were when their plugin does not serve.
import { act, get } from '../api.js';
import { modal, say } from '../dialogs.js';
import { h } from '../dom.js';
import { extensions, part } from '../extensions.js';
import { form } from '../form.js';
import { checked, configured, moved, read, settings, without, written } from '../layout.js';
import { t } from '../messages.js';
import { quiet, told, words } from '../parts.js';
import { go } from '../router.js';
import { changed } from '../store.js';

/** What is kept for whoever is here; undefined until it is known, null if nothing is. */
let kept;
let arranging = false;
let seen = new Map();

export function enter() {
  seen = new Map();
  arranging = false;
  get('/api/v1/page/layout').then((layout) => { kept = checked(layout); changed(); }, () => { kept = null; changed(); });
}

const keyOf = ({ plugin, id }) => `${plugin}/${id}`;

/** All widgets that there are, or were since one came here. */
function offered() {
  for (const { plugin, widgets, trusted } of extensions()?.values() ?? []) for (const widget of widgets) seen.set(`${plugin}/${widget.id}`, { plugin, widget, trusted });
  return new Map([...seen].sort(([one], [other]) => (one < other ? -1 : 1)));
}

const everything = (all) => [...all.values()].map(({ plugin, widget }) => ({ plugin, id: widget.id }));

let saving = Promise.resolve();

/** Shows it at once, and saves one after the other; of several that wait, the last. */
function keep(list) {
  const before = kept;
  kept = list?.length ? list : null;
  const now = kept;
  changed();
  saving = saving.then(async () => {
    if (kept !== now) return;
    try {
      await act('PUT', '/api/v1/page/layout', { body: { widgets: now ?? [] } });
    } catch (problem) {
      say(told(problem), { bad: true });
      if (kept === now) kept = before;
      changed();
    }
  });
  return saving;
}

async function share(list) {
  const link = `${location.origin}/#/dashboard/${written(list)}`;
  await navigator.clipboard?.writeText(link).then(() => say(t('dashboard.copied')), () => null);
  modal(t('dashboard.share'), (close) => [h('label', { for: 'share-link' }, t('dashboard.link')), h('input', { id: 'share-link', readonly: true, value: link }),
    h('p', { class: 'acts' }, h('button', { onclick: () => close(null) }, t('close')))]);
}

async function configure(list, index, widget) {
  let draft = settings(list[index], { widget });
  const done = await modal(t('dashboard.configure', { name: widget.title }), (close, redraw) => h('form', { onsubmit: (event) => { event.preventDefault(); close(draft); } },
    form(widget.config, { draft, kept: {}, misfits: [], set: (change) => { draft = change(draft); redraw(); } }),
    h('p', { class: 'acts' }, h('button', { type: 'button', onclick: () => close(null) }, t('cancel')), h('button', { class: 'primary', type: 'submit' }, t('act.save')))));
  if (done) keep(configured(list, index, done));
}

function controls(list, index, name, widget) {
  const button = (word, run, props = {}) => h('button', { 'aria-label': t(`dashboard.${word}.of`, { name }), onclick: run, ...props }, t(`dashboard.${word}`));
  return h('p', { class: 'acts arranged' },
    button('earlier', () => keep(moved(list, index, -1)), { disabled: index === 0 }), button('later', () => keep(moved(list, index, 1)), { disabled: index === list.length - 1 }),
    widget.config && button('set', () => configure(list, index, widget)), button('remove', () => keep(without(list, index))));
}

function adding(list, all) {
  let chosen = [...all.keys()][0];
  return h('p', { key: 'add', class: 'row' }, h('label', { for: 'add-widget' }, t('dashboard.add')),
    h('select', { id: 'add-widget', onchange: (event) => { chosen = event.target.value; } }, [...all].map(([key, { plugin, widget }]) => h('option', { value: key }, `${widget.title} (${plugin})`))),
    h('button', { onclick: () => { const { plugin, widget } = all.get(document.getElementById('add-widget').value || chosen); keep([...list, { plugin, id: widget.id }]); } }, t('dashboard.add.do')));
}

export function view(place, signal) {
  const known = extensions();
  const all = offered();
  const linked = place.layout ? read(place.layout) : null;
  const list = linked ?? kept ?? everything(all);
  const ready = known && kept !== undefined;
  const counts = new Map();
  const slots = list.map((item) => {
    const times = counts.get(keyOf(item)) ?? 0;
    counts.set(keyOf(item), times + 1);
    return { item, number: times, slot: times ? `${keyOf(item)}/${times}` : keyOf(item) };
  });
  return [
    h('div', { class: 'head' }, h('h1', null, t('dashboard.title')), h('span', { class: 'room' }),
      ready && !linked && all.size > 0 && h('button', { key: 'arrange', 'aria-pressed': arranging ? 'true' : 'false', onclick: () => { arranging = !arranging; changed(); } }, t('dashboard.arrange')),
      ready && !linked && kept && h('button', { key: 'forget', onclick: () => keep(null) }, t('dashboard.forget')),
      ready && list.length > 0 && h('button', { key: 'share', onclick: () => share(list) }, t('dashboard.share'))),
    place.layout && h('p', { key: 'linked', class: 'notice' }, t(linked ? 'dashboard.linked' : 'dashboard.unreadable'), ' ',
      linked && h('button', { onclick: () => keep(linked).then(() => go('dashboard')) }, t('dashboard.keep')), ' ', h('button', { onclick: () => go('dashboard') }, t('dashboard.mine'))),
    arranging && !linked && adding(list, all),
    !ready ? h('p', { key: 'none', class: 'quiet' }, t('loading')) : !list.length ? h('p', { key: 'none', class: 'quiet' }, words(t('dashboard.none')))
      : h('div', { key: 'widgets', class: 'widgets' }, slots.map(({ item, slot, number }, index) => {
        const widget = all.get(keyOf(item))?.widget ?? { id: item.id, title: item.id };
        // The second of a sort is told from the first.
        const called = (title) => (number ? `${title} ${number + 1}` : title);
        return h('div', { key: slot, class: 'slot' }, arranging && !linked && controls(list, index, called(widget.title), widget),
          part(item.plugin, 'widgets', { ...widget, title: called(widget.title), called }, signal, { slot, given: { config: settings(item, all.get(keyOf(item)), Boolean(linked)) } }));
      })),
    ready && list.length > 0 && h('div', { key: 'how' }, quiet(t('dashboard.how'))),
  ];
}
