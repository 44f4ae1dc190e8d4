// What the shipped plugins bring to the page, in a real browser on a real server. Run by scripts/browser-tests.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { HOSTILE } from './corpus.mjs';
import { faults, faultsInside, framed, launch, picture, signIn, Site, visitor } from './site.mjs';

const SHIPPED = ['powertable', 'ticker', 'metrics'];

let site;
let browser;
let admin;

before(async () => {
  site = new Site();
  for (const name of SHIPPED) site.ship(name);
  [browser] = await Promise.all([launch(), site.start()]);
  for (const name of SHIPPED) {
    const { serving, failed } = await site.until(name, (plugin) => plugin.serving || plugin.failed);
    assert.ok(serving, JSON.stringify(failed));
  }
  admin = await visitor(browser);
  await signIn(admin, site, site.token);
}, { timeout: 900_000 });

after(async () => {
  await browser?.close();
  await site?.end();
});

afterEach(async (context) => {
  if (context.passed !== false || !admin) return;
  await picture(admin, 'failed-shipped');
  const inside = await Promise.all(admin.frames().slice(1).map((frame) => frame.locator('body').innerText().catch(String)));
  context.diagnostic(`${admin.url()} showed: ${await admin.locator('body').innerText()} ${inside.join('\n')}`);
  context.diagnostic(`consoles and refusals: ${JSON.stringify(admin.wrong)}`);
});

const rows = (path, method, body) => fetch(`${site.url}/api/v1/p/powertable${path}`, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) }).then((answer) => answer.text());

test('tables of powertable: rows are looked at in pages, added, changed and deleted; what is refused stands at its field', async () => {
  await admin.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Tables' }).click();
  const page = framed(admin, 'Tables');
  await page.getByText('There are no tables yet').waitFor();
  const columns = [{ name: 'name', type: 'text', required: true, unique: true }, { name: 'born', type: 'integer' }, { name: 'alive', type: 'boolean' }, { name: 'more', type: 'json' }, { name: 'note', type: 'text' }];
  await rows('/tables', 'POST', { name: 'people', columns });
  await rows('/people', 'POST', Array.from({ length: 30 }, (_, number) => ({ name: number ? `Person ${number}` : HOSTILE[1], born: 1900 + number, alive: null, more: null, note: null })));
  await page.getByRole('button', { name: 'Look again' }).click();
  await page.getByText('Rows 1 to 25').waitFor();
  await page.getByText(HOSTILE[1]).waitFor();
  assert.deepEqual(await faultsInside(admin, 'Tables'), []);
  await page.getByRole('button', { name: 'Rows after these' }).click();
  await page.getByText('Rows 26 to 30').waitFor();
  await page.getByRole('button', { name: 'Order by born' }).click();
  await page.getByRole('button', { name: 'Order by born' }).click();
  await page.getByRole('row').nth(1).getByText('1929').waitFor();

  await page.getByRole('button', { name: 'New row' }).click();
  const form = page.getByRole('form', { name: 'New row of people' });
  await form.getByRole('button', { name: 'Add' }).click();
  await form.getByLabel('name', { exact: true }).and(page.locator('[aria-invalid="true"]')).waitFor();
  await form.getByText('it must have a value').waitFor();
  await form.getByLabel('name', { exact: true }).fill('Person 7');
  await form.getByLabel('born').fill('early');
  await form.getByRole('button', { name: 'Add' }).click();
  await form.getByText('takes no `early`').waitFor();
  assert.equal(await form.getByLabel('born').getAttribute('aria-invalid'), 'true');
  assert.deepEqual(await faultsInside(admin, 'Tables'), []);
  await picture(admin, 'powertable-form');
  // Larger than a number of JavaScript's.
  await form.getByLabel('born').fill('9007199254740993');
  await form.getByLabel('alive').selectOption('true');
  await form.getByLabel('more').fill('{"a": [1]}');
  await form.getByRole('button', { name: 'Add' }).click();
  // The database says which column it is.
  await form.getByText('there is a row with such a value already').waitFor();
  assert.equal(await form.getByLabel('name', { exact: true }).getAttribute('aria-invalid'), 'true');
  await form.getByLabel('name', { exact: true }).fill('Newcomer');
  await form.getByRole('button', { name: 'Add' }).click();
  await page.getByText('It is added.').waitFor();
  assert.equal(await rows('/people?select=name,born,alive,more,note&name=eq.Newcomer', 'GET'), '[{"name":"Newcomer","born":9007199254740993,"alive":true,"more":{"a":[1]},"note":null}]');
  await page.getByRole('row', { name: /Newcomer/ }).getByText('9007199254740993').waitFor();

  // What somebody else changed meanwhile is not overwritten.
  await page.getByRole('button', { name: 'Edit row 30' }).click();
  await page.getByRole('form', { name: 'Row 30 of people' }).getByLabel('born').fill('1');
  await rows('/people?id=eq.30', 'PATCH', { born: 2 });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('somebody else changed or deleted it meanwhile').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Look again' }).click();
  await page.getByRole('button', { name: 'Edit row 29', exact: true }).click();
  await page.getByLabel('note', { exact: true }).fill('seen');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Row 29 is saved.').waitFor();
  assert.equal(await rows('/people?select=note,born&id=eq.29', 'GET'), '[{"note":"seen","born":1928}]');

  await page.getByRole('button', { name: 'Delete row 29' }).click();
  await page.getByText('Row 29 is deleted.').waitFor();
  assert.equal(await rows('/people?id=eq.29', 'GET'), '[]');
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByText('Row 29 is there again.').waitFor();
  assert.equal(await rows('/people?select=note,born&id=eq.29', 'GET'), '[{"note":"seen","born":1928}]');
  assert.deepEqual(await faults(admin), []);
  await picture(admin, 'powertable');
  assert.deepEqual(admin.wrong, []);

  const { token } = await site.api('POST', '/api/v1/tokens', { name: 'watcher', role: 'viewer' });
  const viewer = await visitor(browser);
  await signIn(viewer, site, token);
  await viewer.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Tables' }).click();
  await framed(viewer, 'Tables').getByText('this takes an operator').waitFor();
  await viewer.context().close();
});

test('an admin sees which tables a plugin has, and how many rows are in each', async () => {
  await admin.goto(`${site.page}/#/plugins/powertable/values`);
  const people = JSON.parse(await rows('/people?select=id', 'GET')).length;
  const seen = admin.getByRole('region', { name: 'Tables' }).getByRole('row').filter({ hasText: 'people' });
  await seen.getByText(String(people), { exact: true }).waitFor();
  assert.deepEqual(await faults(admin), []);
  await picture(admin, 'tables');
  assert.deepEqual(admin.wrong, []);
});

test('charts of metrics are set where they stand, and ticker’s widget ticks', async () => {
  await admin.goto(`${site.page}/#/dashboard`);
  const chart = framed(admin, 'Chart').first();
  await chart.getByRole('heading', { name: 'metrics: requests' }).waitFor();
  await framed(admin, 'Ticks').getByText(/^\d+ s$/).waitFor();
  await admin.getByRole('button', { name: 'Arrange' }).click();
  await admin.getByRole('button', { name: 'Set Chart' }).click();
  const dialog = admin.getByRole('dialog');
  await dialog.getByLabel('Plugin').fill('powertable');
  await dialog.getByLabel('What').selectOption('p95_ms');
  await dialog.getByLabel('Over the last').selectOption('day');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await chart.getByRole('heading', { name: 'powertable: 95 of 100 answers began within' }).waitFor();
  await chart.getByRole('img', { name: /ms at most/ }).waitFor({ timeout: 60_000 });
  await chart.getByText('As a table').click();
  await chart.getByRole('row').nth(1).waitFor();
  assert.deepEqual(await faultsInside(admin, 'Chart'), []);
  assert.deepEqual(await faults(admin), []);
  await picture(admin, 'metrics');
  assert.deepEqual(admin.wrong, []);
});
