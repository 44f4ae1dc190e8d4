// One plugin of a catalog: what it is, who vouches for it, what it would bring, and to have it. What must not live here: what an install
// looks like, which other views show too.
import { Problem } from '../api.js';
import { catalogNamed, install, isInstalling, known, offerOf, packageOf, planOf, versions } from '../catalogs.js';
import { say } from '../dialogs.js';
import { h, paint } from '../dom.js';
import { form } from '../form.js';
import { markdown, MOST_SHOWN } from '../markdown.js';
import { t } from '../messages.js';
import { newestHere, provenance, versionOf } from '../offers.js';
import { badge, code, name, pairs, quiet, table, time, told, words } from '../parts.js';
import { advisories, asks, difference, progress, steps } from '../planned.js';
import { link } from '../router.js';
import { fields } from '../schema.js';
import { changed, may, state } from '../store.js';
import { regard } from './browse.js';

let shown = null;

export function enter({ name: plugin }) {
  // What somebody typed stays, until it is of use no more.
  if (shown?.name !== plugin) shown = { name: plugin, offer: null, version: '', plan: null, planTrouble: null, package: null, before: null, draft: {}, grant: false, trouble: null, outcome: null, round: 0 };
  look(shown);
}

async function look(own) {
  own.round += 1;
  const { round } = own;
  const isLate = () => round !== own.round;
  own.seen = now(own);
  try {
    const offer = await offerOf(own.name);
    if (isLate()) return;
    Object.assign(own, { offer, trouble: null });
    changed();
    const plan = await planOf(own.name, own.version).catch((problem) => problem);
    if (isLate()) return;
    const planTrouble = plan instanceof Error ? told(plan, own.name) : null;
    const asked = JSON.stringify(stepOf(own)?.asks ?? own.asked ?? []);
    Object.assign(own, { plan: planTrouble ? null : plan, planTrouble });
    // A tick is for what stood beside it.
    own.asked = stepOf(own)?.asks ?? [];
    if (JSON.stringify(own.asked) !== asked) own.grant = false;
    changed();
    const wanted = chosen(own);
    // What is not there is said once; what was installed before may be in no catalog any more.
    const read = (version) => (version ? packageOf(own.name, version).catch((problem) => ({ trouble: told(problem, own.name) })) : null);
    const [whole, before] = await Promise.all([read(wanted?.version), read(offer.installed && offer.installed !== wanted?.version && versionOf(offer, offer.installed) && offer.installed)]);
    if (isLate()) return;
    Object.assign(own, { package: whole, before });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (isLate()) return;
    own.trouble = told(problem, own.name);
  }
  changed();
}

const now = (own) => (known.catalogs ? [versions(), state.plugins.get(own.name)?.version].join() : null);

const stepOf = (own) => own.plan?.steps.find(({ plugin }) => plugin === own.name) ?? null;

/** The version that all of it is about. */
function chosen(own) {
  const { offer } = own;
  return versionOf(offer, own.version) ?? versionOf(offer, stepOf(own)?.version) ?? newestHere(offer) ?? offer.versions[0] ?? null;
}

async function order(event, own) {
  event.preventDefault();
  const lacking = stepOf(own)?.asks.filter((one) => !one.granted) ?? [];
  const step = stepOf(own);
  const config = !step?.from && Object.keys(own.draft).length ? own.draft : null;
  own.outcome = null;
  const outcome = await install(own.name, { version: own.version, config, grant: own.grant && lacking.length ? step.asks.map(({ permission }) => permission) : null });
  if (!outcome) return;
  own.outcome = outcome.trouble ? outcome : null;
  if (!outcome.trouble) {
    say(t(step?.from ? 'done.update' : 'done.install', { name: own.name }));
    Object.assign(own, { version: '', draft: {}, grant: false });
  }
  await look(own);
  if (outcome.misfits.length) requestAnimationFrame(() => document.querySelector('[aria-invalid="true"]')?.focus());
}

function getting(own) {
  const step = stepOf(own);
  const wanted = chosen(own);
  const lacking = step?.asks.filter((one) => !one.granted) ?? [];
  const schema = !step?.from && own.package?.config_schema;
  const hasFields = schema && fields(schema).length > 0;
  const there = state.plugins.get(own.name);
  const choose = (event) => { Object.assign(own, { version: event.target.value, plan: null, planTrouble: null, outcome: null, grant: false }); look(own); };
  const title = step?.from ? 'offer.update' : there ? 'offer.installed' : 'offer.install';
  return h('form', { key: 'getting', class: 'card getting', 'aria-label': t(title, { name: own.name }), onsubmit: (event) => order(event, own) },
    h('h2', null, t(title, { name: own.name })),
    h('div', { class: 'filter' }, h('label', { for: 'offer-version' }, t('col.version')), h('select', { id: 'offer-version', value: own.version, onchange: choose }, h('option', { value: '' }, t('offer.version.newest')), own.offer.versions.map((one) => h('option', { value: one.version }, [one.version, one.yanked ? t('offer.word.yanked') : one.unfit ? t('offer.word.unfit') : null].filter(Boolean).join(' · '))))),
    // That it would fit by itself is no comfort where the whole does not.
    wanted && (!own.planTrouble || wanted.unfit || wanted.yanked) && fit(wanted),
    own.plan?.held.length > 0 && h('ul', { key: 'held', class: 'notice' }, own.plan.held.map((one) => h('li', null, words(one)))),
    own.planTrouble ? h('div', { key: 'refused' }, h('h3', null, t('plan.refused')), h('p', { class: 'bad reason' }, own.planTrouble))
      : !own.plan ? quiet(t('plan.loading'))
        : !own.plan.steps.length ? !own.plan.held.length && h('p', { key: 'there', class: 'good' }, t('plan.there'))
          : h('div', { key: 'plan' },
            step?.from && difference(own.offer, [step.from, step.version], own.package && { before: own.before?.config_schema, after: own.package.config_schema }),
            h('h3', null, t('plan.title')), steps(own.plan),
            own.plan.advisories.length > 0 && h('p', { class: 'bad' }, t('plan.advisories', { count: own.plan.advisories.length })),
            h('h3', null, t('offer.asks')), step?.asks.length ? [asks(step.asks), may('admin') && lacking.length > 0 && h('label', { class: 'choice' }, h('input', { type: 'checkbox', checked: own.grant, onchange: (event) => { own.grant = event.target.checked; changed(); } }), t('offer.grant', { count: lacking.length }))] : quiet(t('grants.none')),
            may('admin') && hasFields && h('div', { key: 'configuration', class: 'configuration' }, h('h3', null, t('tab.configuration')), form(schema, { draft: own.draft, kept: {}, misfits: own.outcome?.misfits ?? [], set: (change) => { own.draft = change(own.draft); changed(); } })),
            step?.from && quiet(t('update.config')),
            own.outcome && h('p', { key: 'outcome', class: 'bad reason', role: 'alert' }, own.outcome.misfits.length ? t('config.misfits', { count: own.outcome.misfits.length }) : own.outcome.trouble),
            may('admin') && h('p', { key: 'acts', class: 'acts' }, h('button', { class: 'primary', type: 'submit' }, t(step?.from ? 'update.do' : 'offer.do', { version: step?.version ?? '' })))));
}

const fit = (version) => h('p', { key: 'fit', class: version.unfit || version.yanked ? 'bad reason' : 'good' }, version.yanked ? t('offer.yanked', { why: version.yanked }) : version.unfit ? t('offer.unfit', { version: version.version, why: version.unfit }) : t('offer.fits', { version: version.version }));

function readme(own) {
  const { package: whole } = own;
  if (!whole) return null;
  return h('section', { key: 'readme', class: 'card' }, h('h2', null, t('offer.readme')),
    whole.trouble ? h('p', { class: 'bad reason' }, whole.trouble) : !whole.readme ? quiet(t('offer.readme.none'))
      // It is drawn once: a long one would be compared with itself at each change.
      : [h('div', { key: `${whole.plugin} ${whole.version} ${whole.digest}`, class: 'readme', own: true, born: (real) => paint(real, markdown(whole.readme)) }), whole.readme.length > MOST_SHOWN && quiet(t('offer.readme.cut'))]);
}

function facts({ offer }) {
  return h('section', { key: 'facts', class: 'card' }, h('h2', null, t('plugin.facts')), pairs([
    [t('plugin.category'), offer.category], [t('offer.license'), offer.license], [t('offer.authors'), offer.authors.length > 0 && offer.authors.map((one) => h('div', null, h('bdi', null, one)))], [t('offer.tags'), offer.tags.length > 0 && offer.tags.join(', ')],
    [t('offer.regard'), regard(offer).join(' · ') || null], [t('offer.created'), offer.created_at && time(offer.created_at)], [t('offer.updated'), offer.updated_at && time(offer.updated_at)],
    [t('offer.repository'), offer.repository && code(offer.repository)]].map(([label, value]) => [label, value || null])));
}

function vouched(own) {
  const { offer } = own;
  const version = chosen(own);
  return h('section', { key: 'vouched', class: 'card' }, h('h2', null, t('offer.provenance')),
    h('ul', { class: 'plain' }, provenance(offer, catalogNamed(offer.catalog), version).map(([tone, word, values]) => h('li', { key: word, class: tone || null }, t(word, values)))),
    pairs([[t('offer.key'), offer.publisher && code(offer.publisher)], [t('offer.digest'), own.package?.digest && code(own.package.digest)]]));
}

function list({ offer }) {
  const row = (one) => h('tr', { key: one.version }, h('th', { scope: 'row', class: 'number' }, one.version), h('td', { 'data-head': t('offer.published') }, one.published_at && time(one.published_at)),
    h('td', { class: one.yanked || one.unfit ? 'bad why' : 'good' }, one.yanked ? t('offer.yanked', { why: one.yanked }) : one.unfit ?? t('offer.word.fits')), h('td', { 'data-head': t('offer.needs') }, one.dependencies.length ? one.dependencies.join(', ') : '—'));
  return h('section', { key: 'versions' }, h('h2', null, t('offer.versions')), table(t('offer.versions'), [t('col.version'), t('offer.published'), t('offer.fit'), t('offer.needs')], offer.versions.map(row)));
}

export function view(place) {
  const own = shown;
  const back = h('p', { key: 'back' }, h('a', { href: link('catalog') }, '← ', t('catalog.title')));
  if (!own || own.name !== place.name) return quiet(t('loading'));
  const there = state.plugins.get(own.name);
  // Another version of its catalog, or of what is installed, says something else.
  own.seen ??= now(own);
  if (own.seen !== now(own) && !isInstalling(own.name)) look(own);
  const { offer } = own;
  if (!offer) return [back, h('h1', { key: 'title' }, name(own.name)), h('p', { key: 'trouble', class: own.trouble ? 'bad reason' : 'quiet' }, own.trouble ?? t('loading'))];
  return [
    back,
    h('div', { key: 'head', class: 'head' }, h('h1', null, name(offer.display_name || offer.name)), h('span', { class: 'quiet' }, h('bdi', null, offer.display_name && offer.display_name !== offer.name ? offer.name : ''), ' ', t('catalog.of', { catalog: offer.catalog })), there && [badge(there), h('a', { href: link('plugin', offer.name) }, t('offer.look', { version: there.version }))]),
    offer.description && h('p', { key: 'about', class: 'quiet about' }, offer.description),
    own.trouble && h('p', { key: 'trouble', class: 'notice bad-edge' }, own.trouble),
    h('div', { key: 'columns', class: 'columns' },
      h('div', null, offer.advisories.length > 0 && advisories(offer.advisories), isInstalling(own.name) ? progress(own.name) : getting(own), readme(own)),
      h('div', null, vouched(own), facts(own), list(own))),
  ];
}
