// Unit tests of the page's pure modules: `node --test core/page/web/test`.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { advice, needsAttention, why } from '../advice.js';
import { clean } from '../clean.js';
import { href } from '../dom.js';
import { inline, markdown, MOST_SHOWN } from '../markdown.js';
import { WORDS, size, t } from '../messages.js';
import * as layout from '../layout.js';
import { between, changes, newestHere, provenance, stageOf } from '../offers.js';
import { asked, counter } from '../rights.js';
import { line, summary, top } from '../plot.js';
import { link, parse } from '../router.js';
import { at, difference, fields, put, read } from '../schema.js';
import { derived, sorted, take } from '../store.js';
import { lazy } from '../lazy.js';
import { PLOTS } from '../views/analytics.js';
import { ordered, sum, worst } from '../views/doctor.js';
import { counted } from '../views/values.js';

const plugin = (more) => ({ name: 'hello', description: '', state: 'serving', reason: null, failed: null, pinned: [], ...more });

test('what is invisible or turns writing round is shown as its number', () => {
  for (const [text, expected] of [
    ['plain ä 漢 \n\t', 'plain ä 漢 \n\t'],
    ['\u001b[31mred\u001b[0m', 'red'],
    ['\u001b]8;;x\u0007link\u001b]8;;\u0007', 'link'],
    ['a\u202eb', 'a‹U+202E›b'],
    ['a\u0000\u009bb\u200b', 'a‹U+0000›‹U+009B›b‹U+200B›'],
    ['one\r\ntwo\rthree', 'one\ntwo\nthree'],
    ['<script>', '<script>'],
  ]) assert.equal(clean(text), expected);
});

test('links lead to this page and this server alone', () => {
  for (const text of ['javascript:alert(1)', 'https://evil.example', '//evil.example', 'data:text/html,x', '']) assert.equal(href(text), '#/');
  for (const text of ['#/events', '/api/v1/p/hello/']) assert.equal(href(text), text);
});

test('places are read and written', () => {
  for (const place of [{ view: 'overview' }, { view: 'events' }, { view: 'plugin', name: 'hello', tab: 'logs' }, { view: 'page', name: 'hello', id: 'rows' }, { view: 'plugin', name: 'a/b%#', tab: 'state' }, { view: 'catalog', tab: 'browse' }, { view: 'catalog', tab: 'updates' }, { view: 'catalog', name: 'hello', tab: 'offer' }]) {
    assert.deepEqual(parse(link(place.view, place.name, place.tab ?? place.id)), place);
  }
  assert.deepEqual(parse('#/nowhere/%zz'), { view: 'overview' });
  assert.deepEqual(parse('#/plugins/hello/nowhere'), { view: 'plugin', name: 'hello', tab: 'state' });
});

test('whoever is not well has advice, and a reason', () => {
  assert.equal(advice(plugin()), null);
  assert.match(advice(plugin({ state: 'disabled' })), /enable/);
  const failed = { stage: 'build', reason: 'it does not compile', generation: 4, diagnostics: [] };
  assert.match(advice(plugin({ state: 'failed', failed })), /mend it and save/);
  assert.match(advice(plugin({ state: 'failed', failed: { ...failed, reason: 'no network; it is tried again' } })), /tried again by itself/);
  assert.match(advice(plugin({ failed: { ...failed, stage: 'start' } })), /its log/);
  assert.equal(why(plugin({ failed })), 'build: it does not compile');
  for (const [more, expected] of [[{}, false], [{ failed }, true], [{ state: 'disabled', failed }, false], [{ state: 'waiting' }, true], [{ state: 'starting' }, false]]) {
    assert.equal(needsAttention(plugin(more)), expected);
  }
});

test('a schema makes fields, and what they hold makes a configuration', () => {
  const schema = {
    type: 'object', required: ['greeting'], $defs: { port: { type: 'integer', default: 80 } },
    properties: {
      greeting: { type: 'string', title: 'Greeting' }, port: { $ref: '#/$defs/port' }, key: { type: 'string', sensitive: true }, loud: { type: 'boolean' },
      tone: { enum: ['low', 'high'] }, names: { type: 'array', items: { type: 'string' } }, limits: { type: 'object', properties: { rows: { type: 'number' } } }, any: {},
    },
  };
  const made = fields(schema);
  assert.deepEqual(made.map((field) => field.kind), ['string', 'integer', 'secret', 'boolean', 'choice', 'list', 'group', 'json']);
  assert.deepEqual([made[0].label, made[0].required, made[1].required], ['Greeting', true, false]);
  assert.equal(made[6].fields[0].pointer, '/limits/rows');
  assert.deepEqual(fields({ $ref: '#' }), [], 'one that is itself ends');
});

test('values are put where they belong, and differences are found', () => {
  const before = { greeting: 'Hi', limits: { rows: 3 } };
  const after = put(put(before, '/limits/rows', 4), '/greeting', undefined);
  assert.deepEqual([before.limits.rows, after], [3, { limits: { rows: 4 } }]);
  assert.deepEqual(difference(before, after).map(({ pointer }) => pointer), ['/greeting', '/limits/rows']);
  assert.deepEqual(put({}, '/a~1b/c', 1), { 'a/b': { c: 1 } });
  assert.equal(at({ 'a/b': 2 }, '/a~1b'), 2);
  put({}, '/__proto__/polluted', 1);
  assert.equal({}.polluted, undefined);
  assert.deepEqual([read('integer', '7'), read('integer', 'x'), read('string', ''), read('json', '{"a":1}'), read('json', '{')], [7, 'x', undefined, { a: 1 }, '{']);
});

test('the overview is what the stream says', () => {
  const into = { plugins: new Map([['old', plugin({ name: 'old' })]]) };
  const change = { whole: true, plugins: [plugin({ name: 'b' }), plugin({ name: 'a' })], gone: [], ready: true, trouble: null, registry_trouble: 'no' };
  take(change, into);
  assert.deepEqual(sorted(into.plugins).map(({ name }) => name), ['a', 'b']);
  let worked = 0;
  const many = derived((plugins) => { worked += 1; return plugins.length; });
  assert.deepEqual([many(into.plugins), many(into.plugins), worked], [2, 2, 1]);
  take({ ...change, whole: false, plugins: [plugin({ name: 'c' })], gone: ['a'] }, into);
  assert.deepEqual([many(into.plugins), worked], [2, 2], 'a change has it worked out anew');
  assert.deepEqual([sorted(into.plugins).map(({ name }) => name), into.registryTrouble], [['b', 'c'], 'no']);
});

test('a plot has a scale, a line with gaps, and a sentence', () => {
  assert.deepEqual([0, 0.3, 1, 7, 10, 11, 2_000_001].map(top), [1, 0.5, 1, 10, 10, 20, 5_000_000]);
  assert.equal(line([0, 5, 10], 10, 100, 50), 'M0 50L50 25L100 0');
  assert.equal(line([null, 5, null, 10, 0], 10, 100, 50), 'M25 25h0.01M75 0L100 50');
  assert.equal(line([], 10), '');
  const series = [{ label: 'Requests', pick: ({ requests }) => requests }, { label: 'Median', pick: () => null }];
  assert.equal(summary(series, [{ requests: 3 }, { requests: 1 }], String), 'Requests: 3 at most, 1 at last. Median: nothing.');
  for (const [name, , keys] of PLOTS) for (const key of [`plot.${name}`, ...keys]) assert.ok(`use.${key}` in WORDS, key);
});

test('a part of a plugin’s asks no more than was asked for, granted, and whoever looks may', () => {
  const both = ['ui:read', 'ui:call'];
  assert.deepEqual(asked('hello', ['ui:read'], false, { what: 'analytics', query: 'step=1h&follow=true' }), { method: 'GET', path: '/api/v1/plugins/hello/analytics?step=1h' });
  assert.deepEqual(asked('hello', both, true, { what: 'call', method: 'GET', path: '/now?x=1' }).body, { method: 'GET', path: '/api/v1/p/hello/now?x=1', headers: {}, body: '' });
  assert.equal(asked('hello', both, true, { what: 'call', method: 'PUT', path: '/a', body: { b: 1 } }).body.body, '{"b":1}');
  const exact = asked('hello', both, true, { what: 'call', method: 'PATCH', path: '/a', body: { b: 9007199254740993n, c: '1' }, headers: { prefer: 'return=minimal' } });
  assert.deepEqual([exact.body.body, exact.body.headers], ['{"b":9007199254740993,"c":"1"}', { prefer: 'return=minimal', 'content-type': 'application/json' }]);
  for (const [rights, operator, wish, status] of [
    [[], true, { what: 'plugin' }, 403], [['ui:read'], true, { what: 'call', method: 'GET', path: '/' }, 403], [['ui:call'], false, { what: 'call', method: 'GET', path: '/' }, 403],
    [both, true, { what: 'tokens' }, 400], [both, true, { what: '__proto__' }, 400], [both, true, null, 400], [both, true, { what: 'call', method: 'TRACE', path: '/' }, 400], [both, true, { what: 'call', method: 'GET', path: '/', headers: { cookie: 'a' } }, 400], [both, true, { what: 'call', method: 'GET', path: '/', headers: { accept: 7 } }, 400],
    ...['x', '//x', '/../other/x', '/a/%2e%2e/x', '/a\\b', 7, '/a#b'].map((path) => [both, true, { what: 'call', method: 'GET', path }, 400]),
    [both, true, { what: 'call', method: 'PUT', path: '/', body: 'x'.repeat(300_000) }, 413],
  ]) assert.equal(asked('hello', rights, operator, wish).status, status, JSON.stringify(wish)?.slice(0, 80));
  const floods = counter(3);
  assert.deepEqual([0, 1, 2, 3, 999, 1000].map(floods), [false, false, false, true, true, false]);
});

/** A tree as nested lists: `[tag, ...children]`. */
const plain = (node) => (typeof node === 'object' ? [node.tag, ...node.children.map(plain)] : node);

test('a README becomes a tree without markup, pictures and links that lead anywhere', () => {
  const text = '# Greeter\n\nSays **hello** and *bye*,\nwith `code`.\n\n### Deep\n* one <script>ran()</script>\n* two\n  goes on\n\n1. first\n\n```js\n<b>& **raw**\n```\n> quoted\n> more\n\n| a | b |\n|---|---|\n---\n![logo](https://evil.example/x.png) [site](javascript:ran "x") <https://x.example>';
  assert.deepEqual(markdown(text).map(plain), [
    ['h3', 'Greeter'], ['p', 'Says ', ['strong', 'hello'], ' and ', ['em', 'bye'], ', with ', ['code', 'code'], '.'], ['h4', 'Deep'],
    ['ul', ['li', 'one <script>ran()</script>'], ['li', 'two goes on']], ['ol', ['li', 'first']], ['pre', '<b>& **raw**'], ['blockquote', 'quoted more'], ['pre', '| a | b |\n|---|---|'], ['hr'],
    ['p', 'logo', ' ', 'site', ' (', ['code', 'javascript:ran'], ')', ' ', ['code', 'https://x.example']],
  ]);
  // What is not a tag of these is nowhere, whatever is written.
  const tags = new Set();
  const walk = (node) => { if (typeof node === 'object') { tags.add(node.tag); node.children.forEach(walk); } };
  markdown('<img src=x onerror=ran()>\n\n<a href="javascript:ran()">x</a>\n    <iframe>\n[a][b]\n\n[b]: javascript:ran()').forEach(walk);
  assert.deepEqual([...tags], ['p']);
  assert.deepEqual(markdown('###### a\n# b\n#### c').map(plain), [['h3', 'a'], ['h3', 'b'], ['h4', 'c']], 'no level is left out');
  assert.deepEqual(inline('a_b_c and _d_'), ['a_b_c and ', { tag: 'em', props: {}, children: ['d'] }]);
  const began = performance.now();
  for (const hostile of ['[', '![', '**', '*a', '`', '> ', '<https://', '* \n', '[a](', '_a ']) markdown(hostile.repeat(MOST_SHOWN / hostile.length));
  assert.ok(performance.now() - began < 20_000);
});

const listed = (version, more) => ({ version, published_at: '2026-01-01T00:00:00Z', yanked: null, unfit: null, signed: true, permissions: [], dependencies: [], ...more });

test('of what a catalog offers it is understood what fits, who vouches for it, and what another version changes', () => {
  const offer = { name: 'hello', catalog: 'main', publisher: 'RWQ1', versions: [listed('3.0.0', { unfit: 'it needs GLIBC 2.99' }), listed('2.0.0', { yanked: 'it is broken' }), listed('1.1.0', { permissions: ['storage', 'tasks'], dependencies: ['store ^2'] }), listed('1.0.0', { permissions: ['storage'] })] };
  assert.equal(newestHere(offer).version, '1.1.0');
  assert.equal(newestHere({ versions: [] }), null);
  const words = (of, catalog, version) => provenance(of, catalog && { attested_by: [], pins: [], ...catalog }, version).map(([tone, word]) => `${tone} ${word}`.trim());
  assert.deepEqual(words(offer, { publishers: [], trouble: null }, offer.versions[2]), ['good offer.signed', 'offer.key.first', 'offer.catalog', 'offer.attestation']);
  assert.deepEqual(words(offer, { publishers: ['RWQ1'], trouble: 'it is down' }, listed('1', { signed: false })), ['bad offer.signature.lacks', 'offer.key.listed', 'bad offer.catalog.trouble', 'offer.attestation']);
  assert.equal(words({ ...offer, publisher: null }, null, null)[0], 'bad offer.unsigned');
  const demanding = { publishers: [], trouble: null, attested_by: ['acme/hello'], pins: [`${offer.name}@1.1.0=00`, `${offer.name}@2.0.0=11`, 'another@1.0.0=22'] };
  assert.deepEqual(provenance(offer, demanding, null).slice(2, 4), [['good', 'offer.attested', { list: 'acme/hello' }], ['good', 'offer.pinned', { list: '1.1.0, 2.0.0' }]]);
  assert.ok(!words(offer, { publishers: [], trouble: null, pins: ['another@1.0.0=22'] }, null).includes('good offer.pinned'));
  for (const [, word] of provenance(offer, null, null)) assert.ok(word in WORDS, word);
  const schema = (properties) => ({ type: 'object', properties });
  const found = changes({ version: offer.versions[3], schema: schema({ a: { type: 'string' }, b: { type: 'integer' } }) }, { version: offer.versions[2], schema: schema({ b: { type: 'number' }, c: { type: 'object', properties: { d: { type: 'string' } } } }) });
  assert.deepEqual(found, [['permissions.more', ['tasks']], ['needs.more', ['store ^2']], ['settings.more', ['/c/d']], ['settings.less', ['/a']], ['settings.other', ['/b']]]);
  for (const word of ['permissions', 'needs', 'settings']) for (const way of ['more', 'less']) assert.ok(`update.${word}.${way}` in WORDS);
  assert.deepEqual(changes({ version: offer.versions[3], schema: null }, { version: offer.versions[3], schema: null }), []);
  assert.deepEqual(between(offer, '1.0.0', '2.0.0').map(({ version }) => version), ['2.0.0', '1.1.0']);
  assert.deepEqual(between(offer, '0.9.0', '3.0.0').map(({ version }) => version), ['3.0.0'], 'one that is not listed any more');
  assert.deepEqual([null, { state: 'planned' }, { state: 'verified' }, { state: 'placed' }, { state: 'serving' }].map(stageOf), [0, 0, 1, 1, 2]);
});

test('every word that is asked for stands in the table', () => {
  const root = new URL('..', import.meta.url);
  const files = ['', 'views/'].flatMap((folder) => readdirSync(new URL(folder, root)).filter((name) => name.endsWith('.js')).map((name) => new URL(folder + name, root)));
  for (const file of files) for (const [, key] of readFileSync(file, 'utf8').matchAll(/\bt\('([a-zA-Z.]+)'/g)) assert.ok(key in WORDS, `${file}: ${key}`);
  assert.equal(t('overview.sum', { serving: 1, all: '{all}' }), '1 of {all} serve');
  assert.deepEqual([size(0), size(1536), size(50 << 20), size(null)], ['0 B', '1.5 KiB', '50 MiB', '—']);
});

test('a dashboard travels in a link, and is no more than a dashboard when it comes', () => {
  const list = [{ plugin: 'metrics', id: 'chart', config: { plugin: 'hello', word: 'größer ✓' } }, { plugin: 'ticker', id: 'live' }];
  assert.deepEqual(layout.read(layout.written(list)), list);
  assert.match(layout.written(list), /^[A-Za-z0-9_-]+$/);
  for (const text of ['', '%', 'bnVsbA', btoa('{"widgets":7}'), 'a'.repeat(9)]) assert.equal(layout.read(text), null, text);
  assert.deepEqual(layout.checked({ widgets: [null, { plugin: '../x', id: 'a' }, { plugin: 'a', id: 'B' }, { plugin: 'a', id: 'b', config: [1], more: 1 }] }), [{ plugin: 'a', id: 'b' }]);
  assert.equal(layout.checked({ widgets: Array(100).fill({ plugin: 'a', id: 'b' }) }).length, 60);
  assert.deepEqual([layout.moved([1, 2, 3], 0, 1), layout.moved([1, 2, 3], 0, -1), layout.without([1, 2, 3], 1)], [[2, 1, 3], [1, 2, 3], [1, 3]]);
  const [set, of] = [{ config: { of: 'them' } }, { widget: { default: { of: 'it' } } }];
  assert.deepEqual([layout.settings(set, of), layout.settings(set, of, true), layout.settings({}, of), layout.settings({})], [set.config, set.config, of.widget.default, {}]);
  assert.deepEqual([layout.settings(set, { ...of, trusted: true }), layout.settings(set, { ...of, trusted: true }, true)], [set.config, of.widget.default]);
  assert.deepEqual(parse('#/dashboard/abc'), { view: 'dashboard', layout: 'abc' });
});

test('a part reads of other plugins only what it was granted for all', () => {
  const wish = { what: 'analytics', query: 'step=1h', of: 'other' };
  assert.equal(asked('hello', ['ui:read'], true, wish).status, 403);
  assert.equal(asked('hello', ['ui:read:all'], true, { ...wish, of: 'hello' }).status, 403);
  assert.equal(asked('hello', ['ui:read:all'], false, wish).path, '/api/v1/plugins/other/analytics?step=1h');
  assert.equal(asked('hello', ['ui:read:all'], true, { ...wish, of: '../tokens' }).path, '/api/v1/plugins/..%2Ftokens/analytics?step=1h');
});

test('what the guide shows is what the page looks for', async () => {
  const guide = readFileSync(new URL('../../../../docs/plugin-authors.md', import.meta.url), 'utf8');
  const [chapter] = guide.split('\n## Extending the page\n')[1].split('\n## ');
  const seen = [];
  for (const [, text] of chapter.matchAll(/```js\n([\s\S]*?)```/g)) {
    const module = await import(`data:text/javascript,${encodeURIComponent(text)}`);
    for (const [sort, parts] of Object.entries(module)) for (const part of Object.values(parts)) seen.push([sort, typeof part[sort === 'menus' ? 'run' : 'mount']]);
  }
  assert.deepEqual(seen, ['widgets', 'widgets', 'pages', 'menus', 'fields'].map((sort) => [sort, 'function']));
});

test('what the doctor finds is summed up, and what is wrong comes first', () => {
  const findings = [{ about: 'a', level: 'good' }, { about: 'b', level: 'warning' }, { about: 'c', level: 'wrong' }, { about: 'd', level: 'good' }];
  assert.deepEqual(ordered(findings).map(({ about }) => about), ['c', 'b', 'a', 'd']);
  assert.deepEqual([sum(findings), sum(findings.slice(0, 2)), sum([findings[0]])], ['1 wrong. 1 to look at.', '1 to look at.', 'Nothing is wrong.']);
  assert.deepEqual([worst(findings), worst(findings.slice(0, 2)), worst([])], ['bad', 'careful', 'good']);
  for (const level of ['good', 'warning', 'wrong']) assert.ok(`doctor.level.${level}` in WORDS);
});

test('a module comes once, when it is wanted, and one that cannot be had is tried again', async () => {
  const tries = { one: 0, two: 0 };
  const modules = lazy({ one: async () => { tries.one += 1; return 'first'; }, two: async () => { tries.two += 1; if (tries.two === 1) throw new Error('away'); return 'second'; } }, { zero: 'there' });
  assert.deepEqual([modules.of('zero'), modules.of('one')], ['there', undefined]);
  assert.deepEqual([await modules.come('one'), await modules.come('one'), modules.of('one'), tries.one], ['first', 'first', 'first', 1]);
  assert.equal(await modules.come('two'), null);
  assert.match(modules.instead('two').children[0], /could not be brought/);
  assert.equal(await modules.come('two'), 'second');
  assert.equal(modules.instead('two').children[0], WORDS.loading);
});

test('rows are counted up to a point, and those of views are not', () => {
  assert.deepEqual([{ rows: 3, more: false }, { rows: 100_000, more: true }, { rows: null, more: false }].map(counted), ['3', 'more than 100000', '(a view)']);
});
