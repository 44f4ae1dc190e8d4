// The menu of a plugin: what may be done with it, and what plugins bring to it. What must not live here: what the acts do.
import { extensions, runItem } from './extensions.js';
import { h, paint } from './dom.js';
import { t } from './messages.js';
import { acts } from './parts.js';

/** What plugins bring to the menus: `{ plugin, item }`. */
export const brought = () => [...(extensions()?.values() ?? [])].flatMap(({ plugin, menus }) => menus.map((item) => ({ plugin, item })));

/** What stands in a plugin's menu: `{ text, run }`. */
export const items = (plugin) => [
  ...acts(plugin).map(([, text, run]) => ({ text, run: () => run(plugin) })),
  ...brought().map(({ plugin: by, item }) => ({ text: item.title, by, run: () => runItem(by, item, { plugin: plugin.name }) })),
];

/** Opens it at a place of the window, or below an element. */
export function openMenu(plugin, at) {
  const before = document.activeElement;
  const dialog = document.createElement('dialog');
  dialog.className = 'menu';
  dialog.setAttribute('aria-label', t('menu.of', { name: plugin.name }));
  const close = (run = null) => {
    dialog.remove();
    before?.focus?.();
    run?.();
  };
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...dialog.querySelectorAll('button')];
    all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
  };
  paint(dialog, h('div', { role: 'menu', 'aria-label': t('menu.of', { name: plugin.name }), onkeydown: move }, items(plugin).map(({ text, by, run }) =>
    h('button', { role: 'menuitem', onclick: () => close(run) }, text, by && h('span', { class: 'quiet' }, ` ${by}`)))));
  dialog.addEventListener('close', () => close());
  dialog.addEventListener('click', (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
  const box = dialog.getBoundingClientRect();
  dialog.style.left = `${Math.max(4, Math.min(at.x, innerWidth - box.width - 4))}px`;
  dialog.style.top = `${Math.max(4, Math.min(at.y, innerHeight - box.height - 4))}px`;
  dialog.querySelector('button')?.focus();
}

/** The button that opens it, where there is anything in it. */
export const menuButton = (plugin) => (acts(plugin).length > 0 || brought().length > 0) && h('button', {
  class: 'ghost', 'aria-haspopup': 'menu', 'aria-label': t('menu.of', { name: plugin.name }),
  onclick: ({ currentTarget }) => { const { left, bottom } = currentTarget.getBoundingClientRect(); openMenu(plugin, { x: left, y: bottom }); },
}, '⋯');

/** For a row of a plugin: the menu where others have theirs, by the right button or the key for it. */
export const onMenu = (plugin) => (event) => {
  // A link keeps its own.
  if (event.target.closest('a') || !items(plugin).length) return;
  event.preventDefault();
  openMenu(plugin, { x: event.clientX, y: event.clientY });
};
