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
  'problems.title': 'Problems', 'problems.none': 'Nothing is wrong that this server knows of.', 'problems.blocked': '{plugin} blocks a thread with {method} {route} for {seconds} s', 'problems.blocked.next': 'a handler must not block: the plugin’s author has to mend that', 'problems.left': 'generations before left {size} in memory', 'problems.left.next': 'its author finds out what was not freed; a restart of the server clears it', 'problems.node': '{node} has been silent since {time}', 'problems.node.next': 'look whether that server runs; nobody waits for it', 'problems.lags': '{node} serves something else than was agreed on: {list}', 'problems.lags.next': 'look at that server’s log for why', 'problems.about': 'About this server', 'problems.grants': 'asks for permissions that it has not: {list}', 'problems.grants.next': 'grant or refuse them under its permissions', 'problems.version': 'Version', 'problems.rustc': 'Built with', 'problems.abi': 'Contract', 'problems.builtin': 'Compiled in', 'problems.directory.next': 'make it readable for the server’s user', 'problems.registry.next': 'what serves goes on; see to the database, and the server connects by itself',
  'tab.tasks': 'Tasks', 'tab.executions': 'Executions', 'tab.subscriptions': 'Subscriptions',
  'task.waiting': 'waiting', 'task.running': 'running', 'task.done': 'done', 'task.dead': 'dead', 'task.cancelled': 'cancelled',
  'tasks.type': 'Type', 'tasks.failures': 'Failed', 'tasks.tried': '{failures} of {attempts}', 'tasks.none': 'No task fits.', 'tasks.ending': 'is to end', 'tasks.cancel': 'Give up', 'tasks.retry': 'Try again', 'tasks.done.cancel': '{type} is given up.', 'tasks.done.retry': '{type} is tried again.', 'tasks.one': 'Task {type}', 'tasks.id': 'Id', 'tasks.enqueued': 'Enqueued', 'tasks.due': 'Due', 'tasks.begun': 'Begun', 'tasks.ended': 'Ended', 'tasks.error': 'Last failure', 'tasks.input': 'Input', 'tasks.progress': 'Progress', 'tasks.result': 'Result',
  'schedules.title': 'Set times', 'schedules.times': 'Times', 'schedules.next': 'Next', 'schedules.last': 'Last',
  'execution.success': 'success', 'execution.error': 'error', 'execution.timeout': 'timeout', 'execution.cancelled': 'cancelled', 'execution.security_violation': 'security violation',
  'executions.new': 'Have it work something out', 'executions.input': 'Input as JSON', 'executions.run': 'Execute', 'executions.bad': 'This is no JSON: {why}', 'executions.ended': '{status} after {time} ms', 'executions.log': 'What it worked out', 'executions.took': 'Took', 'executions.bytes': 'In → out', 'executions.none': 'Nothing was worked out yet that fits.',
  'subscription.active': 'active', 'subscription.retrying': 'retrying', 'subscription.paused': 'paused', 'subscription.denied': 'not granted', 'subscription.unused': 'unused',
  'subscriptions.none': 'It hears of nothing.', 'subscriptions.pattern': 'Topics', 'subscriptions.topic': 'Topic', 'subscriptions.payload': 'What it says', 'subscriptions.waiting': 'Waiting', 'subscriptions.delivered': 'Handled', 'subscriptions.failed': 'Failed', 'subscriptions.dropped': 'Dropped', 'subscriptions.kept': 'kept until handled', 'subscriptions.memory': 'in memory', 'subscriptions.pause': 'Pause', 'subscriptions.resume': 'Resume', 'subscriptions.show': '{count} given up', 'subscriptions.dead': 'Given up for {id}', 'subscriptions.none.dead': 'Nothing was given up.', 'subscriptions.replay': 'Try again', 'subscriptions.replayAll': 'Try all again', 'subscriptions.done.pause': 'Nothing is brought to {id} any more.', 'subscriptions.done.resume': '{id} goes on.', 'subscriptions.done.replay': 'What was given up for {id} is tried again.',
  'tab.analytics': 'Analytics', 'problems.evidence': 'Evidence',
  'plot.table': 'As a table', 'plot.line': '{label}: {most} at most, {last} at last.', 'plot.nothing': '{label}: nothing.',
  'rule.error-rate': 'error rate', 'rule.latency': 'latency', 'rule.memory-grows': 'memory grows', 'rule.restarts': 'restarts', 'rule.pinned': 'pinned', 'rule.slow-subscriber': 'slow subscriber', 'rule.queue-grows': 'queue grows',
  'use.title': 'Use', 'use.last': 'Last used', 'use.never': 'never', 'use.since': 'Counted since', 'use.well': 'No rule finds anything wrong with it.', 'use.span': 'Over the last', 'use.span.hour': 'hour', 'use.span.day': 'day', 'use.span.week': 'week', 'use.span.month': 'month', 'use.span.year': 'year', 'use.marks': 'Dashed uprights: a new generation came to serve.',
  'use.generations': 'Generation by generation', 'use.generations.how': 'All that was counted while each served, the latest first: what a reload made better or worse.',
  'use.plot.requests': 'Requests', 'use.plot.latency': 'Until answers began', 'use.plot.memory': 'Memory', 'use.plot.work': 'Work', 'use.plot.asks': 'Asks of its host', 'use.plot.failures': 'Failures', 'use.plot.waiting': 'What waits',
  'use.requests': 'Requests', 'use.errors': 'Errors', 'use.client_errors': 'Clients’ errors', 'use.abandoned': 'Abandoned', 'use.p50_ms': 'Median', 'use.p95_ms': '95 of 100', 'use.p99_ms': '99 of 100', 'use.panics': 'Panics', 'use.unwell': 'Unwell', 'use.memory_bytes': 'Held', 'use.left_behind_bytes': 'Left behind', 'use.asks': 'Asks', 'use.ask_errors': 'Refused or failed', 'use.executions': 'Executions', 'use.tasks_done': 'Tasks done', 'use.tasks_failed': 'Tasks that failed', 'use.tasks_waiting': 'Tasks', 'use.events_emitted': 'Events emitted', 'use.events_delivered': 'Events heard', 'use.events_failed': 'Events that failed', 'use.events_waiting': 'Events', 'use.events_dropped': 'Events dropped', 'use.swaps': 'New generations',
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
