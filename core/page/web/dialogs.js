// What is told in passing, and what is asked before something that cannot be undone. What must not live here: what is done.
import { h, paint } from './dom.js';
import { t } from './messages.js';

const STAYS = 9000;
let told = [];
let number = 0;

function draw() {
  paint(document.getElementById('told'), told.map(({ id, text, bad, undo }) => h('div', { key: id, class: bad ? 'toast bad-edge' : 'toast' },
    h('span', null, text),
    undo && h('button', { onclick: () => { forget(id); undo(); } }, t('undo')),
    h('button', { class: 'ghost', 'aria-label': t('dismiss'), onclick: () => forget(id) }, '×'))));
}

function forget(id) {
  told = told.filter((one) => one.id !== id);
  draw();
}

/** Says something. What went wrong stays until it is put away. */
export function say(text, { bad = false, undo = null } = {}) {
  const id = ++number;
  told = [...told.slice(-3), { id, text, bad, undo }];
  draw();
  if (!bad) setTimeout(() => forget(id), STAYS);
}

/** A modal dialog; `content(close)` is what stands in it. Resolves with what it is closed with. */
export function modal(title, content, { wide = false } = {}) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const dialog = document.createElement('dialog');
    if (wide) dialog.className = 'wide';
    dialog.setAttribute('aria-labelledby', 'dialog-title');
    const close = (value) => {
      dialog.remove();
      before?.focus?.();
      resolve(value);
    };
    const redraw = () => paint(dialog, [h('h2', { id: 'dialog-title' }, title), content(close, redraw)]);
    // Whichever way a browser ends it: some ask first (`cancel`) only where something was done since they last did.
    dialog.addEventListener('close', () => close(null));
    redraw();
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function confirm(title, how, word) {
  return modal(title, (close) => [h('p', null, how), h('p', { class: 'acts' },
    h('button', { onclick: () => close(false) }, t('cancel')),
    h('button', { class: 'danger', onclick: () => close(true) }, word))]);
}
