// What to do about a plugin that is not well, in the words of the command line. Pure.
const ABOUT_STAGE = {
  manifest: () => 'mend its manifest and save: it is looked at again by itself',
  build: () => 'mend it and save: it is built again by itself; what the compiler said stands below its state',
  verify: () => 'mend it and save; `camlock check PATH` tries it without a server',
  routes: () => 'give one of the two another path (`routes` in its manifest), or disable the other one',
  dependencies: () => 'bring up what it depends on, or what depends on it to a version that will do',
  config: () => 'mend its configuration: what is expected stands at each field',
  migrate: () => 'mend its migrations in a file that has not run yet, or, if the database was in the way, reload it',
};

export function advice(plugin) {
  const { state, failed } = plugin;
  if (state === 'disabled') return 'enable it, and it is served';
  if (state === 'missing' && plugin.reason?.includes('installed by name')) return 'wait; if nothing comes of it, uninstall it';
  if (state === 'missing') return 'put its entry back into the plugins directory, and it is served again';
  if (state === 'quarantined') return 'change its source; or reload it to try the same bytes again, or roll it back';
  if (state === 'waiting') return 'bring up what it waits for; it follows by itself';
  if (state === 'starting') return 'wait; its state says how far it is';
  if (failed) {
    if (failed.reason.includes('tried again')) return 'it is tried again by itself; reloading it does so at once';
    return (ABOUT_STAGE[failed.stage] ?? (() => 'its log has what it said; mend it and save, or reload it to try once more, or roll it back'))();
  }
  if (plugin.pinned.length) return 'most pinned generations leave by themselves when what holds them ends; a restart of the server clears all';
  return null;
}

/** Why a plugin is not as it should be, if so: one sentence. */
export function why(plugin) {
  if (plugin.failed) return `${plugin.failed.stage}: ${plugin.failed.reason}`;
  return plugin.reason ?? plugin.pinned[0]?.reason ?? null;
}

/** Whether somebody should look at it. */
export function needsAttention(plugin) {
  if (plugin.state === 'disabled') return false;
  return plugin.state !== 'serving' && plugin.state !== 'starting' || Boolean(plugin.failed);
}
