// What a catalog says of a plugin, understood: which version would do, who vouches for it, what another version changes. Pure. What must
// not live here: what is believed and installed, which the server decides.
import { fields } from './schema.js';

/** The newest version that may be installed here, if there is one. */
export const newestHere = (offer) => offer.versions.find((one) => !one.unfit && !one.yanked) ?? null;

export const versionOf = (offer, version) => offer.versions.find((one) => one.version === version) ?? null;

/** What is known of where it comes from: `[tone, word, values]`, each a sentence of the table of words. */
export function provenance(offer, catalog, version) {
  const list = [];
  if (!offer.publisher) list.push(['bad', 'offer.unsigned', {}]);
  else if (version && !version.signed) list.push(['bad', 'offer.signature.lacks', { version: version.version }]);
  else list.push(['good', 'offer.signed', {}]);
  if (offer.publisher) list.push(['', catalog?.publishers.includes(offer.publisher) ? 'offer.key.listed' : 'offer.key.first', { catalog: offer.catalog }]);
  if (catalog?.attested_by.length) list.push(['good', 'offer.attested', { list: catalog.attested_by.join(', ') }]);
  const pins = catalog?.pins.filter((pin) => pin.startsWith(`${offer.name}@`)) ?? [];
  if (pins.length) list.push(['good', 'offer.pinned', { list: pins.map((pin) => pin.slice(offer.name.length + 1).split('=')[0]).join(', ') }]);
  list.push(catalog?.trouble ? ['bad', 'offer.catalog.trouble', { catalog: offer.catalog, why: catalog.trouble }] : ['', 'offer.catalog', { catalog: offer.catalog }]);
  list.push(['', 'offer.attestation', {}]);
  return list;
}

const without = (list, other) => list.filter((one) => !other.includes(one));

/** All places of a configuration, each with what its schema says. */
function settings(schema) {
  const all = new Map();
  const walk = (list) => {
    for (const field of list) {
      if (field.fields) walk(field.fields);
      else all.set(field.pointer, JSON.stringify(field.schema));
    }
  };
  if (schema) walk(fields(schema));
  return all;
}

/** What comes and goes between two versions, each `{ version, schema }`: `[word, list]`, only what there is. */
export function changes(before, after) {
  const [old, now] = [settings(before.schema), settings(after.schema)];
  const all = [
    ['permissions.more', without(after.version.permissions, before.version.permissions)],
    ['permissions.less', without(before.version.permissions, after.version.permissions)],
    ['needs.more', without(after.version.dependencies, before.version.dependencies)],
    ['needs.less', without(before.version.dependencies, after.version.dependencies)],
    ['settings.more', [...now.keys()].filter((place) => !old.has(place))],
    ['settings.less', [...old.keys()].filter((place) => !now.has(place))],
    ['settings.other', [...now].filter(([place, text]) => old.has(place) && old.get(place) !== text).map(([place]) => place)],
  ];
  return all.filter(([, list]) => list.length);
}

/** The versions after one up to another; the list has the newest first. */
export function between(offer, from, to) {
  const at = (version) => offer.versions.findIndex((one) => one.version === version);
  const [end, begin] = [at(from), at(to)];
  return begin < 0 ? [] : offer.versions.slice(begin, end < 0 ? begin + 1 : end);
}

export const STAGES = ['planned', 'placed', 'serving'];

/** How far an install is, as a place in `STAGES`; what is asked for and not on record yet is at the beginning. */
export const stageOf = (install) => Math.max(0, STAGES.indexOf(install?.state === 'verified' ? 'placed' : install?.state));
