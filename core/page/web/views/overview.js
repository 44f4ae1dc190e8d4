// All plugins: what serves, what is wrong and why, what to do next.
import { advice, needsAttention, why } from '../advice.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { menuButton, onMenu } from '../menu.js';
import { acts, badge, buttons, name, table, words } from '../parts.js';
import { link } from '../router.js';
import { byName, changed, derived, sorted, state } from '../store.js';

const STATES = ['serving', 'starting', 'waiting', 'failed', 'disabled', 'missing', 'quarantined'];
/** So many rows are drawn at once, and as many more whenever the last of them come in sight: thousands would take seconds. */
const STEP = 40;
/** So far below what is seen, in pixels, they come. */
const AHEAD = 600;
let typed = '';
let only = '';
let most = STEP;

export function enter() {
  most = STEP;
}

/** How many serve, and which somebody should look at. */
const numbers = derived((plugins) => ({ serving: plugins.filter((plugin) => plugin.serving).length, wrong: plugins.filter(needsAttention).sort(byName) }));

function further() {
  most += STEP;
  changed();
}

/** Draws further as long as this is in sight; one that is gone is not watched any more by itself. */
function watch(button) {
  const watching = new IntersectionObserver(([{ isIntersecting }]) => {
    if (!isIntersecting) return;
    further();
    // It is told of again, even if it is in sight still.
    watching.unobserve(button);
    watching.observe(button);
  }, { rootMargin: `${AHEAD}px` });
  watching.observe(button);
}

export function fitting(plugins, text, word) {
  const wanted = text.trim().toLowerCase();
  return plugins.filter((plugin) => (!word || plugin.state === word) && (!wanted || plugin.name.includes(wanted) || plugin.description.toLowerCase().includes(wanted)));
}

function row(plugin) {
  const { candidate } = plugin;
  // How far it is says more than that it is on its way.
  const doing = candidate && !plugin.failed && [candidate.stage, candidate.doing].filter(Boolean).join(': ');
  const reason = doing || why(plugin);
  const next = advice(plugin);
  return h('tr', { key: plugin.name, oncontextmenu: onMenu(plugin) },
    h('th', { scope: 'row' }, h('a', { href: link('plugin', plugin.name) }, name(plugin.name)), plugin.description && h('span', { class: 'quiet below' }, plugin.description)),
    h('td', null, badge(plugin)),
    h('td', { class: 'number' }, plugin.version),
    h('td', { class: 'number' }, plugin.serving?.generation ?? '—'),
    h('td', { class: 'why' }, reason, next && h('span', { class: 'quiet below' }, '→ ', words(next))),
    h('td', { class: 'acts' }, buttons(plugin, acts(plugin).filter(([word]) => word !== 'remove' && word !== 'rollback')), menuButton(plugin)));
}

export function view() {
  const all = sorted();
  const { serving, wrong } = numbers();
  const list = fitting(all, typed, only);
  return [
    h('div', { class: 'head' }, h('h1', null, t('overview.title')), h('span', { class: 'quiet' }, state.known ? t('overview.sum', { serving, all: all.length }) : t('loading')),
      state.known && h('span', { class: state.ready && !wrong.length ? 'good' : 'quiet' }, !state.ready ? t('overview.starting') : wrong.length ? null : all.length ? t('overview.well') : null)),
    wrong.length > 0 && h('section', { key: 'attention', class: 'attention', 'aria-labelledby': 'attention' }, h('h2', { id: 'attention' }, t('overview.attention')),
      h('ul', null, wrong.slice(0, 8).map((plugin) => h('li', { key: plugin.name }, h('a', { href: link('plugin', plugin.name) }, name(plugin.name)), ' ', badge(plugin), ' ', h('span', { class: 'reason' }, why(plugin)), advice(plugin) && h('span', { class: 'quiet below' }, '→ ', words(advice(plugin))))))),
    h('div', { key: 'filter', class: 'filter' },
      h('label', { class: 'unseen', for: 'filter' }, t('overview.filter')),
      h('input', { id: 'filter', type: 'search', placeholder: t('overview.filter'), value: typed, oninput: (event) => { typed = event.target.value; most = STEP; changed(); } }),
      h('label', { class: 'unseen', for: 'only' }, t('col.state')),
      h('select', { id: 'only', value: only, onchange: (event) => { only = event.target.value; changed(); } }, h('option', { value: '' }, t('overview.any')), STATES.map((word) => h('option', { value: word }, t(`state.${word}`)))),
      h('span', { class: 'quiet', role: 'status' }, t('overview.shown', { shown: Math.min(most, list.length), all: all.length }))),
    list.length > 0 && h('div', { key: 'list' }, table(t('overview.title'), [t('col.plugin'), t('col.state'), t('col.version'), t('col.generation'), t('col.why'), t('col.acts')], list.slice(0, most).map(row)),
      list.length > most && h('button', { born: watch, onclick: further }, t('more'))),
    state.known && !list.length && h('p', { key: 'none', class: 'quiet' }, words(all.length ? t('overview.nothing') : t('overview.none'))),
  ];
}
