// Parts that plugins bring to the page: each in a frame without an origin, which reaches the server through a port alone. When the plugin
// has other code the new part is mounted out of sight, takes the place of the old one once it stands, and only then the old one goes; if
// it fails the old one stays, and why is shown. What must not live here: what a part may ask.
import { act, ask, get } from './api.js';
import { say } from './dialogs.js';
import { h } from './dom.js';
import { t } from './messages.js';
import { badge, name as named, quiet } from './parts.js';
import { asked, counter } from './rights.js';
import { link } from './router.js';
import { changed, may, state } from './store.js';

/** A part stands within so many milliseconds, or it has failed. */
const PATIENCE = 10_000;
/** So many asks of a part are answered at once, so many messages of it are taken in a second, and so high is it at most. */
const ASKS = 8;
const MESSAGES = 100;
const HIGHEST = 4000;
const COLOURS = ['--ground', '--paper', '--ink', '--soft', '--line', '--strong-line', '--accent', '--on-accent', '--good', '--bad', '--careful', '--hover', '--focus'];

let known = null;
let seen = null;
const places = new Map();

/** What is brought, by plugin; looked up anew when something else serves or something else is granted. */
export function extensions() {
  const now = [...state.plugins.values()].map((plugin) => `${plugin.name}:${plugin.serving?.generation}:${plugin.revision}`).join();
  if (seen !== now && state.known) {
    seen = now;
    get('/api/v1/extensions').then(({ items }) => {
      known = new Map(items.map((one) => [one.plugin, one]));
      for (const place of places.values()) place.look();
      changed();
    }, () => { seen = null; });
  }
  return known;
}

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((colour) => [colour, style.getPropertyValue(colour).trim()]));
};

/** One part of a plugin's in a frame: from its beginning until it stands, and then until it goes. */
class Framed {
  constructor(holder, offer, place, told) {
    Object.assign(this, { offer, told, running: 0, isMounted: false, isOver: false, floods: counter(MESSAGES) });
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.onmessage = ({ data }) => this.hear(data);
    this.frame = document.createElement('iframe');
    this.frame.setAttribute('sandbox', 'allow-scripts');
    this.frame.title = place.title;
    this.frame.className = 'coming';
    this.frame.src = `/frame/${encodeURIComponent(offer.plugin)}/${offer.digest}/`;
    const wish = { kind: 'begin', plugin: offer.plugin, module: new URL(offer.base + place.module, location.href).href, place: place.where, id: place.id, language: document.documentElement.lang, colours: colours() };
    this.frame.addEventListener('load', () => this.frame.contentWindow.postMessage(wish, '*', [port2]), { once: true });
    this.timer = setTimeout(() => this.fail(t('ext.slow', { seconds: PATIENCE / 1000 })), PATIENCE);
    holder.append(this.frame);
  }

  hear(message) {
    if (this.isOver) return;
    if (this.floods(performance.now())) return this.fail(t('ext.floods'));
    const { kind } = message ?? {};
    if (kind === 'mounted' && !this.isMounted) {
      this.isMounted = true;
      clearTimeout(this.timer);
      this.told.mounted(this);
    } else if (kind === 'failed') this.isMounted ? this.told.wrong(String(message.why)) : this.fail(String(message.why));
    else if (kind === 'height') this.frame.style.height = `${Math.max(24, Math.min(HIGHEST, Number(message.pixels) || 0))}px`;
    else if (kind === 'ask') this.answer(message);
    else if (kind === 'say') say(`${this.offer.plugin}: ${String(message.text).slice(0, 300)}`);
    else if (kind === 'palette') document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true, bubbles: true }));
  }

  async answer(wish) {
    const { number } = wish;
    const reply = (told) => this.isOver || this.port.postMessage({ kind: 'answer', number, ...told });
    const wanted = this.running >= ASKS ? { refused: t('ext.asks', { most: ASKS }), status: 429 } : asked(this.offer.plugin, this.offer.rights, may('operator'), wish);
    if (wanted.refused) return reply(wanted);
    this.running += 1;
    try {
      const answer = wish.what === 'call' ? await act(wanted.method, wanted.path, { body: wanted.body }) : await (await ask(wanted.method, wanted.path)).json();
      reply({ answer });
    } catch (problem) {
      reply({ refused: problem.message || t('refused.offline'), status: problem.status ?? 0 });
    }
    this.running -= 1;
  }

  fail(why) {
    this.told.failed(this, why);
    this.end();
  }

  /** What it began ends; then its frame goes, and everything in it. */
  end() {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.timer);
    this.port.postMessage({ kind: 'end' });
    this.port.close();
    this.frame.remove();
  }
}

/** Where a part stands: what is shown there now, what is to take its place, and what went wrong. */
class PartPlace {
  constructor(plugin, where, part, holder) {
    Object.assign(this, { plugin, where, id: part.id, title: part.title, module: part.module, holder, shown: null, coming: null, tried: null, wrong: null });
    this.look();
  }

  look() {
    const offer = known?.get(this.plugin);
    const part = offer?.[this.where].find(({ id }) => id === this.id);
    if (!part) {
      for (const framed of [this.shown, this.coming]) framed?.end();
      Object.assign(this, { shown: null, coming: null, tried: null, wrong: null });
      return;
    }
    if (this.tried === offer.digest) {
      for (const framed of [this.shown, this.coming]) if (framed && framed.offer.digest === offer.digest) framed.offer = offer;
      return;
    }
    this.coming?.end();
    Object.assign(this, { tried: offer.digest, title: part.title, module: part.module, wrong: null });
    this.coming = new Framed(this.holder, offer, this, {
      mounted: (framed) => {
        framed.frame.classList.remove('coming');
        this.shown?.end();
        Object.assign(this, { shown: framed, coming: null });
        changed();
      },
      failed: (framed, why) => {
        this.wrong = why;
        if (this.coming === framed) this.coming = null;
        if (this.shown === framed) this.shown = null;
        changed();
      },
      wrong: (why) => {
        this.wrong = why;
        changed();
      },
    });
  }

  dress() {
    for (const framed of [this.shown, this.coming]) framed?.port.postMessage({ kind: 'update', colours: colours() });
  }

  end() {
    for (const framed of [this.shown, this.coming]) framed?.end();
  }
}

let dressed = null;

/** A part, as it stands in a view; or why it does not. */
export function part(plugin, where, one, signal, heading = 'h2') {
  const key = `${plugin}/${where}/${one.id}`;
  const theme = document.documentElement.dataset.theme;
  if (dressed !== theme) {
    dressed = theme;
    for (const place of places.values()) place.dress();
  }
  const place = places.get(key);
  const live = state.plugins.get(plugin);
  const isThere = known?.get(plugin)?.[where].some(({ id }) => id === one.id);
  return h('section', { key, class: 'card part-of', 'aria-label': one.title },
    h(heading, null, one.title, ' ', h('a', { class: 'quiet', href: link('plugin', plugin) }, named(plugin))),
    !isThere && h('p', { key: 'gone', class: 'notice', role: 'status' }, t('ext.gone', { name: plugin }), ' ', live && badge(live), live?.reason && ` ${live.reason}`),
    place?.wrong && h('p', { key: 'wrong', class: 'bad', role: 'alert' }, t(place.shown ? 'ext.wrong' : 'ext.failed', { why: place.wrong })),
    isThere && !place?.shown && !place?.wrong && h('div', { key: 'loading' }, quiet(t('loading'))),
    h('div', { key: 'frame', own: true, class: 'framed', born: (holder) => {
      places.get(key)?.end();
      const made = new PartPlace(plugin, where, one, holder);
      places.set(key, made);
      signal.addEventListener('abort', () => {
        made.end();
        if (places.get(key) === made) places.delete(key);
      });
    } }));
}
