// Catalogs as the server knows them, asked for while somebody looks: which are followed, what is not the newest, which installs go on. And
// the acts: to install, to look at a catalog now. What must not live here: how any of it looks.
import { act, get, Problem } from './api.js';
import { every } from './live.js';
import { told } from './parts.js';
import { changed } from './store.js';

const AGAIN = 5000;
const SOON = 1000;

/** `begun` are the installs that somebody set off here, by plugin, until it is known what came of them. */
export const known = { catalogs: null, outdated: null, installs: [], trouble: null, begun: new Map() };

const all = (path) => get(path).then(({ items }) => items);

export async function lookAtCatalogs() {
  try {
    const [catalogs, outdated] = await Promise.all([all('/api/v1/catalogs'), all('/api/v1/marketplace/outdated')]);
    Object.assign(known, { catalogs, outdated, trouble: null });
  } catch (problem) {
    known.trouble = told(problem, '');
  }
  changed();
}

async function lookAtInstalls() {
  const installs = await all('/api/v1/marketplace/installs').catch(() => null);
  if (!installs || JSON.stringify(installs) === JSON.stringify(known.installs)) return;
  const fewer = installs.length < known.installs.length;
  known.installs = installs;
  changed();
  // What is over may have changed what is the newest.
  if (fewer) lookAtCatalogs();
}

export function watchCatalogs(signal) {
  every(AGAIN, lookAtCatalogs, signal);
  every(SOON, lookAtInstalls, signal);
}

export const catalogNamed = (name) => known.catalogs?.find((one) => one.name === name) ?? null;
/** What changes when any of them is at another version. */
export const versions = () => known.catalogs?.map(({ name, version }) => `${name} ${version}`).join() ?? '';
export const installOf = (plugin) => known.installs.find((one) => one.plugin === plugin) ?? null;
export const isInstalling = (plugin) => known.begun.has(plugin) || installOf(plugin) !== null;

const listing = (plugin, rest = '') => `/api/v1/marketplace/plugins/${encodeURIComponent(plugin)}${rest}`;
export const offerOf = (plugin) => get(listing(plugin));
export const packageOf = (plugin, version) => get(listing(plugin, `/versions/${encodeURIComponent(version)}`));
export const planOf = (plugin, version) => get(`/api/v1/marketplace/plan?plugin_id=${encodeURIComponent(plugin)}${version ? `&version=${encodeURIComponent(version)}` : ''}`);

/**
 * Installs, or updates; answers what went wrong, if something did: `{ trouble, misfits }`, the latter by place in the configuration. It goes
 * on when nobody waits any more.
 */
export async function install(plugin, { version = '', config = null, grant = null } = {}) {
  if (known.begun.has(plugin)) return null;
  known.begun.set(plugin, { version });
  changed();
  try {
    const body = { plugin_id: plugin, ...(version && { version }), ...(config && { config }) };
    await act('POST', `/api/v1/plugins${grant ? `?grant=${encodeURIComponent(grant.join(','))}` : ''}`, { body });
    return { trouble: null, misfits: [] };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return { trouble: told(problem, plugin), misfits: problem.told.violations ?? [] };
  } finally {
    known.begun.delete(plugin);
    await Promise.all([lookAtInstalls(), lookAtCatalogs()]);
  }
}
