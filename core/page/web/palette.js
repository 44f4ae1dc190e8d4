// The command palette: every place and every act, by typing. What must not live here: what the acts do.
import { modal } from './dialogs.js';
import { h } from './dom.js';
import { t } from './messages.js';
import { acts } from './parts.js';
import { go } from './router.js';
import { may, sorted } from './store.js';
import { pages } from './views/page.js';
import { tabsOf } from './views/plugin.js';

const MOST = 50;

/** All that there is to choose: `{ text, run }`. */
export function commands(places) {
  const all = places.map((view) => ({ text: t(`nav.${view}`), run: () => go(view) }));
  for (const { plugin, id, title } of pages()) all.push({ text: `${title} (${plugin})`, run: () => go('page', plugin, id) });
  for (const plugin of sorted()) {
    all.push({ text: plugin.name, run: () => go('plugin', plugin.name) });
    for (const [, label, run] of acts(plugin)) all.push({ text: `${label} ${plugin.name}`, run: () => run(plugin) });
    for (const tab of tabsOf().slice(1)) all.push({ text: `${plugin.name}: ${t(`tab.${tab}`)}`, run: () => go('plugin', plugin.name, tab) });
  }
  return all;
}

/** Those in which all that is typed stands, the shortest first. */
export function fitting(all, typed) {
  const parts = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = all.filter(({ text }) => parts.every((part) => text.toLowerCase().includes(part)));
  return parts.length ? fits.sort((one, other) => one.text.length - other.text.length) : fits;
}

let open = false;

export async function palette(places) {
  if (open) return;
  open = true;
  const all = commands(places);
  let typed = '';
  let at = 0;
  const chosen = await modal(t('palette'), (close, redraw) => {
    const list = fitting(all, typed).slice(0, MOST);
    at = Math.min(at, Math.max(0, list.length - 1));
    const move = (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) {
        event.preventDefault();
        at = (at + step + list.length) % Math.max(1, list.length);
        redraw();
        document.getElementById(`command-${at}`)?.scrollIntoView({ block: 'nearest' });
      } else if (event.key === 'Enter' && list[at]) {
        event.preventDefault();
        close(list[at]);
      }
    };
    return [
      h('input', { type: 'text', role: 'combobox', 'aria-label': t('palette.label'), placeholder: t('palette.label'), 'aria-expanded': 'true', 'aria-controls': 'commands', 'aria-activedescendant': list.length ? `command-${at}` : null, autocomplete: 'off', oninput: (event) => { typed = event.target.value; at = 0; redraw(); }, onkeydown: move }),
      h('ul', { id: 'commands', role: 'listbox', 'aria-label': t('palette.open') }, list.map((command, index) =>
        h('li', { id: `command-${index}`, role: 'option', 'aria-selected': index === at ? 'true' : 'false', onclick: () => close(command) }, command.text))),
      !list.length && h('p', { class: 'quiet' }, t('palette.none')),
    ];
  });
  open = false;
  chosen?.run();
}

export const canInstall = () => may('admin');
