// Parts that plugins bring to the page: those of trusted plugins in it (`inside.js`), all others in frames (`framed.js`). When the plugin
// has other code the new part is mounted out of sight, takes the place of the old one once it stands, and only then the old one goes; if
// it fails the old one stays, and why is shown. What must not live here: what a part may ask.
import { get } from './api.js';
import { say } from './dialogs.js';
import { h } from './dom.js';
import { Framed } from './framed.js';
import { Inside } from './inside.js';
import { t } from './messages.js';
import { badge, name as named, quiet } from './parts.js';
import { link } from './router.js';
import { changed, derived, state } from './store.js';

/** A part stands within so many milliseconds, or it has failed. */
const PATIENCE = 10_000;
/** A frame that begins anew by itself is begun with so often. */
const ANEW = 20;
/** Whose scripts this document's policy lets in. Whoever is trusted since then comes in frames until the page is opened anew. */
const LET_IN = (globalThis.document?.querySelector('meta[name="trusted"]')?.content ?? '').split(' ');
const COLOURS = ['--ground', '--paper', '--ink', '--soft', '--line', '--strong-line', '--accent', '--on-accent', '--good', '--bad', '--careful', '--hover', '--focus'];

let known = null;
let seen = null;
let asked = 0;
let answered = 0;
const places = new Map();

const serving = derived((plugins) => plugins.map((plugin) => `${plugin.name}:${plugin.serving?.generation}:${plugin.revision}`).join());

/** What is brought, by plugin; looked up anew when something else serves or something else is granted. */
export function extensions() {
  sweep();
  const now = serving();
  if (seen !== now && state.known) {
    seen = now;
    const number = (asked += 1);
    get('/api/v1/extensions').then(({ items }) => {
      // What was asked later may be answered earlier.
      if (number < answered) return;
      answered = number;
      known = new Map(items.map((one) => [one.plugin, one]));
      for (const place of places.values()) place.look();
      changed();
    }, () => { if (seen === now) seen = null; });
  }
  return known;
}

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((colour) => [colour, style.getPropertyValue(colour).trim()]));
};

const kindOf = (offer) => (offer.trusted && LET_IN.includes(offer.plugin) ? Inside : Framed);

/** The same, with no more rights than one part of it asks for. */
const limited = (offer, { permissions }) => (permissions ? { ...offer, rights: offer.rights.filter((right) => permissions.includes(right)) } : offer);

/** Where a part stands: what is shown there now, what is to take its place, and what went wrong. */
class PartPlace {
  /** `given` is what this one gets beside what all get; `hear` is told what it says of itself. */
  constructor(plugin, where, part, holder, given = {}, hear = null) {
    Object.assign(this, { plugin, where, id: part.id, title: part.title, called: part.called ?? ((title) => title), module: part.module, holder, given, hear, shown: null, coming: null, tried: null, wrong: null });
    this.look();
  }

  look() {
    const offer = known?.get(this.plugin);
    const part = offer?.[this.where].find(({ id }) => id === this.id);
    if (!part) {
      for (const running of [this.shown, this.coming]) running?.end();
      Object.assign(this, { shown: null, coming: null, tried: null, wrong: null });
      return;
    }
    const kind = kindOf(offer);
    const wanted = `${kind.name} ${offer.digest}`;
    if (this.tried === wanted) {
      for (const running of [this.shown, this.coming]) if (running && running.offer.digest === offer.digest) running.offer = limited(offer, part);
      return;
    }
    this.coming?.end();
    Object.assign(this, { tried: wanted, title: this.called(part.title), module: part.module, wrong: null });
    const told = {
      mounted: (running) => {
        running.element.classList.remove('coming');
        this.shown?.end();
        Object.assign(this, { shown: running, coming: null });
        changed();
      },
      failed: (running, why) => {
        this.wrong = why;
        if (this.coming === running) this.coming = null;
        if (this.shown === running) this.shown = null;
        changed();
      },
      wrong: (why) => {
        this.wrong = why;
        changed();
      },
      set: (value, running) => this.take(value, running),
      again: (running) => {
        this.again = (this.again ?? 0) + 1;
        if (this.again > ANEW) return running.fail(t('ext.again'));
        running.end();
        Object.assign(this, { shown: null, coming: null, tried: null });
        this.look();
      },
    };
    this.coming = new kind(this.holder, limited(offer, part), this, { told, patience: PATIENCE, colours: colours() });
  }

  /** What is given has changed. */
  give(given) {
    if (JSON.stringify(given) === JSON.stringify(this.given)) return;
    this.given = given;
    for (const running of [this.shown, this.coming]) running?.update(given);
  }

  /** What one of them has set is not told to it again: meanwhile it may have gone on. */
  take(value, by) {
    if (!this.hear) return;
    this.given = { ...this.given, value: value || null };
    for (const running of [this.shown, this.coming]) if (running !== by) running?.update(this.given);
    this.hear(value);
  }

  dress() {
    for (const running of [this.shown, this.coming]) running?.update({ colours: colours() });
  }

  end() {
    for (const running of [this.shown, this.coming]) running?.end();
  }
}

let dressed = null;

/** Parts whose place is gone from the document go too. */
function sweep() {
  for (const [key, place] of places) {
    if (place.holder.isConnected || !place.wasThere) {
      place.wasThere ||= place.holder.isConnected;
      continue;
    }
    place.end();
    places.delete(key);
  }
}

/** Has an item of a menu done for what it was chosen at: its part begins, does it, and goes. */
export function runItem(plugin, item, subject) {
  const offer = known?.get(plugin);
  if (!offer?.menus.some(({ id }) => id === item.id)) return;
  const holder = document.createElement('div');
  holder.className = 'unseen';
  holder.inert = true;
  document.body.append(holder);
  const told = {
    mounted: (running) => {
      running.end();
      holder.remove();
    },
    failed: (running, why) => {
      say(`${item.title}: ${why}`, { bad: true });
      holder.remove();
    },
  };
  new (kindOf(offer))(holder, limited(offer, item), { ...item, where: 'menus', given: { subject } }, { told, patience: PATIENCE, colours: colours() });
}

/** The field that a plugin brings for a format, at a form of this plugin: its own, or one of somebody who is trusted. */
export function fieldFor(format, plugin) {
  const offers = [...(known?.values() ?? [])].filter((offer) => offer.plugin === plugin || offer.trusted).sort((one) => (one.plugin === plugin ? -1 : 1));
  const found = offers.flatMap((offer) => offer.fields.map((field) => ({ by: offer.plugin, field }))).find(({ field }) => field.format === format);
  return format && found ? found : null;
}

/** It, as it stands at a field: what it sets comes to `hear`, and what else was typed comes to it. */
export function fieldPart({ by, field }, { slot, value, hear, label }) {
  const key = `${by}/fields/${field.id}/${slot}`;
  const place = places.get(key);
  if (place) place.hear = hear;
  place?.give({ value: value ?? null });
  return h('div', { key: `${by}-${field.id}`, class: 'brought-field' },
    place?.wrong && h('p', { key: 'wrong', class: 'bad', role: 'alert' }, t('ext.failed', { why: place.wrong })),
    h('div', { key: 'frame', own: true, class: 'framed', born: (holder) => {
      places.get(key)?.end();
      places.set(key, new PartPlace(by, 'fields', { ...field, called: (title) => `${label}: ${title}` }, holder, { value: value ?? null }, hear));
    } }));
}

/** A part, as it stands in a view; or why it does not. */
export function part(plugin, where, one, signal, { heading = 'h2', slot = '', given = {} } = {}) {
  const key = `${plugin}/${where}/${one.id}/${slot}`;
  const { look } = document.documentElement.dataset;
  if (dressed !== look) {
    dressed = look;
    for (const place of places.values()) place.dress();
  }
  const place = places.get(key);
  place?.give(given);
  const live = state.plugins.get(plugin);
  const isThere = known?.get(plugin)?.[where].some(({ id }) => id === one.id);
  return h('section', { key, class: 'card part-of', 'aria-label': one.title },
    h(heading, null, one.title, ' ', h('a', { class: 'quiet', href: link('plugin', plugin) }, named(plugin))),
    !isThere && h('p', { key: 'gone', class: 'notice', role: 'status' }, t('ext.gone', { name: plugin }), ' ', live && badge(live), live?.reason && ` ${live.reason}`),
    place?.wrong && h('p', { key: 'wrong', class: 'bad', role: 'alert' }, t(place.shown ? 'ext.wrong' : 'ext.failed', { why: place.wrong })),
    isThere && !place?.shown && !place?.wrong && h('div', { key: 'loading' }, quiet(t('loading'))),
    h('div', { key: 'frame', own: true, class: 'framed', born: (holder) => {
      places.get(key)?.end();
      const made = new PartPlace(plugin, where, one, holder, given);
      places.set(key, made);
      signal.addEventListener('abort', () => {
        made.end();
        if (places.get(key) === made) places.delete(key);
      });
    } }));
}
