// The page: its frame, which view stands in it, and the stream that keeps it true. What must not live here: what views show.
import { h, paint } from './dom.js';
import { say } from './dialogs.js';
import { lazy } from './lazy.js';
import { follow } from './live.js';
import { clock, t } from './messages.js';
import { link, parse } from './router.js';
import { begin, signIn, signOut } from './session.js';
import { changed, listen, may, state, take } from './store.js';
import { choose, themes } from './themes.js';
import * as overview from './views/overview.js';
import * as page from './views/page.js';

const VIEWS = lazy({
  dashboard: () => import('./views/dashboard.js'), problems: () => import('./views/problems.js'), doctor: () => import('./views/doctor.js'), events: () => import('./views/events.js'),
  nodes: () => import('./views/nodes.js'), catalog: () => import('./views/catalog.js'), tokens: () => import('./views/tokens.js'), install: () => import('./views/install.js'),
  plugin: () => import('./views/plugin.js'),
}, { overview, page });
const ALLOWED = { tokens: 'admin', install: 'admin' };
const places = () => ['overview', 'dashboard', 'problems', 'doctor', 'events', 'nodes', 'catalog', 'tokens', 'install'].filter((view) => !ALLOWED[view] || may(ALLOWED[view]));
const palette = () => import('./palette.js').then((module) => module.palette(places()), () => say(t('lazy.failed'), { bad: true }));

let leave = new AbortController();

function draw() {
  if (!state.who) return;
  const { place } = state;
  const view = VIEWS.of(place.view);
  const look = themes();
  const brought = page.pages();
  const here = brought.find((one) => place.view === 'page' && one.plugin === place.name && one.id === place.id);
  const title = place.view === 'page' ? (here?.title ?? place.name) : ['plugin', 'catalog'].includes(place.view) ? (place.name ?? t(`nav.${place.view}`)) : t(`nav.${place.view}`);
  document.title = `${title} · ${t('app')}`;
  paint(document.getElementById('app'), [
    h('header', { class: 'bar' },
      h('a', { class: 'brand', href: link('overview') }, t('app')),
      h('nav', { 'aria-label': t('nav') }, places().map((name) => h('a', { key: name, href: link(name), 'aria-current': place.view === name ? 'page' : null }, t(`nav.${name}`))),
        brought.map((one) => h('a', { key: `${one.plugin}/${one.id}`, class: 'brought', title: one.plugin, href: one.href, 'aria-current': one === here ? 'page' : null }, one.title))),
      h('span', { class: 'room' }),
      h('span', { class: state.staleSince ? 'live stale' : 'live' }, state.staleSince ? t('stale', { time: clock(state.staleSince) }) : t('live')),
      h('button', { class: 'ghost', onclick: palette, 'aria-keyshortcuts': 'Control+K' }, t('palette.open'), h('kbd', { 'aria-hidden': 'true' }, 'Ctrl K')),
      h('label', { class: 'unseen', for: 'theme' }, t('theme')),
      h('select', { id: 'theme', value: look.value, onchange: (event) => choose(event.target.value) }, look.list.map(({ value, title: name }) => h('option', { value }, name))),
      h('span', { class: 'who' }, h('bdi', null, state.who.name), state.who.name !== state.who.role && ` · ${t(`role.${state.who.role}`)}`),
      h('button', { class: 'ghost', onclick: signOut }, t('sign.out'))),
    h('main', { id: 'main', tabindex: '-1' },
      state.staleSince && h('p', { key: 'stale', class: 'notice', role: 'status' }, t('stale.long', { time: clock(state.staleSince) })),
      state.trouble && h('p', { key: 'trouble', class: 'notice bad-edge' }, t('trouble', { why: state.trouble })),
      state.registryTrouble && h('p', { key: 'registry', class: 'notice bad-edge' }, t('trouble.registry', { why: state.registryTrouble })),
      h('div', { key: `${place.view}/${place.name ?? ''}/${place.id ?? place.layout ?? ''}`, class: 'view' }, view ? view.view(place, leave.signal) : VIEWS.instead(place.view))),
  ]);
}

function arrive() {
  const before = state.place;
  const place = parse(location.hash);
  if (ALLOWED[place.view] && !may(ALLOWED[place.view])) place.view = 'overview';
  state.place = place;
  leave.abort();
  leave = new AbortController();
  enter(place, leave.signal);
  draw();
  if (before.view !== place.view || before.name !== place.name || before.id !== place.id) document.getElementById('main')?.focus({ preventScroll: true });
}

async function enter(place, signal) {
  const view = VIEWS.of(place.view) ?? await VIEWS.come(place.view);
  if (!view || signal.aborted) return;
  view.enter?.(place, signal);
  changed();
}

function keys(event) {
  // What stands in a part's own root is not seen from here otherwise.
  const typing = (event.composedPath()[0] ?? event.target).closest?.('input, textarea, select, dialog');
  if ((event.ctrlKey || event.metaKey) && event.key === 'k') {
    event.preventDefault();
    palette();
  } else if (event.key === '/' && !typing) {
    const field = document.querySelector('main input[type="search"]');
    if (field) {
      event.preventDefault();
      field.focus();
    }
  }
}

/** Looks whether it is the session that ended: then a token is asked for. */
async function lost() {
  state.staleSince ??= new Date();
  changed();
  const answer = await fetch('/api/v1/whoami').catch(() => null);
  if (answer?.status === 401) await signIn();
}

themes();
listen(draw);
document.addEventListener('keydown', keys);
document.addEventListener('click', (event) => {
  if (!event.target.closest?.('.skip')) return;
  event.preventDefault();
  document.getElementById('main')?.focus();
});
addEventListener('hashchange', arrive);
addEventListener('unhandledrejection', ({ reason }) => say(String(reason?.message ?? reason), { bad: true }));
await begin();
arrive();
follow('/api/v1/overview/events', (change) => {
  take(change);
  state.staleSince = null;
  changed();
}, {
  signal: new AbortController().signal,
  lost,
  found: () => {
    state.staleSince = null;
    changed();
  },
});
