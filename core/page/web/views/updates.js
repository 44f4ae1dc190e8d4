// What was installed from catalogs and is not the newest, or has something wrong with it: what an update changes, and the update.
import { Problem } from '../api.js';
import { install, isInstalling, known, offerOf, packageOf, planOf } from '../catalogs.js';
import { say } from '../dialogs.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { name, quiet, told } from '../parts.js';
import { advisories, difference, progress, steps } from '../planned.js';
import { link } from '../router.js';
import { changed, may } from '../store.js';

/** What was looked up of each, by plugin and versions. */
const studies = new Map();
let looking = false;

const keyOf = (one) => `${one.plugin} ${one.installed} ${one.newest}`;

async function study(one) {
  const own = { offer: null, plan: null, schemas: null, trouble: null };
  try {
    own.offer = await offerOf(one.plugin);
    const schema = (version) => packageOf(one.plugin, version).then((it) => it.config_schema, () => null);
    const [plan, before, after] = await Promise.all([planOf(one.plugin, '').catch((problem) => problem), schema(one.installed), schema(one.newest)]);
    if (plan instanceof Problem) own.trouble = told(plan, one.plugin);
    else own.plan = plan;
    own.schemas = { before, after };
  } catch (problem) {
    own.trouble = told(problem, one.plugin);
  }
  return own;
}

/** One after another: each may ask a catalog elsewhere. */
async function lookUp() {
  if (looking) return;
  looking = true;
  for (let one; (one = known.outdated?.find((it) => !studies.has(keyOf(it))));) {
    studies.set(keyOf(one), await study(one));
    changed();
  }
  looking = false;
}

export function enter() {
  studies.clear();
}

async function update(plugin) {
  const outcome = await install(plugin);
  if (outcome) say(outcome.trouble ?? t('done.update', { name: plugin }), { bad: Boolean(outcome.trouble) });
}

function card(one) {
  const own = studies.get(keyOf(one));
  // What would be taken now: not the newest, where the operator's policy says so.
  const step = own?.plan?.steps.find(({ plugin }) => plugin === one.plugin);
  const newer = one.newest !== one.installed;
  return h('li', { key: one.plugin, class: 'card' },
    h('h2', null, h('a', { href: link('catalog', one.plugin) }, name(one.plugin)), h('span', { class: 'quiet number' }, newer ? `${one.installed} → ${one.newest}` : one.installed)),
    one.held && h('p', { key: 'held', class: 'notice' }, t('update.held', { version: one.newest, why: one.held })),
    one.advisories.length > 0 && advisories(one.advisories),
    !own ? quiet(t('loading')) : [
      own.trouble && h('p', { key: 'trouble', class: 'bad reason' }, own.trouble),
      newer && own.offer && difference(own.offer, [one.installed, one.newest], own.schemas),
      own.plan?.steps.length > 1 && steps(own.plan)],
    isInstalling(one.plugin) ? progress(one.plugin) : step && may('admin') && h('p', { key: 'acts', class: 'acts' }, step.asks.some(({ granted }) => !granted) ? h('a', { href: link('catalog', one.plugin) }, t('update.decide', { name: one.plugin })) : h('button', { class: 'primary', 'aria-label': `${t('update.do', { version: step.version })} ${one.plugin}`, onclick: () => update(one.plugin) }, t('update.do', { version: step.version }))));
}

export function view() {
  if (!known.outdated) return quiet(t('loading'));
  lookUp();
  return known.outdated.length ? h('ul', { key: 'list', class: 'updates' }, known.outdated.map(card)) : h('p', { key: 'none', class: 'good' }, t('update.none'));
}
