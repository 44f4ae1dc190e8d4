// What plugins bring into the page itself, and what else they bring than widgets in frames, in a real browser on a real server. Run by
// scripts/browser-tests.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { artifact, held, swaps } from './measures.mjs';
import { brings, clock, failing, sorts } from './plugins.mjs';
import { exactly, fine, framed, goTo, launch, leave, picture, raw, signIn, Site, visitor } from './site.mjs';

const CLOCK = { permissions: ['ui:read', 'ui:call'], parts: 'widgets = [{ id = "clock", title = "Inner clock", module = "clock.js" }]', files: { 'clock.js': clock('one'), 'shared/shown.js': 'export const shown = (word) => `shows ${word}`;' } };

let site;
let browser;
let admin;

before(async () => {
  site = new Site('[plugin.inner]\nui = "trusted"\n');
  brings(site, 'inner', CLOCK);
  brings(site, 'outer', { ...CLOCK, parts: CLOCK.parts.replace('Inner', 'Outer') });
  brings(site, 'sorts', { ...sorts, schema: { type: 'object', properties: { level: { type: 'string', title: 'Level', format: 'dial' }, other: { type: 'string', title: 'Other', format: 'date' } } } });
  [browser] = await Promise.all([launch(), site.start()]);
  for (const name of ['inner', 'outer', 'sorts']) {
    const { serving, failed } = await site.until(name, (plugin) => plugin.serving || plugin.failed);
    assert.ok(serving, JSON.stringify(failed));
  }
  admin = await visitor(browser);
  await signIn(admin, site, site.token);
}, { timeout: 400_000 });

after(async () => {
  await browser?.close();
  await site?.end();
});

afterEach((context) => leave(context, 'failed-parts', admin));

const go = (page, hash, heading) => goTo(page, site, hash, heading);

test('a trusted plugin’s part runs in the page, is swapped there, kept when the new one fails, and asks no more than others', async () => {
  await go(admin, '#/dashboard', 'Dashboard');
  const inner = admin.getByRole('region', { name: 'Inner clock' });
  await inner.getByText('shows one').waitFor();
  await framed(admin, 'Outer clock').getByText('shows one').waitFor();
  await framed(admin, 'Says').getByText('nothing of sorts').waitFor();
  await exactly(admin.locator('iframe'), 2, 'the trusted one has no frame');
  await inner.getByRole('button', { name: 'Ask' }).click();
  await inner.getByText('["inner","1"]').waitFor();
  await fine(admin, 'a trusted widget');
  await picture(admin, 'dashboard-trusted');
  const policy = (await raw(`${site.page}/`)).headers['content-security-policy'];
  assert.match(policy, /script-src \S+\/[0-9a-f]{16}\/ \S+\/ext\/about\/ \S+\/ext\/inner\/; style-src/);
  assert.ok(!policy.includes('outer') && !/script-src[^;]*'self'/.test(policy), policy);

  site.write('plugins/inner/ui/clock.js', clock('two').replace('root.append(', "const other = await fetch('/api/v1/extensions').then((answer) => answer.json()).then(({ items }) => import(`${items.find(({ plugin }) => plugin === 'outer').base}clock.js`)).then(() => 'reached', () => 'refused'); root.append(Object.assign(document.createElement('p'), { textContent: `others ${other}` }), "));
  await inner.getByText('shows two').waitFor({ timeout: 60_000 });
  await inner.getByText('others refused').waitFor();
  await exactly(admin.locator('.inside'), 1, 'the old one is gone');
  admin.wrong = admin.wrong.filter((one) => !/Content Security Policy|Content-Security-Policy/i.test(one));
  site.write('plugins/inner/ui/clock.js', failing);
  await inner.getByText('<b>it cannot</b>').waitFor({ timeout: 60_000 });
  await inner.getByText('shows two').waitFor();
  await fine(admin, 'a trusted widget that failed');
  site.write('plugins/inner/ui/clock.js', clock('three').replace("button.addEventListener('click', async () => {", "button.addEventListener('click', async () => { setTimeout(() => { throw new Error('later it breaks'); });"));
  await inner.getByText('shows three').waitFor({ timeout: 60_000 });
  site.cli('revoke', 'inner', 'ui:read');
  await admin.waitForFunction(() => fetch('/api/v1/extensions').then((answer) => answer.json()).then(({ items }) => !items.find(({ plugin }) => plugin === 'inner').rights.includes('ui:read')));
  await go(admin, '#/', 'Plugins');
  await go(admin, '#/dashboard', 'Dashboard');
  await inner.getByRole('button', { name: 'Ask' }).click();
  await inner.getByText('[403,"1"]').waitFor();
  await inner.getByText('later it breaks').waitFor();
  assert.ok(admin.wrong.every((one) => one.includes('later it breaks')), admin.wrong.join());
  admin.wrong = [];
  site.cli('grant', 'inner', 'ui:read');
  site.cli('disable', 'inner');
  await admin.getByText('inner does not serve, or brings this no more').waitFor();
  await exactly(admin.locator('.inside'), 0);
  site.cli('enable', 'inner');
  await inner.getByText('shows three').waitFor({ timeout: 30_000 });
});

test('a plugin’s item stands in the menu of each plugin, and does what it does with no more than it asks for', async () => {
  await go(admin, '#/', 'Plugins');
  const row = admin.getByRole('row', { name: /^outer/ });
  await row.click({ button: 'right' });
  const menu = admin.getByRole('menu', { name: 'More of outer' });
  await menu.getByRole('menuitem', { name: 'Greet it sorts' }).waitFor();
  await fine(admin, 'a menu');
  await picture(admin, 'menu');
  await menu.getByRole('menuitem', { name: 'Greet it sorts' }).click();
  await admin.getByText('sorts: greeted outer with 1').waitFor();
  await exactly(admin.locator('iframe'), 0, 'it is gone when it is done');
  // By the keyboard, and in its words when it is refused.
  await row.getByRole('button', { name: 'More of outer' }).focus();
  await admin.keyboard.press('Enter');
  await admin.waitForFunction(() => document.activeElement.role === 'menuitem');
  await admin.keyboard.press('ArrowUp');
  await admin.waitForFunction(() => document.activeElement.textContent === 'Fail at it sorts');
  await admin.keyboard.press('Enter');
  await admin.getByText('Fail at it: the plugin was not granted').waitFor();
  await admin.getByRole('button', { name: 'More of sorts' }).click();
  await admin.keyboard.press('Escape');
  await exactly(admin.getByRole('dialog'), 0);
  await fine(admin, 'after a menu');
});

test('a plugin’s field stands at fields of its format, and what it sets is what is saved', async () => {
  await go(admin, '#/plugins/sorts/configuration', 'sorts');
  const dial = framed(admin, 'Level: Dial');
  await dial.getByText('at nothing, heard 0').waitFor();
  await exactly(admin.locator('iframe'), 1, 'the other field has none');
  await dial.getByRole('button', { name: 'Turn it up' }).click();
  await dial.getByRole('button', { name: 'Turn it up' }).click();
  await admin.waitForFunction(() => document.getElementById('field-level').value === '2');
  // What is typed comes to it, and nothing that it set itself.
  await admin.getByLabel('Level', { exact: true }).fill('40');
  await dial.getByText('at 40, heard 1').waitFor();
  await dial.getByRole('button', { name: 'Turn it up' }).click();
  await admin.waitForFunction(() => document.getElementById('field-level').value === '41');
  await fine(admin, 'a field of a plugin');
  await admin.getByRole('button', { name: 'Save' }).click();
  await admin.getByText('The configuration of sorts is saved.').waitFor();
  assert.equal((await site.api('GET', '/api/v1/plugins/sorts')).config.level, '41');
  await site.until('sorts', (plugin) => plugin.serving && !plugin.candidate);
});

test('what the guide shows stands on the page: a widget, one that is set, a page, an item, a field and a theme', { timeout: 300_000 }, async () => {
  const guide = readFileSync(new URL('../../../docs/plugin-authors.md', import.meta.url), 'utf8');
  const [chapter] = guide.split('\n## Extending the page\n')[1].split('\n## ');
  const blocks = (language) => [...chapter.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, text]) => text);
  const [parts, chart, theme] = blocks('toml');
  const [code] = blocks('rust');
  const [widgets, charts, ...others] = blocks('js');
  const crate = (name, keys, files) => {
    site.write(`plugins/${name}/Cargo.toml`, `[workspace]\n[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2024"\n[lib]\ncrate-type = ["cdylib"]\n[dependencies]\ncamlock-plugin = "1"\n${keys}`);
    for (const [path, text] of Object.entries(files)) site.write(`plugins/${name}/${path}`, text);
    site.write(`plugins/${name}/src/lib.rs`, code);
  };
  crate('counting', parts, { 'config.schema.json': /^`(\{ "type": "object".*\})`/m.exec(chapter)[1], 'ui/count.js': [widgets, ...others].join('\n') });
  crate('charting', `[package.metadata.camlock]\npermissions = ["ui:read"]\n${chart}${theme}`, { 'ui/chart.js': charts });
  for (const name of ['counting', 'charting']) {
    const { serving, failed } = await site.until(name, (plugin) => plugin.serving || plugin.failed);
    assert.ok(serving, JSON.stringify(failed));
  }
  await go(admin, '#/dashboard', 'Dashboard');
  await framed(admin, 'Count').getByText(/^\d+$/).waitFor();
  await framed(admin, 'Chart').getByText('requests in 7 days').waitFor();
  await admin.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'How often', exact: true }).click();
  await framed(admin, 'How often').getByText(/^counting answered \d+ requests in all\.$/).waitFor();
  await go(admin, '#/', 'Plugins');
  await admin.getByRole('button', { name: 'More of inner' }).click();
  await admin.getByRole('menuitem', { name: 'Ping it counting' }).click();
  await admin.getByText('counting: asked about inner: status 200').waitFor();
  await go(admin, '#/plugins/counting/configuration', 'counting');
  await framed(admin, 'Colour: Colour').getByLabel('Colour').fill('#00ff7f');
  await admin.waitForFunction(() => document.getElementById('field-colour').value === '#00ff7f');
  await fine(admin, 'a field of the guide');
  await admin.getByLabel('Colours').selectOption({ label: 'Sand (charting)' });
  await admin.waitForFunction(() => getComputedStyle(document.body).backgroundColor === 'rgb(253, 246, 227)');
  await admin.getByLabel('Colours').selectOption('auto');
  assert.deepEqual(admin.wrong, []);
  for (const name of ['counting', 'charting']) site.cli('remove', name);
  await admin.getByRole('link', { name: 'How often', exact: true }).first().waitFor({ state: 'detached' });
  // A dashboard to which one comes before that would show the widget of `charting` as one that is gone.
  await admin.waitForFunction(() => ![...document.querySelectorAll('option')].some((one) => one.textContent.includes('charting')));
});

test('a plugin’s theme colours the page, and frames in it, as long as it is there', async () => {
  await go(admin, '#/dashboard', 'Dashboard');
  await framed(admin, 'Outer clock').getByText('shows one').waitFor();
  const ground = () => admin.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await ground();
  await admin.getByLabel('Colours').selectOption({ label: 'Sand (sorts)' });
  await admin.waitForFunction(() => getComputedStyle(document.body).backgroundColor === 'rgb(253, 246, 227)');
  await framed(admin, 'Outer clock').locator('html').evaluate(async (html) => { for (let round = 0; round < 100 && getComputedStyle(html).getPropertyValue('--ground') !== '#fdf6e3'; round += 1) await new Promise((resolve) => setTimeout(resolve, 50)); return getComputedStyle(html).getPropertyValue('--ground'); }).then((colour) => assert.equal(colour, '#fdf6e3'));
  await fine(admin, 'a theme');
  await picture(admin, 'theme');
  await admin.reload();
  await admin.waitForFunction(() => getComputedStyle(document.body).backgroundColor === 'rgb(253, 246, 227)');
  // What a frame is still to fetch from a plugin that goes is refused, which the browser tells as an error.
  const stands = () => framed(admin, 'Says').getByText('nothing of sorts').waitFor();
  await stands();
  site.cli('disable', 'sorts');
  await admin.waitForFunction((colour) => getComputedStyle(document.body).backgroundColor === colour, before);
  site.cli('enable', 'sorts');
  await admin.waitForFunction(() => getComputedStyle(document.body).backgroundColor === 'rgb(253, 246, 227)');
  await stands();
  await admin.getByLabel('Colours').selectOption('auto');
  await admin.waitForFunction((colour) => getComputedStyle(document.body).backgroundColor === colour, before);
  // One that cannot be read is not taken.
  brings(site, 'pale', { ...sorts, parts: sorts.parts.replace('ink = "#1c1a14"', 'ink = "#eeeeee"') });
  const { failed } = await site.until('pale', (plugin) => plugin.failed || plugin.serving);
  assert.match(failed?.reason ?? 'it serves', /`ink` on `ground` has a contrast of 1\.\d to 1, and 4\.5 to 1 is the least/);
  rmSync(join(site.root, 'plugins/pale'), { recursive: true });
});

test('a dashboard is arranged, kept for whoever has that token’s name, set, and shared by a link', async () => {
  const titles = (page) => page.locator('.widgets section').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')));
  await go(admin, '#/dashboard', 'Dashboard');
  await framed(admin, 'Says').getByText('nothing of sorts').waitFor();
  assert.deepEqual(await titles(admin), ['Inner clock', 'Outer clock', 'Says']);
  await admin.getByRole('button', { name: 'Arrange' }).click();
  await framed(admin, 'Outer clock').locator('body').evaluate((body) => { body.dataset.mark = 'the same'; });
  await admin.getByRole('button', { name: 'Earlier: Outer clock' }).click();
  await admin.getByRole('button', { name: 'Take out Inner clock' }).click();
  await admin.waitForFunction(() => document.querySelectorAll('.widgets section').length === 2);
  assert.deepEqual(await titles(admin), ['Outer clock', 'Says']);
  assert.equal(await framed(admin, 'Outer clock').locator('body').getAttribute('data-mark'), 'the same', 'what is moved does not begin anew');
  await admin.getByRole('button', { name: 'Set Says' }).click();
  await admin.getByRole('dialog').getByLabel('Word').fill('much');
  await admin.getByRole('dialog').getByLabel('Whose').fill('outer');
  await fine(admin, 'a widget is set');
  await admin.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await framed(admin, 'Says').getByText('much of outer').waitFor();
  await admin.getByLabel('Widget', { exact: true }).selectOption('sorts/says');
  await admin.getByRole('button', { name: 'Add' }).click();
  await admin.getByText('nothing').or(admin.locator('.widgets section').nth(2)).first().waitFor();
  await admin.waitForFunction(() => document.querySelectorAll('.widgets section').length === 3);
  await fine(admin, 'a dashboard that is arranged');
  await picture(admin, 'dashboard-arranged');
  // It is kept, not in this browser but on the server.
  const other = await visitor(browser);
  await signIn(other, site, site.token);
  await go(other, '#/dashboard', 'Dashboard');
  await framed(other, 'Says').first().getByText('much of outer').waitFor();
  assert.deepEqual(await titles(other), ['Outer clock', 'Says', 'Says 2']);
  await other.context().close();
  // Others have their own, and see this one by its link.
  await admin.getByRole('button', { name: 'Share' }).click();
  const link = await admin.getByRole('dialog').locator('input').inputValue();
  await admin.getByRole('button', { name: 'Close' }).click();
  const { token } = await site.api('POST', '/api/v1/tokens', { name: 'looker', role: 'viewer' });
  const viewer = await visitor(browser);
  await signIn(viewer, site, token);
  await go(viewer, '#/dashboard', 'Dashboard');
  await viewer.getByRole('region', { name: 'Inner clock' }).getByText(/^shows /).waitFor();
  await viewer.goto(link);
  await viewer.getByText('This is a dashboard that came in a link.').waitFor();
  await framed(viewer, 'Says').first().getByText('much of outer').waitFor();
  await fine(viewer, 'a dashboard of a link');
  await viewer.getByRole('button', { name: 'Keep it as mine' }).click();
  await viewer.waitForFunction(() => location.hash === '#/dashboard');
  assert.deepEqual(await titles(viewer), ['Outer clock', 'Says', 'Says 2']);
  await go(viewer, '#/dashboard/no-layout', 'Dashboard');
  await viewer.getByText('The link cannot be read.').waitFor();
  await viewer.context().close();
  await admin.getByRole('button', { name: 'Show all again' }).click();
  await admin.waitForFunction(() => document.querySelectorAll('.widgets section').length === 3);
  assert.deepEqual(await titles(admin), ['Inner clock', 'Outer clock', 'Says']);
  await admin.reload();
  await admin.getByRole('region', { name: 'Inner clock' }).waitFor();
});

// `CAMLOCK_SWAPS` says how many: `scripts/test --all` takes 1,000.
const SWAPS = Number(process.env.CAMLOCK_SWAPS ?? 100);

test(`a plugin is swapped ${SWAPS} times under an open widget, in the page and in a frame: nothing stays`, { timeout: 60_000 + SWAPS * 4000 }, async () => {
  await site.api('PUT', '/api/v1/page/layout', { widgets: [] });
  const page = await visitor(browser);
  page.setDefaultTimeout(60_000);
  await signIn(page, site, site.token);
  await go(page, '#/dashboard', 'Dashboard');
  for (const [name, shows] of [
    ['inner', (word) => page.locator('.inside:not(.coming)').getByText(`shows ${word}`).waitFor()],
    ['outer', (word) => framed(page, 'Outer clock').getByText(`shows ${word}`).waitFor()],
  ]) {
    const [first, second] = ['this', 'that'];
    const kept = [];
    for (const word of [first, second]) {
      site.write(`plugins/${name}/ui/clock.js`, clock(word));
      await shows(word);
      await site.until(name, (plugin) => plugin.serving && !plugin.candidate);
      kept.push(await artifact(site, name, word));
    }
    // What is made once only is made by then.
    await swaps(site, name, kept.toReversed(), 6, ({ shows: word }) => shows(word));
    const before = await held(page);
    await swaps(site, name, kept.toReversed(), SWAPS, ({ shows: word }) => shows(word));
    await exactly(page.locator('.inside'), 1);
    let after = await held(page);
    // A frame that goes takes a moment.
    for (let round = 0; round < 50 && (after.nodes !== before.nodes || after.listeners !== before.listeners || after.documents !== before.documents); round += 1) {
      await page.waitForTimeout(200);
      after = await held(page);
    }
    const counted = ({ nodes, listeners, documents }) => ({ nodes, listeners, documents });
    assert.deepEqual(counted(after), counted(before), name);
  }
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});
