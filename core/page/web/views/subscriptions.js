// What a plugin hears of: its subscriptions, how far each is, what was given up for it, and the acts that mend that.
import { act, get } from '../api.js';
import { modal } from '../dialogs.js';
import { h } from '../dom.js';
import { every } from '../live.js';
import { t } from '../messages.js';
import { code, perform, quiet, table, time, told } from '../parts.js';
import { changed } from '../store.js';

const AGAIN = 3000;
const TONES = { active: 'good', retrying: 'bad', denied: 'bad' };
let shown = null;

export function enter({ name }, signal) {
  shown = { name, items: null, trouble: null };
  const own = shown;
  every(AGAIN, () => look(own), signal);
}

async function look(own) {
  try {
    const page = await get('/api/v1/subscriptions');
    Object.assign(own, { items: page.items.filter(({ plugin }) => plugin === own.name), trouble: null });
  } catch (problem) {
    own.trouble = told(problem, own.name);
  }
  changed();
}

const pathOf = ({ id }, word) => `/api/v1/subscriptions/${encodeURIComponent(id)}/${word}`;

async function order(own, one, word, body) {
  const done = await perform(`subscription/${one.id}`, () => act('POST', pathOf(one, word), { body }), { done: t(`subscriptions.done.${word}`, { id: one.id }) });
  if (done) await look(own);
}

async function dead(own, one) {
  const page = await perform(`subscription/${one.id}`, () => get(`${pathOf(one, 'dead')}?limit=100`));
  if (!page) return;
  await modal(t('subscriptions.dead', { id: one.id }), (close) => [
    page.items.length ? table(t('subscriptions.dead', { id: one.id }), [t('subscriptions.topic'), t('col.when'), t('col.why'), t('subscriptions.payload'), t('col.acts')], page.items.map((event) => h('tr', { key: `${event.number}` },
      h('th', { scope: 'row' }, code(event.topic)), h('td', null, time(event.died)), h('td', { class: 'why' }, event.reason), h('td', null, code(JSON.stringify(event.payload).slice(0, 500))),
      h('td', { class: 'acts' }, h('button', { 'aria-label': `${t('subscriptions.replay')} ${event.number}`, onclick: () => { close(null); order(own, one, 'replay', { number: event.number }); } }, t('subscriptions.replay')))))) : quiet(t('subscriptions.none.dead')),
    h('p', { class: 'acts' }, h('button', { onclick: () => close(null) }, t('close')), page.items.length > 0 && h('button', { class: 'primary', onclick: () => { close(null); order(own, one, 'replay', {}); } }, t('subscriptions.replayAll')))], { wide: true });
}

function acts(own, one) {
  const button = (word, label, run) => h('button', { key: word, 'aria-label': `${label} ${one.id}`, onclick: run }, label);
  return [
    one.state === 'paused' ? button('resume', t('subscriptions.resume'), () => order(own, one, 'resume')) : one.state !== 'denied' && button('pause', t('subscriptions.pause'), () => order(own, one, 'pause')),
    one.durable && one.dead > 0 && button('dead', t('subscriptions.show', { count: one.dead }), () => dead(own, one)),
  ];
}

export function view(place) {
  const own = shown;
  if (!own?.items || own.name !== place.name) return quiet(own?.trouble ?? t('loading'));
  return [
    own.trouble && h('p', { key: 'trouble', class: 'bad' }, own.trouble),
    own.items.length ? h('div', { key: 'list' }, table(t('tab.subscriptions'), [t('col.name'), t('subscriptions.pattern'), t('col.state'), t('subscriptions.waiting'), t('subscriptions.delivered'), t('subscriptions.failed'), t('subscriptions.dropped'), t('col.why'), t('col.acts')], own.items.map((one) => h('tr', { key: `${one.id}/${one.node ?? ''}` },
      h('th', { scope: 'row' }, code(one.id), h('span', { class: 'quiet below' }, t(one.durable ? 'subscriptions.kept' : 'subscriptions.memory'))), h('td', null, code(one.pattern)), h('td', { class: TONES[one.state] ?? null }, t(`subscription.${one.state}`)),
      ...['waiting', 'delivered', 'failed', 'dropped'].map((key) => h('td', { class: 'number' }, one[key])), h('td', { class: 'why' }, one.reason ?? ''), h('td', { class: 'acts' }, acts(own, one)))))) : h('p', { key: 'none', class: 'quiet' }, t('subscriptions.none')),
  ];
}
