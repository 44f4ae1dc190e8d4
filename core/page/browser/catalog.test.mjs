// The catalog on the page, in a real browser: plugins that authors signed and somebody published are found, looked at, planned, installed
// with configuration, and updated; and what a role may not do is not there. Run by scripts/browser-tests.
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Keeper, readme } from './authors.mjs';
import { HOSTILE } from './corpus.mjs';
import { exactly, fine, goTo, launch, leave, picture, raw, signIn, Site, visitor } from './site.mjs';

let site;
let keeper;
let browser;
let admin;

const schema = (more = {}) => ({ type: 'object', additionalProperties: false, properties: { greeting: { type: 'string', minLength: 2, title: 'Greeting', description: HOSTILE[0] }, ...more } });

before(async () => {
  site = new Site();
  keeper = new Keeper(site);
  const greeter = keeper.package('greeter', { version: '0.1.0', says: 'one', description: `${HOSTILE[1]} right\u202eto left\u202c greets whoever comes`, readme, schema: schema(), keys: 'category = "http"\npermissions = ["storage"]\ndependencies = { helper = "^0.1" }' });
  const helper = keeper.package('helper', { version: '0.1.0', says: 'helps', description: 'Helps others', keys: 'category = "kv"' });
  const needy = keeper.package('needy', { version: '0.1.0', says: 'needs', description: 'Needs what nobody has', keys: 'dependencies = { nobody = "^7" }' });
  keeper.publish(greeter, helper, needy, '--publisher', 'author.key.pub');
  [browser] = await Promise.all([launch(), site.start()]);
  admin = await visitor(browser);
  await signIn(admin, site, site.token);
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  await site?.end();
});

afterEach((context) => leave(context, 'failed-catalog', admin));

const go = (page, hash, heading) => goTo(page, site, hash, heading);

/** As it is in each theme, wide and on a phone, each with a picture. */
async function everywhere(page, name) {
  for (const theme of ['light', 'dark', 'contrast']) {
    await page.getByLabel('Colours').selectOption(theme);
    await page.evaluate(() => scrollTo(0, 0));
    await fine(page, `${name} ${theme}`);
    if (theme !== 'contrast') await picture(page, `${name}-${theme}`);
  }
  await page.getByLabel('Colours').selectOption('auto');
  await page.setViewportSize({ width: 390, height: 800 });
  await page.evaluate(() => scrollTo(0, 0));
  await fine(page, `${name} on a phone`);
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wider <= 0, `${name} is ${wider} px too wide`);
  await picture(page, `phone-${name}`);
  await page.setViewportSize({ width: 1280, height: 860 });
}

const offers = (page) => page.getByRole('list', { name: 'Catalog' }).getByRole('listitem');

test('a catalog is followed', async () => {
  await go(admin, '#/catalog', 'Catalog');
  await admin.getByText('This server follows no catalog yet.').waitFor();
  await fine(admin, 'no catalog');
  await admin.getByRole('navigation', { name: 'Catalog' }).getByRole('link', { name: 'Catalogs' }).click();
  await admin.getByLabel('Name', { exact: true }).fill('main');
  await admin.getByLabel('Address').fill(`${keeper.url}-nowhere`);
  await admin.getByRole('button', { name: 'Follow a catalog' }).click();
  await admin.getByText('catalog-nowhere is not there').waitFor();
  await admin.getByRole('button', { name: 'Dismiss' }).click();
  await admin.getByLabel('Address').fill(keeper.url);
  await admin.getByRole('button', { name: 'Follow a catalog' }).click();
  const row = admin.getByRole('row', { name: /^main/ });
  await row.getByText('followed', { exact: true }).waitFor();
  await row.getByRole('cell', { name: '3', exact: true }).waitFor();
  await everywhere(admin, 'catalog-sources');
});

test('plugins are found as one types, narrowed and ordered, and what authors write stays text', async () => {
  await go(admin, '#/catalog', 'Catalog');
  await offers(admin).filter({ hasText: 'needy' }).waitFor();
  await exactly(offers(admin), 3);
  await offers(admin).getByText('right‹U+202E›to left').waitFor();
  await everywhere(admin, 'catalog');
  const field = admin.getByLabel('Search plugins');
  await admin.keyboard.press('/');
  await field.pressSequentially('gretings');
  await admin.getByText('No plugin fits.').or(admin.getByRole('status').getByText('3 found')).first().waitFor();
  assert.equal(await field.inputValue(), 'gretings');
  await offers(admin).filter({ hasText: 'helper' }).first().waitFor();
  await field.fill('helps');
  await admin.getByText('1 found').waitFor();
  await field.fill('nothing-like-it');
  await admin.getByText('No plugin fits.').waitFor();
  await fine(admin, 'nothing is found');
  await field.fill('');
  await admin.getByText('3 found').waitFor();
  await admin.getByLabel('Category').selectOption('http');
  await admin.getByText('1 found').waitFor();
  await offers(admin).getByRole('link', { name: 'greeter' }).waitFor();
  await admin.getByLabel('Category').selectOption('');
  await admin.getByLabel('Sort by').selectOption('created_at');
  await admin.getByLabel('Only what there is for this server').check();
  await admin.getByText('3 found').waitFor();
  await admin.getByLabel('Only what there is for this server').uncheck();
  await admin.getByLabel('Sort by').selectOption('relevance');
});

test('one is looked at: what it is, who vouches for it, what an install would do, and why it would not', async () => {
  await offers(admin).getByRole('link', { name: 'greeter' }).click();
  await admin.getByRole('heading', { name: 'greeter', level: 1 }).waitFor();
  await admin.getByText('0.1.0 fits this server.').waitFor();
  await admin.getByText('Its author signed it.').waitFor();
  const plan = admin.getByRole('region', { name: 'What would be installed' });
  await plan.getByRole('row', { name: /^helper 0\.1\.0 library/ }).waitFor();
  await plan.getByRole('row', { name: /^greeter 0\.1\.0 library main by its author storage/ }).waitFor();
  await admin.getByRole('region', { name: 'What it asks to be allowed' }).getByText('not granted').waitFor();
  await admin.getByRole('heading', { name: 'A greeter', level: 3 }).waitFor();
  await admin.getByRole('heading', { name: 'What it says', level: 4 }).waitFor();
  for (const text of [HOSTILE[0], HOSTILE[1], 'red link', 'right‹U+202E›to left']) await admin.locator('.readme').getByText(text).first().waitFor();
  await exactly(admin.locator('script:not([src]), svg, main img, main iframe, .readme a'), 0);
  await everywhere(admin, 'catalog-plugin');
  await go(admin, '#/catalog/plugins/needy', 'needy');
  await admin.getByRole('heading', { name: 'Why it cannot be installed' }).waitFor();
  await admin.locator('.getting').getByText('nobody').waitFor();
  await exactly(admin.getByRole('button', { name: /^Install/ }), 0);
  await fine(admin, 'one that cannot be installed');
  await picture(admin, 'catalog-why-not');
  await go(admin, `#/catalog/plugins/${encodeURIComponent(HOSTILE[0])}`, HOSTILE[0]);
  await admin.locator('.reason').waitFor();
  await fine(admin, 'one that is called by markup');
});

test('a click installs it with its configuration, with what it needs, and it serves', async () => {
  await go(admin, '#/catalog/plugins/greeter', 'greeter');
  await admin.getByLabel('Greeting').fill('x');
  await admin.getByLabel(/^Grant what it asks for/).check();
  await admin.getByRole('button', { name: 'Install 0.1.0' }).click();
  // What does not fit stands at its field, nothing was done, and what was typed stays.
  await admin.getByLabel('Greeting').and(admin.locator('[aria-invalid="true"]')).waitFor();
  assert.equal(await admin.getByLabel('Greeting').inputValue(), 'x');
  await fine(admin, 'an install that was refused');
  await picture(admin, 'catalog-refused');
  // So it is by whichever path it is asked for.
  for (const [path, body] of [['/api/v1/plugins', { plugin_id: 'greeter' }], ['/api/plugins/marketplace/install/greeter', {}]]) {
    await assert.rejects(site.api('POST', path, { ...body, config: { greeting: 'x' } }), /: 400 .*\/greeting/);
  }
  assert.equal((await raw(`${site.url}/api/v1/p/greeter/`)).status, 404);
  await admin.getByLabel('Greeting').fill('good day');
  await admin.getByRole('button', { name: 'Install 0.1.0' }).click();
  await admin.getByRole('region', { name: 'Installing greeter' }).waitFor();
  await admin.getByText('greeter is installed.').waitFor({ timeout: 60_000 });
  assert.equal((await raw(`${site.url}/api/v1/p/greeter/`)).text, 'one good day');
  assert.ok((await site.api('GET', '/api/v1/plugins/helper')).serving);
  await admin.getByText('Nothing would be done').waitFor();
  await admin.getByRole('link', { name: 'installed: 0.1.0' }).waitFor();
  await fine(admin, 'installed');
  const { granted, source } = await site.api('GET', '/api/v1/plugins/greeter/grants');
  assert.deepEqual([granted, source], [['storage'], 'catalog:main']);
});

test('a catalog is looked at now; an update says what it changes, and what is wrong with what serves', async () => {
  const two = keeper.package('greeter', { version: '0.2.0', says: 'two', readme: '# Another', schema: schema({ loud: { type: 'boolean' } }), keys: 'category = "http"\npermissions = ["storage", "tasks"]' });
  site.write('advisories.json', JSON.stringify({ advisories: [{ id: 'CAM-2026-0001', plugin: 'greeter', versions: '<0.2.0', severity: 'high', title: HOSTILE[0], remedy: `update ${HOSTILE[1]}` }] }));
  keeper.publish(two, '--advisories', 'advisories.json');
  await go(admin, '#/catalog/sources', 'Catalog');
  await admin.getByRole('button', { name: 'Look now main' }).click();
  await admin.getByText('main was looked at.').waitFor();
  await admin.getByRole('link', { name: /^Updates/ }).click();
  const card = admin.getByRole('listitem').filter({ has: admin.getByRole('heading', { name: /^greeter/, level: 2 }) });
  await card.getByText('0.1.0 → 0.2.0', { exact: true }).waitFor();
  await card.getByText(HOSTILE[0]).waitFor();
  await card.getByText('Asks for more: tasks').waitFor();
  await card.getByText('Needs no more: helper').waitFor();
  await card.getByText('New settings: /loud').waitFor();
  await everywhere(admin, 'catalog-updates');
  await card.getByRole('link', { name: 'Decide what greeter may, and update it' }).click();
  await admin.getByRole('heading', { name: 'What changes from 0.1.0 to 0.2.0' }).waitFor();
  await admin.getByText('Asks for more: tasks').waitFor();
  await fine(admin, 'an update of one');
  await picture(admin, 'catalog-update');
  await admin.getByLabel(/^Grant what it asks for/).check();
  await admin.getByRole('button', { name: 'Update to 0.2.0' }).click();
  await admin.getByText('greeter is updated.').waitFor({ timeout: 60_000 });
  assert.equal((await raw(`${site.url}/api/v1/p/greeter/`)).text, 'two good day');
  const { granted } = await site.api('GET', '/api/v1/plugins/greeter/grants');
  assert.deepEqual(granted, ['storage', 'tasks']);
  await admin.getByText('Nothing would be done').waitFor();
  await go(admin, '#/catalog/updates', 'Catalog');
  await admin.getByText('is the newest').waitFor();
});

test('what somebody installs elsewhere shows as it comes', async () => {
  await go(admin, '#/catalog', 'Catalog');
  const helper = offers(admin).filter({ has: admin.getByRole('link', { name: 'helper' }) });
  await helper.getByText('installed: 0.1.0').waitFor();
  site.cli('remove', 'helper');
  await helper.getByText('installed: 0.1.0').waitFor({ state: 'detached' });
  site.cli('install', 'helper');
  await helper.getByText('installed: 0.1.0').waitFor();
});

test('what a role may not do is not there', async () => {
  keeper.publish(keeper.package('helper', { version: '0.1.1', says: 'helps more', description: 'Helps others', keys: 'category = "kv"' }));
  site.cli('catalog', 'sync');
  for (const role of ['viewer', 'operator']) {
    const { token } = await site.api('POST', '/api/v1/tokens', { name: `a-${role}`, role });
    const page = await visitor(browser);
    await signIn(page, site, token);
    await go(page, '#/catalog', 'Catalog');
    await offers(page).filter({ hasText: 'needy' }).waitFor();
    await fine(page, `catalog as ${role}`);
    await go(page, '#/catalog/plugins/greeter', 'greeter');
    await page.getByText('Nothing would be done').waitFor();
    // The update policy does not take what is not of age; who names it has it.
    await go(page, '#/catalog/plugins/helper', 'helper');
    await page.getByText('helper 0.1.1 is not taken').waitFor();
    await page.getByLabel('Version', { exact: true }).selectOption('0.1.1');
    await page.getByRole('heading', { name: 'What changes from 0.1.0 to 0.1.1' }).waitFor();
    await page.getByRole('region', { name: 'What would be installed' }).waitFor();
    await fine(page, `a plugin as ${role}`);
    await exactly(page.locator('main').getByRole('button'), 0, `${role}: an update of one`);
    await exactly(page.getByRole('checkbox'), 0);
    await go(page, '#/catalog/updates', 'Catalog');
    await page.getByText('0.1.0 → 0.1.1', { exact: true }).waitFor();
    await page.getByText('0.1.1 is not taken now').waitFor();
    await exactly(page.locator('main').getByRole('button'), 0, `${role}: updates`);
    await go(page, '#/catalog/sources', 'Catalog');
    await page.getByRole('row', { name: /^main/ }).waitFor();
    assert.deepEqual(await page.locator('main').getByRole('button').allTextContents(), role === 'operator' ? ['Look now'] : []);
    await fine(page, `catalogs as ${role}`);
    await page.context().close();
  }
  await go(admin, '#/catalog/updates', 'Catalog');
  await admin.getByText('0.1.1 is not taken now').waitFor();
  await fine(admin, 'an update that is not taken');
  await go(admin, '#/catalog/plugins/helper', 'helper');
  await admin.getByLabel('Version', { exact: true }).selectOption('0.1.1');
  await admin.getByRole('button', { name: 'Update to 0.1.1' }).click();
  await admin.getByText('helper is updated.').waitFor({ timeout: 60_000 });
  assert.equal((await raw(`${site.url}/api/v1/p/helper/`)).text, 'helps more hello');
});

test('what is demanded of a catalog is said, and said when it is wanted', async () => {
  await go(admin, '#/catalog/sources', 'Catalog');
  const form = admin.getByRole('form', { name: 'Follow a catalog' });
  const follow = () => form.getByRole('button', { name: 'Follow a catalog' }).click();
  await form.getByLabel('Name', { exact: true }).fill('held');
  await form.getByLabel('Address').fill(keeper.url);
  await form.getByLabel(/^Attested by/).fill('acme/greeter:release.yml, acme/helper');
  await form.getByLabel(/^Pins/).fill('helper@newest');
  await follow();
  await admin.getByText('is no pin').first().waitFor();
  await admin.getByRole('button', { name: 'Dismiss' }).last().click();
  assert.equal(await form.getByLabel(/^Attested by/).inputValue(), 'acme/greeter:release.yml, acme/helper', 'what was typed stays');
  await form.getByLabel(/^Pins/).fill(`helper@0.1.1=${'0'.repeat(64)}`);
  await follow();
  const row = admin.getByRole('row', { name: /^held/ });
  await row.getByText('attested by acme/greeter:release.yml, acme/helper').waitFor();
  await row.getByText('pinned: helper@0.1.1').waitFor();
  await fine(admin, 'a catalog of which much is demanded');
  await row.getByRole('button', { name: 'Remove held' }).click();
  await admin.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await row.waitFor({ state: 'detached' });
});

test('a catalog that fails says why, and nothing else changes', async () => {
  const [there, away] = [join(site.root, 'catalog'), join(site.root, 'away')];
  await go(admin, '#/catalog/sources', 'Catalog');
  renameSync(there, away);
  await admin.getByRole('button', { name: 'Look now main' }).click();
  await admin.getByRole('row', { name: /^main/ }).getByText('Failing:').waitFor();
  await admin.getByRole('link', { name: 'Catalogs 1 failing' }).waitFor();
  await fine(admin, 'a catalog that fails');
  await picture(admin, 'catalog-failing');
  assert.equal((await raw(`${site.url}/api/v1/p/greeter/`)).text, 'two good day');
  await go(admin, '#/catalog/plugins/greeter', 'greeter');
  await admin.locator('main').getByText('is not there').first().waitFor();
  await fine(admin, 'a plugin of a catalog that fails');
  renameSync(away, there);
  await go(admin, '#/catalog/sources', 'Catalog');
  await admin.getByRole('button', { name: 'Look now main' }).click();
  await admin.getByRole('row', { name: /^main/ }).getByText('followed', { exact: true }).waitFor();
});
