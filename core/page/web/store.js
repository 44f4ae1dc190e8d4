// What the page knows, and who is told when that changes. What must not live here: where it comes from, and how it looks.
export const state = {
  who: null,
  place: { view: 'overview' },
  plugins: new Map(),
  ready: false,
  trouble: null,
  registryTrouble: null,
  known: false,
  staleSince: null,
  busy: new Set(),
};

const listeners = new Set();
let asked = false;

/** Has everything that looks look again: once a frame, however often it is said. */
export function changed() {
  if (asked) return;
  asked = true;
  const tell = () => {
    asked = false;
    for (const listener of listeners) listener();
  };
  // A page that nobody sees gets no frames.
  if (globalThis.document?.visibilityState === 'visible') requestAnimationFrame(tell);
  else setTimeout(tell, 50);
}

export const listen = (listener) => listeners.add(listener);

/** What the stream of the overview says. What changed is another map: see `derived`. */
export function take(change, into = state) {
  const plugins = new Map(change.whole ? [] : into.plugins);
  for (const plugin of change.plugins) plugins.set(plugin.name, plugin);
  for (const name of change.gone) plugins.delete(name);
  Object.assign(into, { plugins, ready: change.ready, trouble: change.trouble, registryTrouble: change.registry_trouble, known: true });
}

/** What follows from all plugins alone, worked out once for each change: there may be thousands, and whatever is drawn asks. */
export function derived(work) {
  let of = null;
  let answer;
  return (plugins = state.plugins) => {
    if (of !== plugins) [of, answer] = [plugins, work([...plugins.values()])];
    return answer;
  };
}

export const byName = (one, other) => (one.name < other.name ? -1 : 1);

export const sorted = derived((plugins) => plugins.sort(byName));

const RANKS = { viewer: 1, operator: 2, admin: 3 };

/** Whether whoever is here has at least this role. */
export const may = (role) => (RANKS[state.who?.role] ?? 0) >= RANKS[role];
