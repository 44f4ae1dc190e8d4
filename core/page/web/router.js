// Where one is: the part of the address behind `#`. Pure but for `go`.
export const TABS = ['state', 'analytics', 'try', 'configuration', 'grants', 'values', 'subscriptions', 'tasks', 'executions', 'logs', 'history', 'events'];
export const CATALOG_TABS = ['browse', 'updates', 'sources'];
const VIEWS = ['overview', 'dashboard', 'problems', 'events', 'nodes', 'tokens', 'install', 'doctor'];

export function parse(hash) {
  const parts = hash.replace(/^#\/?/, '').split('/').map(decoded);
  if (parts[0] === 'plugins' && parts[1]) return { view: 'plugin', name: parts[1], tab: TABS.includes(parts[2]) ? parts[2] : 'state' };
  if (parts[0] === 'dashboard' && parts[1]) return { view: 'dashboard', layout: parts[1] };
  if (parts[0] === 'pages' && parts[1] && parts[2]) return { view: 'page', name: parts[1], id: parts[2] };
  if (parts[0] === 'catalog') return parts[1] === 'plugins' && parts[2] ? { view: 'catalog', name: parts[2], tab: 'offer' } : { view: 'catalog', tab: CATALOG_TABS.includes(parts[1]) ? parts[1] : 'browse' };
  return { view: VIEWS.includes(parts[0]) ? parts[0] : 'overview' };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function link(view, name, tab) {
  if (view === 'page') return `#/pages/${encodeURIComponent(name)}/${encodeURIComponent(tab)}`;
  if (view === 'catalog') return `#/catalog${name ? `/plugins/${encodeURIComponent(name)}` : tab && tab !== 'browse' ? `/${tab}` : ''}`;
  if (view !== 'plugin') return view === 'overview' ? '#/' : `#/${view}`;
  return `#/plugins/${encodeURIComponent(name)}${tab && tab !== 'state' ? `/${tab}` : ''}`;
}

export function go(...place) {
  location.hash = link(...place);
}
