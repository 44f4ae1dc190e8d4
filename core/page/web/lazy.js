// Modules that come when somebody goes there first: what nobody opens weighs nothing. What must not live here: what they show.
import { h } from './dom.js';
import { t } from './messages.js';
import { quiet } from './parts.js';
import { changed } from './store.js';

/** Of modules by name, each by what brings it; these are there from the beginning. */
export function lazy(loaders, from = {}) {
  const there = new Map(Object.entries(from));
  const failed = new Set();
  return {
    /** It, if it is there. */
    of: (name) => there.get(name),
    /** Brings it, if it is not there; null if it cannot be had. */
    async come(name) {
      if (there.has(name)) return there.get(name);
      try {
        there.set(name, await loaders[name]());
        failed.delete(name);
      } catch {
        failed.add(name);
      }
      changed();
      return there.get(name) ?? null;
    },
    /** What stands in its place until it is there. A server with another program has other files: then the page is of the one before. */
    instead: (name) => (failed.has(name)
      ? h('p', { key: 'missing', class: 'notice bad-edge', role: 'alert' }, t('lazy.failed'), ' ', h('button', { onclick: () => location.reload() }, t('lazy.anew')))
      : quiet(t('loading'))),
  };
}
