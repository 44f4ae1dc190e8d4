// A part of a plugin that is trusted: its module runs in the page itself, in a shadow root of its own, until it goes. It asks as others
// do, and is held to the same; but it can reach whatever the page can, which is what trust means. What must not live here: which plugins
// are trusted.
import { asks } from './asks.js';
import { say } from './dialogs.js';
import { t } from './messages.js';

export class Inside {
  constructor(holder, offer, place, { told, patience }) {
    Object.assign(this, { offer, told, isMounted: false, isOver: false, mounted: {}, ending: new AbortController() });
    this.element = document.createElement('div');
    this.element.className = 'inside coming';
    this.timer = setTimeout(() => this.fail(t('ext.slow', { seconds: patience / 1000 })), patience);
    holder.append(this.element);
    this.begin(place).catch((why) => this.wrong(why));
  }

  async begin(place) {
    const { offer, ending: { signal } } = this;
    const shadow = this.element.attachShadow({ mode: 'open' });
    const root = document.createElement('div');
    const looks = document.createElement('link');
    looks.rel = 'stylesheet';
    const dressed = new Promise((resolve) => { looks.onload = looks.onerror = resolve; });
    looks.href = new URL('./frame.css', import.meta.url).href;
    shadow.append(looks, root);
    // What goes wrong in its code later is known by where that code lies.
    const ours = (text) => String(text ?? '').includes(offer.base);
    addEventListener('error', (event) => ours(event.filename) && this.wrong(event.error ?? event.message), { signal });
    addEventListener('unhandledrejection', (event) => {
      if (!ours(event.reason?.stack)) return;
      event.stopImmediatePropagation();
      this.wrong(event.reason);
    }, { signal, capture: true });
    this.module = await import(new URL(offer.base + place.module, location.href).href);
    const work = place.where === 'menus' ? 'run' : 'mount';
    const part = this.module[place.where]?.[place.id];
    if (typeof part?.[work] !== 'function') throw new Error(`the module exports no \`${place.where}.${place.id}.${work}\``);
    const ctx = this.context(place);
    await this.module.onLoad?.(ctx);
    if (this.isOver) return;
    this.mounted = (work === 'run' ? await part.run(ctx) : await part.mount(root, ctx)) ?? {};
    await dressed;
    if (this.isOver) return;
    this.isMounted = true;
    clearTimeout(this.timer);
    this.told.mounted(this);
  }

  context({ id, given }) {
    const { plugin } = this.offer;
    const ask = asks(() => this.offer);
    return Object.freeze({
      plugin, id, language: document.documentElement.lang, signal: this.ending.signal, ...given,
      read: (what, query = '', of = plugin) => ask({ what, query: String(query), of }),
      call: (method, path, body, headers) => ask({ what: 'call', method, path, body, headers }),
      set: (value) => this.told.set?.(String(value), this),
      say: (text) => say(`${plugin}: ${String(text).slice(0, 300)}`),
    });
  }

  wrong(why) {
    if (this.isOver) return;
    const text = String(why?.message ?? why).slice(0, 2000);
    if (this.isMounted) this.told.wrong(text);
    else this.fail(text);
  }

  update(change) {
    Promise.resolve().then(() => this.mounted.update?.(change)).catch((why) => this.wrong(why));
  }

  fail(why) {
    this.told.failed(this, why);
    this.end();
  }

  /** What it began ends, and its root goes. */
  end() {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.timer);
    this.ending.abort();
    this.element.remove();
    Promise.resolve().then(() => this.module?.onUnload?.()).catch(() => {});
  }
}
