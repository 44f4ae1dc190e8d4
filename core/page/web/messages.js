// All words of the page, in one table. A second language is another file of this shape. Words in braces are filled in.
export const WORDS = {
  'app': 'Camlock',
  'nav': 'Main', 'nav.overview': 'Overview', 'nav.problems': 'Problems', 'nav.events': 'Events', 'nav.nodes': 'Servers',
  'nav.tokens': 'Tokens', 'nav.install': 'Install',
  'palette': 'Go to or do…', 'palette.none': 'Nothing fits.', 'palette.open': 'Commands', 'palette.label': 'Type a plugin or a command',
  'live': 'Live', 'stale': 'Stale since {time}', 'stale.long': 'The server does not answer. What you see is as of {time}; it is asked again every second.',
  'theme': 'Colours', 'theme.auto': 'As the system', 'theme.light': 'Light', 'theme.dark': 'Dark', 'theme.contrast': 'High contrast',
  'sign.in': 'Sign in', 'sign.out': 'Sign out', 'sign.token': 'Token', 'sign.how': 'Paste a token. On the server’s own machine, `camlock page` signs you in by itself, and the admin token lies in the data directory.',
  'sign.again': 'Your session has ended', 'sign.kept': 'What you typed is still here.',
  'role.viewer': 'viewer', 'role.operator': 'operator', 'role.admin': 'admin',
  'close': 'Close', 'cancel': 'Cancel', 'undo': 'Undo', 'dismiss': 'Dismiss', 'loading': 'Loading…', 'none': 'None.', 'more': 'Show more', 'refresh': 'Look again',
  'state.serving': 'serving', 'state.starting': 'starting', 'state.waiting': 'waiting', 'state.failed': 'failed', 'state.disabled': 'disabled', 'state.missing': 'missing', 'state.quarantined': 'quarantined',
  'overview.title': 'Plugins', 'overview.sum': '{serving} of {all} serve', 'overview.filter': 'Filter by name or description', 'overview.any': 'Any state',
  'overview.attention': 'What needs attention', 'overview.well': 'Everything that is wanted serves.', 'overview.starting': 'The first look at everything is not done yet.',
  'overview.none': 'There are no plugins yet. Install one here, put one into the plugins directory, or make one with `camlock new NAME`.',
  'overview.nothing': 'No plugin fits.', 'overview.shown': '{shown} of {all} shown',
  'col.plugin': 'Plugin', 'col.state': 'State', 'col.version': 'Version', 'col.why': 'Why, and what to do', 'col.generation': 'Generation', 'col.when': 'When', 'col.what': 'What', 'col.who': 'By', 'col.detail': 'Details', 'col.server': 'Server', 'col.key': 'Key', 'col.size': 'Size', 'col.revision': 'Revision', 'col.expires': 'Expires', 'col.name': 'Name', 'col.role': 'Role', 'col.artifact': 'Artifact', 'col.path': 'Path', 'col.method': 'Method', 'col.acts': 'Acts', 'col.level': 'Level', 'col.message': 'Message', 'col.address': 'Address', 'col.heard': 'Last heard of', 'col.serves': 'Serves', 'col.permission': 'Permission', 'col.meaning': 'What it allows', 'col.granted': 'Granted', 'col.stages': 'Stages', 'col.outcome': 'Outcome',
  'trouble': 'The plugins directory cannot be read: {why}', 'trouble.registry': 'The registry cannot be used: {why}',
  'tab.state': 'State', 'tab.try': 'Try', 'tab.configuration': 'Configuration', 'tab.grants': 'Permissions', 'tab.values': 'Values', 'tab.logs': 'Logs', 'tab.history': 'History', 'tab.events': 'Events',
  'act.enable': 'Enable', 'act.disable': 'Disable', 'act.reload': 'Reload', 'act.rollback': 'Roll back', 'act.remove': 'Uninstall…', 'act.try': 'Try', 'act.save': 'Save', 'act.send': 'Send',
  'done.enable': '{name} is enabled.', 'done.disable': '{name} is disabled.', 'done.reload': '{name} has a new generation.', 'done.rollback': '{name} went back.', 'done.remove': '{name} was taken out.', 'done.config': 'The configuration of {name} is saved.', 'done.grants': 'What {name} may is decided.', 'done.level': '{name} logs as you chose.', 'done.installed': '{name} is in the plugins directory.',
  'refused.revision': '{name} was changed by somebody else meanwhile. Look at it, then try again.',
  'refused.offline': 'The server does not answer.',
  'plugin.gone': 'There is no plugin “{name}”.', 'plugin.reason': 'Why', 'plugin.next': 'What to do', 'plugin.serving': 'Serving', 'plugin.candidate': 'On its way', 'plugin.failed': 'What failed', 'plugin.leaving': 'Leaving', 'plugin.pinned': 'Cannot leave', 'plugin.urls': 'Where it is reached', 'plugin.facts': 'Facts', 'plugin.path': 'Lies in', 'plugin.kind': 'Kind', 'plugin.kind.static': 'compiled in', 'plugin.kind.dynamic': 'loaded', 'plugin.category': 'Category', 'plugin.revision': 'Revision', 'plugin.memory': 'Memory', 'plugin.left': 'Left behind', 'plugin.inflight': 'Requests under way', 'plugin.descriptors': 'Open files', 'plugin.since': 'Since', 'plugin.compiler': 'What the compiler said', 'plugin.serveson': 'Generation {number} serves on.', 'plugin.generation': 'generation {number}', 'plugin.endpoints': 'Endpoints',
  'remove.title': 'Uninstall {name}?', 'remove.how': 'It is drained and unloaded, and its files move to `removed/` in the data directory. Type its name to go on.', 'remove.name': 'Name of the plugin', 'remove.data': 'What it keeps', 'remove.keep': 'Keep its values, tables and directory', 'remove.purge': 'Remove all of it, on all servers. It cannot be brought back', 'remove.do': 'Uninstall',
  'try.none': 'It has no endpoints that are known.', 'try.path': 'Path', 'try.method': 'Method', 'try.body': 'Body', 'try.how': 'The server makes the request, without your session. What comes back is shown as text.', 'try.answer': 'Answer', 'try.took': '{status} after {time} ms', 'try.cut': 'There was more than is shown.', 'try.headers': 'Headers', 'try.empty': '(an empty body)', 'try.choose': 'Endpoint',
  'config.none': 'Its configuration has no schema: it may be any JSON object.', 'config.json': 'Configuration as JSON', 'config.bad': 'This is no JSON object: {why}', 'config.secret': 'A secret is kept. Type to replace it.', 'config.secret.none': 'No secret is kept yet.', 'config.default': 'Default: {value}', 'config.same': 'Nothing is changed yet.', 'config.changes': 'What will change', 'config.how': 'Saved changes take effect live, or by a new generation if the plugin does not take them.', 'config.from': '{path}: {before} → {after}', 'config.hidden': '(secret)', 'config.absent': '(not set)', 'config.expected': 'Expected {expected}, found {found}.', 'config.add': 'Add an item', 'config.removeItem': 'Remove item {number}', 'config.unset': 'Not set', 'config.form': 'Configuration of {name}', 'config.misfits': 'It does not fit: {count} to mend.', 'config.required': 'required', 'config.changed': 'It was changed elsewhere while you typed. Your changes are kept; saving is refused until you look again.', 'config.takeNew': 'Discard mine and look again', 'yes': 'Yes', 'no': 'No',
  'grants.none': 'It asks for nothing.', 'grants.lacking': 'It asks for {count} more than it has.', 'grants.all': 'All that it asks for is granted.', 'grants.source': 'Granted to what came from: {source}.', 'grants.enforcement': 'Held to it: {how}.', 'grants.grant': 'Grant', 'grants.revoke': 'Revoke', 'grants.grantAll': 'Grant all that it asks for', 'grants.has': 'granted', 'grants.lacks': 'not granted', 'grants.extra': 'Also granted, and not asked for: {list}.',
  'values.none': 'It keeps no values.', 'values.prefix': 'Keys that begin with', 'values.show': 'Show', 'values.delete': 'Delete', 'values.text': 'Value of {key}', 'values.deleted': '{key} is deleted.', 'values.binary': '{size} bytes that are no text', 'values.never': 'never',
  'logs.follow': 'Follow', 'logs.pause': 'Pause', 'logs.search': 'Search in lines', 'logs.level': 'Show', 'logs.any': 'everything', 'logs.keep': 'It logs', 'logs.default': 'as configured', 'logs.none': 'No line fits.', 'logs.at': '{level} and worse', 'logs.lines': '{shown} of {all} lines', 'logs.region': 'Lines of the log',
  'level.error': 'error', 'level.warn': 'warn', 'level.info': 'info', 'level.debug': 'debug', 'level.trace': 'trace',
  'history.generations': 'Generations and kept artifacts', 'history.builds': 'How candidates were made', 'history.back': 'Go back to this', 'history.none': 'Nothing yet.', 'history.ok': 'came to serve', 'phase.serving': 'serving', 'phase.draining': 'draining', 'phase.pinned': 'pinned', 'phase.kept': 'kept',
  'events.title': 'Events', 'events.plugin': 'Plugin', 'events.what': 'What', 'events.any': 'anything', 'events.all': 'all', 'events.none': 'Nothing happened yet that fits.', 'events.older': 'Older', 'events.show': 'Details',
  'nodes.title': 'Servers', 'nodes.this': 'this one', 'nodes.stale': 'silent', 'nodes.lags': 'Lags: {list}', 'nodes.alive': 'heard of',
  'tokens.title': 'Tokens', 'tokens.new': 'Make a token', 'tokens.name': 'Name', 'tokens.role': 'Role', 'tokens.expires': 'Until', 'tokens.forever': 'Empty: until it is revoked.', 'tokens.revoke': 'Revoke', 'tokens.revoked': 'revoked', 'tokens.expired': 'expired', 'tokens.holds': 'holds', 'tokens.secret': 'The secret of {name}. It is shown now, and never again.', 'tokens.none': 'There are none beside the server’s own.', 'tokens.gone': '{name} lets nobody in any more.', 'tokens.make': 'Make', 'tokens.confirm': 'Revoke {name}?', 'tokens.confirm.how': 'Whoever uses it is refused at once. It cannot be undone.',
  'install.title': 'Install a plugin', 'install.file': 'Library (.so) or archive of sources (.tar.gz, .zip)', 'install.path': 'Or a path on the server', 'install.path.how': 'A crate’s directory, a single file, a library or an archive. It is copied.', 'install.replace': 'Take the place of a plugin of that name', 'install.grant': 'Grant whatever it asks for', 'install.do': 'Install', 'install.sent': '{percent} % sent', 'install.progress': 'Sent', 'install.looked': 'The server looks at it…', 'install.choose': 'Choose a file or name a path.', 'install.both': 'Choose a file or name a path, not both.',
  'problems.title': 'Problems', 'problems.none': 'Nothing is wrong that this server knows of.', 'problems.blocked': '{plugin} blocks a thread with {method} {route} for {seconds} s', 'problems.blocked.next': 'a handler must not block: the plugin’s author has to mend that', 'problems.pinned': 'generation {number} cannot leave: {why}', 'problems.pinned.next': 'most pinned generations leave by themselves when what holds them ends; a restart of the server clears all', 'problems.left': 'generations before left {size} in memory', 'problems.left.next': 'its author finds out what was not freed; a restart of the server clears it', 'problems.node': '{node} has been silent since {time}', 'problems.node.next': 'look whether that server runs; nobody waits for it', 'problems.lags': '{node} serves something else than was agreed on: {list}', 'problems.lags.next': 'look at that server’s log for why', 'problems.about': 'About this server', 'problems.grants': 'asks for permissions that it has not: {list}', 'problems.grants.next': 'grant or refuse them under its permissions', 'problems.version': 'Version', 'problems.rustc': 'Built with', 'problems.abi': 'Contract', 'problems.builtin': 'Compiled in', 'problems.directory.next': 'make it readable for the server’s user', 'problems.registry.next': 'what serves goes on; see to the database, and the server connects by itself',
  'copy': 'Copy', 'copied': 'Copied.',
};

let table = WORDS;

/** Another language: what it lacks stays English. */
export function speak(words) {
  table = { ...WORDS, ...words };
}

export function t(key, values) {
  const text = table[key] ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all)) : text;
}

const time = (options) => new Intl.DateTimeFormat(undefined, options);
const CLOCK = time({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = time({ year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const clock = (when) => CLOCK.format(new Date(when));
export const moment = (when) => (when ? DAY.format(new Date(when)) : '');

export function size(bytes) {
  if (bytes === null || bytes === undefined) return '—';
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let number = bytes;
  while (number >= 1024 && unit < units.length - 1) [number, unit] = [number / 1024, unit + 1];
  return `${number >= 10 || unit === 0 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}
